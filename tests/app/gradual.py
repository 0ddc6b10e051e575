"""A study as a user might bring it, for the tests of the pages: descent to a known limit, at will slowly."""

from hashlib import sha256

import jax.numpy as jnp
import numpy as np

import lab.studies.draw as draw
from lab import numerics
from lab.studies import (
    Choice,
    Claim,
    DataSource,
    Limit,
    Paper,
    Picture,
    Pictures,
    Preset,
    Real,
    Result,
    Study,
    Switch,
    Whole,
)


def _init(problem):
    return jnp.zeros_like(problem["a"])


def _step(problem, state):
    return state + problem["rate"] * (problem["a"] * problem["gamma"] - state)


def _gap(problem, state):
    return jnp.abs(problem["a"] * problem["gamma"] - state).sum()


def _done(problem, state):
    return jnp.where(_gap(problem, state) < problem["tolerance"], numerics.Reason.CONVERGED, numerics.Reason.RUNNING)


def _measure(problem, state):
    return {"gap": _gap(problem, state)}


_MUCH = bytes(20_000_000)  # some hundredths of a second of hashing
_METHOD = numerics.Method(_init, _step, _done, _measure)


def _values(result):
    return draw.plot(
        draw.curve(result.place, result["values"], color=draw.SOURCE),
        xlabel="place",
        ylabel=draw.label(result["values"]),
    )


def _convergence(result):
    return draw.plot(
        draw.curve(result.iteration, result.history, color=draw.SOURCE), xlabel="iteration", ylabel="gap", logy=True
    )


def _against_gamma(result):
    return draw.plot(draw.curve(result.gamma, result.total, markers=True), xlabel="γ", ylabel="total", logx=True)


def _links(result):
    x, y = result.x.values, result.y.values
    n = min(len(x), len(y))
    return draw.plot(
        draw.segments(x[:n, 0], x[:n, 1], y[:n, 0], y[:n, 1], 1.0),
        draw.points(x[:, 0], x[:, 1], color=draw.SOURCE),
        draw.points(y[:, 0], y[:, 1], color=draw.TARGET),
        xlabel="x₁",
        ylabel="x₂",
        equal=True,
    )


class Gradual(Study):
    slug = "gradual"
    title = "Gradual approach to a weighted limit"
    field = "Tests"
    paper = Paper("Nobody", "On patience", "TEST", 2024, "")
    about = (
        "A fixed point is approached step by step. Move gamma and see the limit follow. "
        "Look at the error curve: it is a straight line in a logarithmic scale."
    )
    mathematics = r"$s_{t+1} = s_t + \rho\,(\gamma a - s_t)$"
    kind = "transport"
    dims = {"place": ("place", ""), "iteration": ("iteration", "")}  # noqa: RUF012
    results = (
        Result("values", ("place",), "value", "the iterate"),
        Result("total", (), "total", "the sum of the iterate", headline=True),
        Result(
            "gap",
            (),
            "L1 gap",
            "the distance to the limit",
            headline=True,
            judge=lambda v, r: "good" if v < 1e-3 else "warn",
        ),
        Result("iterations", (), "iterations", "steps taken", headline=True),
        Result("history", ("iteration",), "gap", "the gap after each step"),
        Result("x", ("source", "axis"), "x", "source points", absent="the data are a matrix: choose points"),
        Result("y", ("target", "axis"), "y", "target points", absent="the data are a matrix: choose points"),
    )

    data = DataSource("bump-to-bump", doc="a named data set, or the path of a file of yours")
    k = Whole(2, bounds=(1, None), scale="log", symbol="k", doc="places that are kept")
    gamma = Real(1.0, bounds=(1e-4, 1e4), soft=(1e-2, 1e2), scale="log", symbol="γ", doc="strength")
    regularizer = Choice(["entropic", "quadratic", "k-sparse"], doc="which penalty")
    rate = Real(0.5, bounds=(0, 1), inclusive_bounds=(False, True), group="more", symbol="ρ", doc="step length")
    tolerance = Real(1e-6, bounds=(1e-14, 1), scale="log", group="more", doc="the gap at which it ends")
    slow = Switch(False, group="more", doc="compute something else after every chunk")
    fail = Switch(False, group="more", doc="break down on purpose")

    pictures = Pictures(
        Picture("values", "Values", "the iterate at each place", _values),
        Picture(
            "links",
            "Links",
            "drag any point",
            _links,
            where=lambda r: "" if "x" in r and r.x.shape[1] == 2 else "the data have no points in the plane",
            edits=("x", "y"),
        ),
        Picture("convergence", "Convergence", "the gap after each step", _convergence),
        Picture(
            "against_gamma",
            "Total against γ",
            "one run for each γ",
            _against_gamma,
            along=lambda study, data: {"gamma": [0.1, 1.0, 10.0]},
            also=("total",),
        ),
    )
    presets = (
        Preset("strong", "Strong pull", "a large gamma", {"gamma": 50.0}),
        Preset("patient", "Patience", "small steps", {"rate": 0.01, "slow": True}),
        Preset("plane", "Points in the plane", "two clouds to drag", {"data": "gaussians-2d"}),
    )
    claims = (
        Claim(
            "limit",
            "The total is gamma times the mass",
            lambda runs: float(runs(gamma=3.0).total),
            3.0,
            "by hand",
            tolerance=1e-5,
        ),
    )

    def limits(self, data):
        return {"k": Limit(1, len(data.arrays["a"]), f"the data have {len(data.arrays['a'])} sources")}

    @staticmethod
    def compute(inputs, p, loop, warm=None):
        if p.fail:
            raise RuntimeError("broken on purpose")
        report = getattr(loop, "report", None)
        if p.slow and report is not None:

            def rested(progress):
                sha256(_MUCH)
                return report(progress)

            loop = numerics.Chunked(rested, seconds=0.0)
        problem = {"a": jnp.asarray(inputs["a"]), "gamma": p.gamma, "rate": p.rate, "tolerance": p.tolerance}
        run = loop(_METHOD, problem, warm, max_iterations=2000)
        points = {name: np.asarray(inputs[name]) for name in ("x", "y") if name in inputs}
        return {
            "values": run.state,
            "total": run.state.sum(),
            "gap": _gap(problem, run.state),
            "history": run.trace.get("gap", np.zeros(0)),
            "iterations": run.iterations,
            "reason": run.reason,
            "warm": run.state,
            **points,
        }

    @classmethod
    def advice(cls, result):
        return "The pull is strong: lower gamma." if float(result.total) > 20 else ""
