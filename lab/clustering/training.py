r"""Deep clustering by transport: pseudo-labels are a plan between samples and clusters, and the network learns them.

A linear layer A (started at the identity) and a cosine head W (started at the centres of one k-means run),

$$ \mathrm{logits}(x) = 10\, \Big\langle \frac{A x}{|A x|}, \frac{W_k}{|W_k|} \Big\rangle, \qquad
   L = \mathrm{CE}(p^1, q^2) + \mathrm{CE}(p^2, q^1), \qquad \mathrm{CE}(p, q) = -\tfrac1n \sum_{ik} q_{ik} \log p_{ik}, $$

see two noisy views of every sample. The pseudo-labels q of a view are n times the plan at cost $-\log p$, held fixed; a row
weighs as much as it is transported. What is transported says which method it is:

| method | share $\rho$ | sizes $\lambda$ | similarity $\mu$ |
|---|---|---|---|
| balanced (SeLa, SwAV) | 1 | infinite: all clusters equal | 0 |
| uot | 1 | flexible | 0 |
| p2ot | $\rho_0 \to \rho_1$: the confident samples first | flexible | 0 |
| sp2ot | the same | flexible | $(1 - \rho)\,\mu$: fades out |

All of them are numbers: one compiled program serves every method, and ``vmap`` trains methods and seeds side by side.

Sources: Zhang, Ren, He, P2OT, ICLR 2024; SP2OT, 2024. The full batch takes the place of their memory buffer.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from lab.clustering import semantic
from lab.clustering.kmeans import check, kmeans
from lab.clustering.metrics import match, scores, table
from lab.clustering.semantic import Similarity
from lab.numerics import Loop, Method, Reason, pure, random
from lab.numerics.arguments import real, whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.learning import ADAM, descend, rate
from lab.ot.problem import Problem
from lab.ot.regularizers import Entropic

_SCALE = 10.0  # of the cosine head


class Schedule(NamedTuple):
    r"""How the share of labelled mass grows, $\rho_t = \rho_0 + (\rho_1 - \rho_0)\, s(t/T)$.

    $s(u) = e^{-5 (1 - u)^2}$, or u where ``linear``. At the start the sigmoid is at $e^{-5} = 0.0067$, not 0.
    """

    rho0: ArrayLike = 0.1
    rho1: ArrayLike = 1.0
    linear: ArrayLike = False

    def __call__(self, u: ArrayLike) -> Float[Array, "*times"]:
        u, low, high = jnp.asarray(u), jnp.asarray(self.rho0), jnp.asarray(self.rho1)
        return low + (high - low) * jnp.where(self.linear, u, jnp.exp(-5 * (1 - u) ** 2))


class Settings(NamedTuple):
    """Everything that may be swept; traced."""

    schedule: Schedule = Schedule()
    lam: ArrayLike = 1.0  # weight of the sizes, in nats; inf: exact
    epsilon: ArrayLike = 0.1
    strength: ArrayLike = 0.0  # mu, of the similarity at rho = 0
    noise: ArrayLike = 0.1  # standard deviation of a view
    head_rate: ArrayLike = 2e-2
    layer_rate: ArrayLike = 5e-3


def balanced(settings: Settings) -> Settings:
    """All samples, clusters of equal size."""
    return settings._replace(schedule=settings.schedule._replace(rho0=1.0, rho1=1.0), lam=np.inf, strength=0.0)


def uot(settings: Settings) -> Settings:
    """All samples, flexible sizes."""
    return settings._replace(schedule=settings.schedule._replace(rho0=1.0, rho1=1.0), strength=0.0)


def p2ot(settings: Settings) -> Settings:
    """A growing share of the samples, flexible sizes."""
    return settings._replace(strength=0.0)


def sp2ot(settings: Settings) -> Settings:
    """That, and similar samples drawn together: the settings as they are."""
    return settings


METHODS = {"balanced": balanced, "uot": uot, "p2ot": p2ot, "sp2ot": sp2ot}
WHOLE = ("balanced", "uot")
"""Methods that label all samples."""


class Model(NamedTuple):
    """The linear layer and the cosine head."""

    layer: Float[Array, "d d"]
    head: Float[Array, "k d"]


class Curves(NamedTuple):
    """After each epoch; the scores are those of the clusters without noise, against the true classes."""

    loss: Float[Array, " epochs"]  # over rho, in nats
    rho: Float[Array, " epochs"]
    accuracy: Float[Array, " epochs"]
    nmi: Float[Array, " epochs"]
    f1: Float[Array, " epochs"]
    precision: Float[Array, " epochs"]  # share of the pseudo-labelled mass that has its class
    recall: Float[Array, " epochs"]  # share of all samples' mass that is pseudo-labelled with its class
    residual: Float[Array, " epochs"]  # L1 error of the plans


class Training(NamedTuple):
    """A trained clustering. It converged if every plan did; a training has no stopping rule but its length."""

    model: Model
    start: Int[Array, " n"]  # clusters of k-means, where the training began
    clusters: Int[Array, " n"]
    plan: Float[Array, "n k"]  # the last pseudo-labels, of total mass rho
    curves: Curves
    reason: Int[Array, ""] | int


class Experiment(NamedTuple):
    """What a training consists of."""

    x: Float[Array, "n d"]
    classes: Int[Array, " n"]  # for the curves only
    similarity: Similarity
    prior: Float[Array, " k"]
    settings: Settings
    epochs: Float[Array, ""]
    key: PRNGKeyArray
    model: Model


class State(NamedTuple):
    """Where a training is."""

    model: Model
    moments: optax.OptState
    epoch: Int[Array, ""]
    potentials: Float[Array, "2 k_and_1"]
    plan: Float[Array, "n k"]
    settled: Array  # bool
    measured: dict[str, Array]


def logits(model: Model, x: Float[Array, "n d"]) -> Float[Array, "n k"]:
    """The scores of the clusters, between -10 and 10."""
    return _SCALE * _unit(x @ model.layer) @ _unit(model.head).T


def _unit(x: Array) -> Array:
    return x / jnp.sqrt(jnp.maximum((x * x).sum(axis=1, keepdims=True), 1e-12))


def _init(experiment: Experiment) -> State:
    zero = jnp.zeros((), experiment.x.dtype)
    k = experiment.prior.shape[0]
    measured = dict.fromkeys(Curves._fields, zero)
    plan = jnp.zeros((experiment.x.shape[0], k), experiment.x.dtype)
    potentials = jnp.zeros((2, k + 1), experiment.x.dtype)
    moments = ADAM.init(experiment.model)  # type: ignore[arg-type]
    return State(experiment.model, moments, jnp.int32(0), potentials, plan, jnp.array(True), measured)


def _step(experiment: Experiment, state: State) -> State:
    """One epoch: two views, their plans, and a step of Adam on the whole batch."""
    settings, (n, d) = experiment.settings, experiment.x.shape
    time = state.epoch.astype(experiment.x.dtype) / experiment.epochs
    rho = settings.schedule(time)
    strength = (1 - rho) * settings.strength
    noise = settings.noise * random.normal(
        jax.random.fold_in(experiment.key, state.epoch), (2, n, d), experiment.x.dtype
    )
    views = experiment.x[None] + noise
    scored = jax.vmap(logits, in_axes=(None, 0))(state.model, views)
    uniform = jnp.full(n, 1 / n, experiment.x.dtype)

    def label(cost, potentials):
        # the plan moves from epoch to epoch, so it starts from the uniform one, and the potentials where they were
        problem = Problem(cost, uniform, experiment.prior)
        start = semantic.Solution(
            rho * uniform[:, None] * experiment.prior[None, :], potentials, rho, rho, 0, jnp.int32(0), rho, 0, {}
        )
        return semantic.solve(
            problem,
            Entropic(settings.epsilon),
            experiment.similarity,
            rho=rho,
            lam=settings.lam,
            strength=strength,
            max_iterations=30,
            init=start,
        )

    found = jax.vmap(label)(-jax.nn.log_softmax(scored, axis=2), state.potentials)
    labels = jax.lax.stop_gradient(n * found.plan)

    def loss(model):
        log_p = jax.nn.log_softmax(jax.vmap(logits, in_axes=(None, 0))(model, views), axis=2)
        return -(labels[::-1] * log_p).sum() / n

    value, slope = jax.value_and_grad(loss)(state.model)
    rates = Model(rate(settings.layer_rate, time), rate(settings.head_rate, time))
    model, moments = descend(ADAM, state.model, slope, state.moments, rates)

    plan = found.plan.mean(axis=0)
    clusters = clusters_of(model, experiment.x)
    judged = scores(experiment.classes, clusters, experiment.prior.shape[0])
    hit = (match_labels(experiment.classes, plan) == experiment.classes) * plan.sum(axis=1)
    measured = {
        "loss": value / rho,
        "rho": rho,
        "accuracy": judged.accuracy,
        "nmi": judged.nmi,
        "f1": judged.f1,
        "precision": hit.sum() / rho,
        "recall": hit.sum(),
        "residual": found.residual.max(),
    }
    measured = {name: jnp.asarray(number, experiment.x.dtype) for name, number in measured.items()}
    # the objective of an indefinite similarity may go round in circles: what must hold is each plan's marginals
    settled = state.settled & (found.residual <= 1e-6).all()
    return State(model, moments, state.epoch + 1, found.potentials, plan, settled, measured)


def clusters_of(model: Model, x: Float[Array, "n d"]) -> Int[Array, " n"]:
    """The cluster of each sample."""
    return logits(model, x).argmax(axis=1).astype(jnp.int32)


def match_labels(classes: Int[Array, " n"], plan: Float[Array, "n k"]) -> Int[Array, " n"]:
    """The class that each sample's pseudo-label stands for, clusters matched by the labelled mass."""
    k = plan.shape[1]
    labels = plan.argmax(axis=1).astype(jnp.int32)
    counts = jnp.zeros((k, k), plan.dtype).at[classes, labels].add(plan.sum(axis=1))
    return match(counts)[labels]


def _done(experiment: Experiment, state: State) -> Array:
    over = state.epoch >= experiment.epochs
    reason = jnp.where(over, jnp.where(state.settled, Reason.CONVERGED, Reason.STALLED), Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.measured["loss"]), reason, Reason.NOT_FINITE).astype(jnp.int32)


EPOCHS = Method(_init, _step, _done, lambda experiment, state: state.measured)


def begin(key: PRNGKeyArray, x: Float[Array, "n d"], k: int) -> tuple[Model, Int[Array, " n"]]:
    """The model that a training with this key begins with, and its clusters: the identity, and centres of k-means."""
    check(x, k)
    return _begin(key, x, k)


@jit
def _begin(key: PRNGKeyArray, x: Array, k: int) -> tuple[Model, Array]:
    centres, clusters = kmeans(jax.random.split(key)[0], x, k)
    return Model(jnp.eye(x.shape[1], dtype=x.dtype), centres.astype(x.dtype)), clusters


def train(
    key: PRNGKeyArray,
    x: Float[Array, "n d"],
    classes: Int[Array, " n"],
    settings: Settings,
    *,
    k: int,
    neighbours: int = 20,
    epochs: int = 40,
    prior: Float[Array, " k"] | None = None,
    loop: Loop = pure,
) -> Training:
    r"""Cluster samples into k clusters; the classes serve for the curves only.

    The loss is $L = \mathrm{CE}(p^1, q^2) + \mathrm{CE}(p^2, q^1)$ of two noisy views, q being n times the plan of the view.
    Time of an epoch O(n d^2 + steps n k^2), memory O(n (d + k^2)).

    Args:
        key: of the start of k-means and of the noise.
        x: features, centred, (n, d); their dtype decides that of the work.
        classes: true classes 0 ... k - 1, (n,).
        settings: as one of ``METHODS`` makes them.
        k: clusters, at least 2; static, as neighbours and epochs are.
        neighbours: of each sample in the similarity; at most n - 1 are taken.
        epochs: steps of the training.
        prior: (k,) positive shares of the clusters, of sum 1; equal when omitted.
        loop: ``pure``, or a ``Chunked`` that reports and stops between epochs.

    Returns:
        the model, clusters before and after (n,), the last plan (n, k), and curves by epoch.

    Raises:
        ValueError: k, prior or classes that do not fit.

    Source:
        Zhang, Ren and He (2024), P2OT and SP2OT.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import clustering
        >>> try:
        ...     clustering.train(jax.random.key(0), jnp.eye(4), jnp.arange(4), clustering.Settings(), k=5)
        ... except ValueError as error:
        ...     print(error)
        k = 5 clusters of 4 samples, but k must be between 2 and 4
    """
    for name, count, least in (("k", k, None), ("neighbours", neighbours, 1), ("epochs", epochs, 0)):
        whole(name, count, least)
    x = real("x", x, ("n", "d"))
    n = x.shape[0]
    if not 2 <= k <= n:
        raise ValueError(f"k = {k} clusters of {n} samples, but k must be between 2 and {n}")
    if classes.shape != (n,):
        raise ValueError(f"the classes have shape {classes.shape}, but {n} samples have shape ({n},)")
    if not isinstance(classes, Tracer):
        table(classes, classes, k)
    prior = jnp.full(k, 1 / k, x.dtype) if prior is None else jnp.asarray(prior, x.dtype)
    if prior.shape != (k,):
        raise ValueError(f"the prior has shape {prior.shape}, but {k} clusters need shape ({k},)")
    if not isinstance(prior, Tracer) and not (
        (np.asarray(prior) > 0).all() and abs(float(np.asarray(prior).sum()) - 1) <= 1e-6
    ):
        raise ValueError(f"the prior sums to {float(np.asarray(prior).sum()):g}, but it must be positive and sum to 1")
    x, prior, settings = refuse_derivative(
        (x, prior, settings), "a training has no derivative: its pseudo-labels jump with k-means (lab.clustering.train)"
    )
    begun, clusters = begin(key, x, k)
    settings = jax.tree.map(
        lambda number: jnp.asarray(number, None if number is True or number is False else x.dtype), settings
    )
    near = semantic.similarity(x, min(neighbours, n - 1))
    experiment = Experiment(
        x,
        classes,
        near,
        prior,
        settings,
        jnp.asarray(epochs, x.dtype),
        jax.random.split(key)[1],
        begun,
    )
    run = loop(EPOCHS, experiment, max_iterations=epochs)
    state, trace = run.state, run.trace
    return Training(state.model, clusters, clusters_of(state.model, x), state.plan, Curves(**trace), run.reason)
