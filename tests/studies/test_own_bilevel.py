"""Losses of one's own as a study of bilevel learning, against closed forms."""

import holoviews as hv
import jax.numpy as jnp
import numpy as np
import pytest

from lab import studies
from lab.cli import main
from lab.studies.tuning import descents

pytestmark = pytest.mark.slow

FILE = """
import jax.numpy as jnp
import numpy as np
from lab import studies

rng = np.random.default_rng(7)
A = rng.standard_normal((3, 2))
B, C = rng.standard_normal((2, 3))
root = rng.standard_normal((3, 3))
H = root @ root.T + np.eye(3)
spectrum = np.linalg.eigvalsh(H)

def h(x, theta, given):  # a quadratic with the minimiser A theta + b
    off = x - A @ theta - given["b"]
    return 0.5 * off @ H @ off

def g(x, given):
    return 0.5 * jnp.sum((x - given["c"]) ** 2)

study = studies.bilevel_study(
    "Two numbers", h, g, np.zeros(3), [1.0, -2.0], r=lambda theta: 0.05 * jnp.sum(theta**2), data={"b": B, "c": C},
    names=("slant", "shift"), budget=20_000, steps=200,
    mu=spectrum[0], smooth=lambda theta: spectrum[-1] + 0 * theta[0], upper=1, inverse=0, cross=0.0, convex=True,
)
"""
SPACE: dict = {}
exec(FILE.partition("study =")[0], SPACE)
A, B, C, h, g = (SPACE[name] for name in "ABChg")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A file on the command line, shown and run."""
    path = tmp_path_factory.mktemp("own") / "my_losses.py"
    path.write_text(FILE)
    assert main(["show", str(path), "--json"]) == 0
    assert main(["run", str(path)]) == 0
    return studies.find("two-numbers")


@pytest.fixture(scope="module")
def run(made):
    return made().run()


def _loss(theta):
    return 0.5 * np.sum((theta @ A.T + B - C) ** 2, axis=-1) + 0.05 * np.sum(theta**2, axis=-1)


def _slope(theta):
    return (theta @ A.T + B - C) @ A + 0.1 * theta


def test_hyperparameters_losses_and_errors_are_those_of_the_closed_form(run):
    best = np.linalg.solve(A.T @ A + 0.1 * np.eye(2), A.T @ (C - B))
    steps = int(run.frame_step[-1])
    path, alpha, z, omega = (
        run[name].values[: steps + (name == "theta")] for name in ("theta", "alpha", "grad_norm", "omega")
    )
    np.testing.assert_array_equal(path[0], [1.0, -2.0])
    np.testing.assert_allclose(path[-1], best, atol=2e-4)  # less can't be certified: eps_min |grad g| is some 1e-11
    assert float(run.loss) == pytest.approx(_loss(best), rel=1e-9)
    assert float(run.loss_start) == pytest.approx(_loss(path[0]), rel=1e-8)  # of a minimiser to 1e-9
    taken = (path[:-1] - path[1:]) / alpha[:, None]
    at = run.frame_step.values.astype(int)
    np.testing.assert_allclose(run.frame_loss, _loss(path[at]), rtol=1e-8)
    np.testing.assert_allclose(run.minimiser, path[at] @ A.T + B, atol=2e-9)
    error = np.linalg.norm(taken - _slope(path[:-1]), axis=1)
    assert (error <= omega + 1e-9).all()
    early = at[:-1][alpha[at[:-1]] * z[at[:-1]] > 1e-3]  # z is seen in the path but for rounding
    np.testing.assert_allclose(run.error.values[: len(early)], error[early], atol=1e-7)
    assert float(error.max()) > 1e-3  # slopes are inexact, and their errors are told as they are
    assert float(run.certified) == 1
    fall = _loss(path[:-1]) - _loss(path[1:])
    assert (fall >= 0.09 * alpha * z**2 - 1e-12).all()


def test_all_rivals_run_and_every_picture_that_applies_is_drawn(made, run):
    assert list(run.run.values) == descents.names()
    assert list(run.which.values) == list(run.hyperparameter.values) == ["slant", "shift"]
    assert float(run.agreement) < 1e-5
    assert float(run.fixed_spread) > 0.05
    plane = _loss(np.stack(np.meshgrid(run.plane_u, run.plane_v), axis=-1))
    np.testing.assert_allclose(run.plane, plane, atol=0.02)
    for picture in made.pictures:
        if picture.along is None:
            hv.renderer("matplotlib").get_plot(picture(run))
    assert not {"images", "filters", "decay"} & {picture.name for picture in made.pictures}
    assert not {"problem", "noise", "known"} & set(made.parameters())
    assert made().budget == 20_000
    assert studies.find("two-numbers") is made


def test_another_start_may_be_brought_if_it_fits(made):
    with pytest.raises(
        ValueError, match=r"x in .* has the shape \(2, 1\), but it is where the 2 hyperparameters begin"
    ):
        made(data={"x": np.zeros((2, 1))}).run()
    assert made().load().arrays["x"].tolist() == [[1.0, -2.0]]


def test_other_losses_arrays_or_surroundings_are_another_recipe():
    def code(factor=2.0, x=(0.0,), **more):
        lower = lambda x, theta: factor * jnp.sum((x - theta) ** 2)  # noqa: E731
        return studies.bilevel_study("Same", lower, jnp.sum, x, [0.0], **more)().recipe()["code"]

    found = [code(), code(3.0), code(x=(1.0,)), code(mu=4.0), code(convex=True)]
    assert code() == found[0]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("h is a int, but a function", {"h": 3}),
        (r"h gives an array of shape \(3,\), but a loss must be a number", {"h": lambda x, theta, given: x}),
        (r"can't be called with theta of shape \(2,\): h\(\) missing 1", {"data": None}),
        (r"can't be called with theta of shape \(3,\)", {"theta": np.zeros(3)}),
        (r"theta has the shape \(\)", {"theta": 1.0}),
        ("theta is .* but finite numbers", {"theta": [1.0, np.nan]}),
        ("x is <U1 of shape", {"x": "a"}),
        (
            "h at the first x and theta gives nan",
            {"h": lambda x, theta, given: jnp.sqrt(-1 - jnp.sum(x**2) + 0 * theta[0])},
        ),
        ("g and r at the first x and theta gives inf", {"r": lambda theta: 1 / (theta[0] - 1.0)}),
        ("mu is 0, but it must be a number above 0", {"mu": 0}),
        ("cross is -1.0, but it must be a number of 0 or more", {"cross": -1.0}),
        ("1 names were given for 2 hyperparameters", {"names": ("one",)}),
        ("etta: no such parameter", {"etta": 1}),
        ("noise: no such parameter", {"noise": 0.1}),
        ("eps0 = -1", {"eps0": -1.0}),
        ("give a slug", {"title": "!"}),
    ],
)
def test_what_does_not_fit_is_refused(match, change):
    given = {"title": "Wrong", "h": h, "g": g, "x": np.zeros(3), "theta": np.ones(2), "data": {"b": B, "c": C}} | change
    with pytest.raises(ValueError, match=match) as caught:
        studies.bilevel_study(**given)
    assert "\n" not in str(caught.value)


def test_a_lower_loss_that_is_not_strongly_convex_is_refused_with_the_curvature_that_was_estimated():
    saddle = lambda x, theta: x[0] ** 2 - 3 * x[1] ** 2 + jnp.sum(theta) * x[0]  # noqa: E731
    made = studies.bilevel_study("Saddle", saddle, lambda x: jnp.sum(x**2), np.zeros(2), [1.0, 1.0])
    with pytest.raises(ValueError, match=r"h is not strongly convex at theta = \(1, 1\): .* curvature -6, but"):
        made(compare=False).run()
