"""The study of the stability of SGD beyond the contract, on a diagonal network of 24 weights and 8 samples."""

from typing import Any

import holoviews as hv
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import datasets, stability, studies
from lab.datasets import Data
from lab.studies.stability.labelled_analysis import ANALYSIS, analyze
from lab.studies.stability.sgd_stability import SGDStability

SMALL = SGDStability(n=8, d=12, steps=400, rates=1, eta=0.1, lowest=0.05, B=2)


@pytest.fixture(scope="module")
def run():
    return SMALL.run()


@pytest.fixture(scope="module")
def ends(run):
    """Samples, and where each method ended by the study's own Hessian: through the weights that it shows."""
    arrays = datasets.load("sparse-regression", n=8, d=12, seed=0).arrays
    return np.asarray(arrays["x"]), np.asarray(arrays["y"])


@pytest.mark.slow
def test_records_are_labeled_by_their_steps(run):
    assert set(run.loss.dims) == {"way", "step"}
    np.testing.assert_array_equal(run.step, 10 * np.arange(41))
    assert run.frame[-1] == run.moment[-1] == 400
    assert float(run.rates[0]) == 0.1


@pytest.mark.slow
def test_gradient_descent_is_that_of_a_loop_by_hand(run, ends):
    x, y = ends
    keys = jax.random.split(jax.random.key(0), 3)
    model = stability.diagonal(keys[0], 12, 1.0)
    a, b = np.asarray(model.a), np.asarray(model.b)
    for step in range(400):
        slope = (x @ (a * b) - y) @ x / 8
        g = np.stack([slope * b, slope * a])
        g *= min(1, 50 / np.linalg.norm(g))
        a, b = a - 0.1 * g[0], b - 0.1 * g[1]
        if step == 9:
            np.testing.assert_allclose(run.loss.sel(way="GD")[1], ((x @ (a * b) - y) ** 2).mean() / 2, rtol=1e-9)
    np.testing.assert_allclose(run.pair.sel(way="GD").isel(frame=-1), np.stack([a**2, b**2], axis=1), atol=1e-12)
    rows = np.concatenate([x * b, x * a], axis=1)
    values = np.linalg.eigvalsh(rows.T @ rows / 8)
    gd = run.sel(way="GD")
    np.testing.assert_allclose([gd.tr_end, gd.lmax_end], [values.sum(), values[-1]])
    np.testing.assert_allclose(gd.eta_star, 2 / values[-1])
    np.testing.assert_allclose(gd.rho, max((1 - 0.1 * values[values > 1e-9]) ** 2), rtol=1e-6)
    assert float(run.half_tr_gd) == pytest.approx(0.05 * values.sum())
    assert float(run.half_lmax_gd) == pytest.approx(0.05 * values[-1])


@pytest.mark.slow
def test_thresholds_are_those_of_enumerated_batches(run, ends):
    """rho of SGD by the dense map on symmetric matrices, averaged over all pairs without the study's own algebra."""
    x, _ = ends
    matrix = run.hessian.values  # at interpolation, of the end of SGD; every entry
    squares = run.pair.sel(way="SGD").isel(frame=-1).values
    np.testing.assert_allclose(np.trace(matrix), run.tr_end.sel(way="SGD"), rtol=2e-2)
    np.testing.assert_allclose(run.tr_end.sel(way="SGD"), (x**2).mean(axis=0) @ squares.sum(axis=1))
    # the signs of a and b are not shown, but only |a|, |b| enter the spectrum of T up to a change of signs of coordinates
    a, b = np.sqrt(squares).T
    rows = np.concatenate([x * b, x * a], axis=1)
    u, s, _ = np.linalg.svd(rows, full_matrices=False)
    rows = u * s
    each = np.einsum("ni,nj->nij", rows, rows)
    for eta, expected in ((0.1, None), (float(run.eta_star.sel(way="SGD")), 1.0)):
        total = np.zeros((64, 64))
        for i in range(8):
            for j in range(8):
                step = np.eye(8) - eta * (each[i] + each[j]) / 2
                total += np.kron(step, step) / 64
        rho = np.abs(np.linalg.eigvals(total)).max()
        np.testing.assert_allclose(run.rho.sel(way="SGD") if expected is None else expected, rho, rtol=1e-5)
    # the diagram, of few steps of Lanczos, against what that matrix says
    row = list(run.batch.values).index(2)
    column = int(np.abs(run.eta_grid.values - 1.5 * float(run.eta_star.sel(way="SGD"))).argmin())
    eta = float(run.eta_grid[column])
    total = sum(np.kron(np.eye(8) - eta * (p + q) / 2, np.eye(8) - eta * (p + q) / 2) / 64 for p in each for q in each)
    np.testing.assert_allclose(run.rho_map[row, column], np.abs(np.linalg.eigvals(total)).max(), rtol=5e-3)


@pytest.mark.slow
def test_the_labs_own_network_as_a_users_gives_the_same_numbers(run):
    start = stability.diagonal(jax.random.split(jax.random.key(0), 3)[0], 12, 1.0)
    arrays = SMALL.load().arrays
    predict = lambda p, x: (p["a"] * p["b"]) @ x  # noqa: E731
    mine = studies.model_study("Mine", {"a": start.a, "b": start.b}, arrays, predict=predict)
    found = mine(steps=400, rates=1, eta=0.1, lowest=0.05, B=2).run()
    for name in (
        "loss",
        "tr",
        "lmax",
        "final_test_error",
        "eta_star",
        "rho",
        "eta_star_B",
        "density",
        "hessian",
        "sharpness",
    ):
        np.testing.assert_allclose(found[name], run[name], rtol=1e-6, atol=1e-9, err_msg=name)
    assert "final_path_norm" not in found
    assert "pair" not in found
    names = {picture.name for picture in mine.pictures}
    assert {"balance", "norms"}.isdisjoint(names)
    assert {"sweep", "diagram", "spectrum", "hessian", "edge"} <= names
    for picture in mine.pictures:
        assert not picture.applies(found)
        hv.render(picture(found), backend="matplotlib")


@pytest.mark.slow
def test_density_integrates_to_one_and_ends_at_the_largest_eigenvalue(run):
    width = float(run.eigenvalue[1] - run.eigenvalue[0])
    np.testing.assert_allclose(run.density.sum("bin") * width, 1, atol=0.02)
    top = np.linalg.eigvalsh(run.hessian.values)[-1]
    np.testing.assert_allclose(run.sharpness.sel(way="SGD")[-1], top, rtol=1e-6)
    np.testing.assert_array_equal(run.layer_edge, [0, 12, 24])


@pytest.mark.slow
def test_clicks_choose_a_learning_rate_and_a_batch_size(run):
    sweep, diagram = SGDStability.pictures.sweep, SGDStability.pictures.diagram
    assert sweep.clicked(run, 0.06, 1.0) == {"eta": 0.05}
    assert sweep.clicked(run, -1.0, 1.0) == {}
    found = diagram.clicked(run, 3.0, 2.2)
    assert found["B"] == 4
    assert found["eta"] == pytest.approx(float(run.eta_grid[3]), rel=1e-2)
    assert diagram.clicked(run, 3.0, 99.0) == {}
    assert SMALL.but(**found).values()["B"] == 4


def levels(result, name):
    """The level lines of a picture."""
    return sorted(each.data for each in SGDStability.pictures[name](result).traverse(lambda e: e, [hv.HLine]))


@pytest.mark.slow
def test_lines_are_the_limits_by_which_headlines_are_judged(run):
    """Of batches, of batches without replacement and of more than there are samples, of several outputs, with momentum."""
    judges = {each.name: each.judge for each in SGDStability.results}
    several, seen = run.assign_attrs(outputs=3), []
    pushed = SMALL.but(momentum=True, beta=0.5).run(report=lambda p: seen.append(p.trace))
    for result, trace, descent in (
        (run, 2, 1),
        (several, 6, 1),
        (SMALL.but(sampling="without").run(), 2 * 7 / 6, 1),
        (SMALL.but(B=20).run(), 20, 1),
        (pushed, np.inf, 1.5),
    ):
        for name, limit in (("half_tr_sgd", trace), ("half_lmax_gd", descent)):
            told = [judges[name](limit * factor, result) for factor in (0.99, 1.01)]
            assert told == (["good", "warn"] if np.isfinite(limit) else ["", ""])
        np.testing.assert_allclose(levels(result, "edge"), [each for each in (descent, trace) if np.isfinite(each)])
        eta = np.sort(result.rates.values)
        curves = SGDStability.pictures["sweep"](result).traverse(lambda e: e, [hv.Curve])[:2]
        wanted = [2 * trace / eta if np.isfinite(trace) else eta * np.nan, 2 * descent / eta]
        for curve, line in zip(curves, wanted, strict=True):
            np.testing.assert_allclose(curve.dimension_values(1), line, rtol=1e-6)
    assert "limit of tr" not in seen[-1]
    np.testing.assert_allclose(seen[-1]["limit of lmax"], 1.5)


@pytest.mark.slow
def test_runs_that_do_not_interpolate_are_marked(run):
    early = SMALL.but(eta=1e-4, lowest=1e-5).run()
    of_trace = next(each.judge for each in SGDStability.results if each.name == "half_tr_sgd")
    assert of_trace is not None
    assert [of_trace(value, run) for value in (1.9, 2.1)] == ["good", "warn"]  # B = 2, one output
    assert "did not interpolate" in early.attrs["advice"]
    assert (early.interpolated.isel(rate=0) == 0).all()
    judges = {each.name: each.judge for each in SGDStability.results}
    judge = judges["loss_sgd"]
    assert judge is not None
    assert judge(float(early.loss_sgd), early) == "warn"
    for name in "edge diagram spectrum balance hessian".split():
        assert "not interpolate" in words(early, name) or "SGD*" in words(early, name), name
    for name in ("sweep", "error", "norms"):
        assert "gray: 4 runs" in words(early, name), name
    done = run.assign(interpolated=run.interpolated * 0 + 1)
    for picture in SGDStability.pictures:
        assert "not interpolate" not in words(done, picture.name), picture.name
        assert "*" not in words(done, picture.name), picture.name


def words(result, name: str) -> str:
    """All that is written in a picture."""
    picture = SGDStability.pictures[name](result)
    return " ".join(
        str(word) for layer in picture.traverse(lambda x: x, [hv.Labels]) for word in layer["text"]
    ).replace("\u00a0", " ")


@pytest.mark.slow
def test_a_run_that_diverges_is_a_result(run):
    grown = run.assign(final_loss=run.final_loss + 1e9)
    assert SGDStability.advice(grown) == "SGD and GD diverged at the learning rate η = 0.1: lower it."
    SMALL.but(eta=50.0, clip=1e200).run()  # programs may have been given up between two tests
    lost = SMALL.but(eta=60.0, clip=1e200).run()
    assert lost.attrs["programs_compiled"] == 0
    assert lost.attrs["advice"].startswith("SGD and GD diverged")
    assert lost.attrs["reason"] == "not_finite"
    nothing = lost.map(
        lambda each: each * np.nan if each.dims[:1] == ("way",) and each.name != "interpolated" else each
    )
    nothing.attrs = lost.attrs
    assert "initial weights" in SGDStability.advice(nothing)
    for picture in SGDStability.pictures:
        if not picture.applies(lost):
            hv.render(picture(nothing), backend="matplotlib")
    flat = run.assign(lmax_end=0 * run.lmax_end)
    assert "Hessian is 0" in SGDStability.pictures.diagram.applies(flat)


def mine(x: Any, y: Any) -> Data:
    return Data("mine", "Mine", "training", {"x": np.asarray(x, float), "y": np.asarray(y, float)}, "a test", "none")


def test_what_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((6, 3))
    for match, study in (
        ("B = 9 .* 6 samples", SGDStability(data=mine(x, x[:, 0]), B=9, sampling="without")),
        ("x in mine is nan at row 0, column 0", SGDStability(data=mine(x * np.nan, x[:, 0]))),
        ("a single sample, but 2 to 5,000 samples", SGDStability(data=mine(x[:1], x[:1, 0]))),
        ("30 outputs, but", SGDStability(data=mine(x, np.ones((6, 30))))),
        ("outputs y in mine are all 0", SGDStability(data=mine(x, 0 * x[:, 0]))),
        ("y in mine is nan at entry 2", SGDStability(data=mine(x, np.where(np.arange(6) == 2, np.nan, x[:, 0])))),
        ("takes images", SGDStability(data=mine(x, x[:, 0]), model="convolutional")),
        ("gives one number", SGDStability(data=mine(x, x), model="diagonal")),
        ("parameters, but at most", SGDStability(data=mine(x, x), m=1000)),
        ("exchange them", SGDStability(lowest=1.0, highest=0.1)),
    ):
        with pytest.raises(ValueError, match=match):
            study.run()
    path = tmp_path / "table.csv"
    path.write_text("a,b,y\n1,2,3\n2,0,1\n0,1,2\n1,1,5\n")
    data = SGDStability(data=str(path)).load()
    assert data.arrays["x"].shape == (4, 2)
    np.testing.assert_array_equal(data.arrays["y"], [3, 1, 2, 5])
    path.write_text("a,b,y\n1,2,cat\n2,0,dog\n")
    with pytest.raises(ValueError, match=r"'y' of .* does not hold numbers: write a number for each class"):
        SGDStability(data=str(path)).load()


@pytest.mark.slow
def test_analysis_of_a_users_own_function():
    """A linear model, whose Hessian is known."""
    x = np.random.default_rng(1).standard_normal((5, 7))
    params = {"w": jnp.asarray(np.random.default_rng(2).standard_normal(7))}
    y = jnp.asarray(x) @ params["w"]
    predict = lambda params, x: jnp.vdot(params["w"], x)  # noqa: E731
    loss = lambda params, x, y: ((jax.vmap(lambda a: predict(params, a))(x) - y) ** 2).mean() / 2  # noqa: E731
    found = analyze(loss, params, jnp.asarray(x), y, predict=predict, batch_sizes=(1, 5))
    h = x.T @ x / 5
    np.testing.assert_allclose(found.hessian, h, atol=1e-12)
    np.testing.assert_allclose(found.eigenvalue, np.linalg.eigvalsh(h)[::-1][:3], rtol=1e-8)
    np.testing.assert_allclose(found.trace, np.trace(h), rtol=1e-8)
    np.testing.assert_allclose(found.eta_star.sel(drawn="without", batch=5), 2 / np.linalg.eigvalsh(h)[-1], rtol=1e-9)
    assert list(found.array.values) == ["w"]
    for picture in ANALYSIS:
        assert not picture.applies(found)
        hv.render(picture(found), backend="matplotlib")
