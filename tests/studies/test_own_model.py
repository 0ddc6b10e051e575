"""A model of one's own as a study."""

import warnings
from functools import partial
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lab import stability, studies
from lab.cli import main

RNG = np.random.default_rng(0)
X = RNG.standard_normal((8, 3))
Y = X[:, 0] - np.tanh(X[:, 1])
PARAMS = {"w": RNG.standard_normal((4, 3)), "v": RNG.standard_normal(4)}


def predict(params, x):
    return params["v"] @ jnp.tanh(params["w"] @ x)


def loss(params, x, y):
    return ((jax.vmap(partial(predict, params))(x) - y) ** 2).mean() / 2


@pytest.mark.slow
def test_any_pytree_is_a_model():
    net = partial(eqx.nn.MLP, 3, 2, 5, 1, jax.nn.tanh)
    two = np.stack([Y, X[:, 2]], axis=1)
    made = studies.model_study("Module", lambda key: net(key=key), (X, two), eta=0.05, steps=100)
    case = made.planned(made().load(), made())
    assert made().eta == 0.05
    assert made().n == 8
    assert [size for _, size in case.arrays] == [15, 5, 10, 2]
    assert case.arrays[0][0] == "layers/0/weight"
    assert case.outputs == 2
    assert studies.find("module") is made
    seeds = [made.own(jax.random.key(seed), 2.0, (2,)) for seed in (0, 1)]
    first, second = (jax.tree.leaves(eqx.filter(seed, eqx.is_array))[0] for seed in seeds)
    assert np.abs(first - second).max() > 0.1  # another seed is another start
    np.testing.assert_allclose(first, 2 * net(key=jax.random.key(0)).layers[0].weight)

    nested = {
        "params": {"dense": {"kernel": RNG.standard_normal((3, 2)).astype(np.float32), "bias": np.zeros(2)}},
        "n": 3,
    }
    apply = lambda p, x: x @ p["params"]["dense"]["kernel"] + p["params"]["dense"]["bias"]  # noqa: E731
    flax = studies.model_study("Dictionary", nested, (X, two), predict=apply)
    assert dict(flax.planned(flax().load(), flax()).arrays) == {"params/dense/bias": 2, "params/dense/kernel": 6}
    model = flax.own(jax.random.key(0), 1.0, (2,))
    assert model.params["n"] == 3
    assert model(jnp.asarray(X[0])).dtype == jnp.float64
    weighted = studies.model_study("Normed", stability.diagonal(jax.random.key(0), 3), (X, Y))
    assert "norms" in {picture.name for picture in weighted.pictures}


@pytest.mark.slow
def test_a_square_loss_tells_what_the_model_gives():
    made = studies.model_study("By loss", PARAMS, (X, Y), loss=loss)
    model = made.own(jax.random.key(0), 1.0, ())
    np.testing.assert_allclose(jax.vmap(model)(X), jax.vmap(partial(predict, PARAMS))(X), rtol=1e-12)
    column = lambda p, x, y: ((jax.vmap(partial(predict, p))(x)[:, None] - y) ** 2).mean() / 2  # noqa: E731
    column_of = studies.model_study("A column", PARAMS, (X, Y[:, None]), loss=column)
    assert column_of.own(jax.random.key(0), 1.0, (1,))(jnp.asarray(X[0])).shape == (1,)


def test_other_code_weights_or_surroundings_are_another_recipe():
    def recipe(**changes):
        given = {"params": PARAMS, "predict": predict} | changes
        made = studies.model_study("Same", given["params"], (X, Y), predict=given["predict"])
        return made().recipe()["code"]

    def with_factor(factor):
        return lambda params, x: factor * predict(params, x)

    assert recipe() == recipe()
    assert recipe() != recipe(params=PARAMS | {"v": 2 * PARAMS["v"]})
    assert recipe(predict=with_factor(2.0)) != recipe(predict=with_factor(3.0))
    first = studies.model_study("Same", PARAMS, (X, Y), predict=predict)().load()
    second = studies.model_study("Same", PARAMS, (X, 2 * Y), predict=predict)().load()
    assert first.sha256 != second.sha256  # the set of that name is the new one


@pytest.mark.parametrize(
    ("match", "change"),
    [
        (r"gives \(4,\) at one sample of shape \(3,\), but y .* \(8,\)", {"predict": lambda p, x: p["w"] @ x}),
        (r"has no y, but x", {"data": {"x": X}}),
        (r"y in .* is needed, and x has n = 8 samples", {"data": (X, Y[:5])}),
        (r"is nan at", {"data": (X, Y * np.nan)}),
        (r"fails on one sample x of shape \(3,\): KeyError", {"predict": lambda p, x: p["u"] @ x}),
        (r"not half the mean squared error: on 8 samples it is", {"predict": None, "loss": lambda *a: 2 * loss(*a)}),
        (
            r"not half the mean squared error",
            {"predict": None, "loss": lambda p, x, y: jnp.abs(jax.vmap(partial(predict, p))(x) - y).mean()},
        ),
        (r"both given", {"loss": loss}),
        (r"the model fails on one sample", {"predict": None}),
        (r"nothing to train", {"params": {"w": 3}}),
        (r"called with a key, fails: ZeroDivisionError", {"params": lambda key: 1 / 0}),
        (r"gives int", {"predict": lambda p, x: jnp.int32(1)}),
        (r"data must be", {"data": 3}),
        (r"no data set", {"data": "digit-trainning"}),
        (r"etta: no such parameter", {"etta": 1}),
        (r"eta = -1", {"eta": -1.0}),
        (r"give a slug", {"title": "!"}),
    ],
)
def test_what_does_not_fit_is_refused(match, change):
    given = {"title": "Wrong", "params": PARAMS, "data": (X, Y), "predict": predict} | change
    with pytest.raises((ValueError, TypeError), match=match) as caught:
        studies.model_study(given.pop("title"), given.pop("params"), given.pop("data"), **given)
    assert "\n" not in str(caught.value)


def test_other_data_that_do_not_fit_are_refused():
    made = studies.model_study("Narrow", PARAMS, (X, Y), predict=predict)
    with pytest.raises(ValueError, match=r"fails on one sample x of shape \(100,\)"):
        made(data="sparse-regression").run()
    with pytest.raises(ValueError, match="n = 20 is not allowed: it must be a whole number from 2 to 8"):
        made(n=20)


def test_a_file_of_ten_lines_is_a_study_on_the_command_line(tmp_path, capsys):
    path = Path(tmp_path, "my_model.py")
    path.write_text(
        "import numpy as np\nfrom lab import studies\n"
        "x = np.random.default_rng(0).standard_normal((6, 2))\n"
        "params = {'w': np.ones(2)}\n"
        "study = studies.model_study('My model', params, (x, x[:, 0]), predict=lambda p, x: p['w'] @ x)\n"
    )
    assert main(["show", str(path), "--json"]) == 0
    told = capsys.readouterr().out
    assert '"my-model-data"' in told
    assert '"name": "m"' not in told
    assert main(["run", str(path), "--eta", "-3"]) == 2
    assert "eta = -3" in capsys.readouterr().err


def test_a_name_of_the_labs_own():
    for title, slug in (("Sparse OT", ""), ("Mine", "sparse-ot")):
        with pytest.raises(ValueError, match=r"sparse-ot is taken by the lab's own study .* another slug"):
            studies.model_study(title, PARAMS, (X, Y), predict=predict, slug=slug)
    assert studies.find("sparse-ot") is studies.SparseOT
    first, again = (studies.model_study("Mine", PARAMS, (X, Y), predict=predict) for _ in range(2))
    assert studies.find("mine") is again is not first  # a cell of a notebook is run twice


def test_float64_is_asked_for_before_anything_is_cut():
    with jax.enable_x64(False), warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match=r"needs float64, which is off: begin with lab\.notebook"):
            studies.model_study("Narrow", PARAMS, (X, Y), predict=predict)
        with pytest.raises(ValueError, match=r"begin with lab\.notebook"):
            studies.find("sgd-stability")().run()
