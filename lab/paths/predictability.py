r"""How well one can tell from two outputs which traversal led from the one to the other: the VP score.

Of pairs $(G(z), G(z'))$ a tenth trains a small classifier to name the traversal; its accuracy on the others is the score. It
grows with the length of the way and comes to 1 for any K directions that differ, so it is compared at equal mean $|z' - z|$
only, and at short lengths.

Source: Zhu, Xu, Liu, Tao, *Learning disentangled representations with latent variation predictability*, ECCV 2020.
"""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.numerics import Loop, Method, Reason
from lab.numerics.learning import ADAM, descend
from lab.paths.potential_learning import Classifier

STEPS = 400
TRAINED = 0.1  # of the pairs


class Questions(eqx.Module):
    """Some sets of pairs, each with a classifier of its own, trained side by side."""

    models: Classifier  # stacked
    pairs: Float[Array, "sets rows inputs"]  # both outputs, side by side
    labels: Int[Array, " rows"]
    rate: Float[Array, ""]
    steps: Int[Array, ""]
    known: int = eqx.field(static=True)  # the first rows, that are trained on


class State(NamedTuple):
    models: Classifier
    moments: Any
    step: Int[Array, ""]
    loss: Float[Array, ""]


class Score(NamedTuple):
    accuracy: Float[Array, " sets"]
    error: Float[Array, " sets"]  # standard error, of the pairs that were not trained on
    reason: Any


def _entropy(model: Classifier, pairs: Array, labels: Array) -> Array:
    scores = jax.nn.log_softmax(jax.vmap(model)(pairs))
    return -jnp.take_along_axis(scores, labels[:, None], axis=1).mean()


def _init(work: Questions) -> State:
    return State(work.models, ADAM.init(eqx.filter(work.models, eqx.is_array)), jnp.int32(0), 0 * work.rate)


def _step(work: Questions, state: State) -> State:
    def of_all(models: Classifier) -> Array:
        rows, labels = work.pairs[:, : work.known], work.labels[: work.known]
        return jax.vmap(lambda model, pairs: _entropy(model, pairs, labels))(models, rows).sum()

    value, slope = jax.value_and_grad(of_all)(state.models)
    models, moments = descend(ADAM, state.models, slope, state.moments, work.rate)
    return State(models, moments, state.step + 1, value)


def _done(work: Questions, state: State) -> Array:
    return jnp.where(state.step >= work.steps, Reason.CONVERGED, Reason.RUNNING).astype(jnp.int32)


_TRAIN = Method(_init, _step, _done, lambda work, state: {"ce": state.loss})


def score(
    loop: Loop,
    key: PRNGKeyArray,
    pairs: Float[Array, "sets rows inputs"],
    labels: Int[Array, " rows"],
    count: int,
    *,
    steps: int = STEPS,
    learning_rate: ArrayLike = 1e-3,
) -> Score:
    """The VP score of each set of pairs, by full batches and Adam.

    Args:
        pairs: both outputs side by side; rows in an order that does not depend on the labels.
        labels: which of ``count`` traversals each row is of.

    Raises:
        ValueError: fewer than 10 rows, or fewer than 2 traversals.
    """
    sets, rows, inputs = pairs.shape
    known = round(TRAINED * rows)
    if rows < 10 or count < 2:
        raise ValueError(f"{rows} pairs of {count} traversals, but at least 10 pairs of at least 2 are needed")
    models = jax.vmap(lambda own: Classifier(own, inputs, count, pairs.dtype))(jax.random.split(key, sets))
    rate = jnp.asarray(learning_rate, pairs.dtype)
    run = loop(_TRAIN, Questions(models, pairs, labels, rate, jnp.int32(steps), known), max_iterations=steps)
    accuracy, error = _judged(run.state.models, pairs[:, known:], labels[known:])
    return Score(accuracy, error, run.reason)


@jax.jit
def _judged(models: Classifier, pairs: Array, labels: Array) -> tuple[Array, Array]:
    right = jax.vmap(lambda model, rows: jax.vmap(model)(rows).argmax(axis=1) == labels)(models, pairs)
    accuracy = right.mean(axis=1, dtype=pairs.dtype)
    return accuracy, jnp.sqrt(accuracy * (1 - accuracy) / labels.shape[0])
