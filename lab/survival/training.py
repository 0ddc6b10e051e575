r"""A survival model of bags of patches, trained end to end.

A patch encoder, a pooling, a mix of the K pooled vectors, a head:

$$ H = \mathrm{dropout}(\mathrm{relu}(X W + b)), \quad G = A^\top H, \quad s = \sum_k u_k G_k + u_0 1, \quad
   r = \langle v, s\rangle + v_0 , $$

with A of ``lab.survival.pooling``. The risk r (or the hazards, with the discrete likelihood) is trained on batches of bags by
AdamW, whose rate warms up over one epoch and falls as a cosine. While it trains, the pooled mass grows,

$$ \rho_t = \min\big(\rho,\; \rho_0 + e^{-5 (1 - \min(t / T, 1))^2}\big), $$

so that at first only the patches count that fit the prototypes well. With $\rho = 1$ and $\rho_0 = 0.1$, as published, it
begins at 0.1067 and is 1 from $t/T = 0.855$ on.

Rates, shares, strengths are numbers: one compiled program serves every value, and ``vmap`` over the key trains seeds side by
side.

Source: Ren, Wang, Fang, Ling, You, OTSurv, MICCAI 2025.
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from lab.choices import choices, chosen
from lab.numerics import Loop, Method, Reason, Run, pure, random
from lab.numerics.arguments import whole
from lab.numerics.differentiation import refuse_derivative
from lab.numerics.jit import jit
from lab.numerics.learning import ADAM, descend, rate
from lab.survival import losses
from lab.survival.bags import Bags, numbers
from lab.survival.pooling import AttentionPooling, MeanPooling, OTPooling, Pooling, Transport

type Pool = Literal["ot", "mean", "attention"] | str
type Loss = Literal["cox", "efron", "nll", "ranking"] | str
POOLINGS, LOSSES = choices(Pool), choices(Loss)
_BINS = 4  # of the discrete likelihood
_TOLERANCE = 1e-5  # L1, of the plans of a training step; the loss is then right to 1e-7
_SETTLED = 1e-4  # L1 error of a plan that still makes a step


class Settings(NamedTuple):
    """Everything that may be swept; traced."""

    rho: ArrayLike = 1.0  # share of the mass that is pooled in the end
    rho0: ArrayLike = 0.1
    ramp: ArrayLike = 10.0  # T, in epochs; 0: rho from the start
    epsilon: ArrayLike = 0.1
    lam: ArrayLike = 1.0
    rate: ArrayLike = 2e-3
    decay: ArrayLike = 1e-5
    dropout: ArrayLike = 0.0
    patience: ArrayLike = 5.0  # epochs without a better loss of the bags to check, which end the training
    settle: ArrayLike = 10.0  # epochs before which the check does not count

    def share(self, epochs: ArrayLike) -> Array:
        """rho after so many epochs."""
        ramp = jnp.asarray(self.ramp)
        u = jnp.where(ramp > 0, jnp.minimum(epochs / jnp.where(ramp > 0, ramp, 1), 1), 1)
        grown = jnp.asarray(self.rho0) + jnp.exp(-5 * (1 - u) ** 2)
        return jnp.where(ramp > 0, jnp.minimum(self.rho, grown), self.rho)


class Model(eqx.Module):
    """From a bag to its log risk, or to its logits of hazards in bins of time."""

    encoder: eqx.nn.Linear
    pooling: Pooling
    mix: eqx.nn.Linear
    head: eqx.nn.Linear

    def features(
        self, x: Float[Array, "n d0"], dropout: ArrayLike = 0.0, key: PRNGKeyArray | None = None
    ) -> Float[Array, "n d"]:
        """The encoder; without a key nothing is dropped."""
        h = jax.nn.relu(x @ self.encoder.weight.T + jnp.asarray(self.encoder.bias)[None, :])
        if key is None:
            return h
        keep = random.uniform(key, h.shape, h.dtype) >= dropout
        return jnp.where(keep, h / (1 - jnp.asarray(dropout)), 0)

    def __call__(
        self,
        x: Float[Array, "n d0"],
        present: Bool[Array, " n"],
        transport: Transport,
        start: Array | None = None,
        dropout: ArrayLike = 0.0,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Float[Array, " out"], Any]:
        """What the head says of one bag, and the pooled bag."""
        pooled = self.pooling(self.features(x, dropout, key), present, transport, start)
        return self.head(jax.vmap(self.mix)(pooled.vectors.T)[:, 0]), pooled


@chosen
@jit
def model(
    key: PRNGKeyArray, d: int, *, pooling: Pool = "ot", k: int = 16, width: int = 256, out: int = 1, dtype: Any = None
) -> Model:
    r"""A model at its start: linear layers uniform in ± 1 / sqrt(inputs), prototypes N(0, I).

    $$ H = \mathrm{relu}(X W + b), \quad G = A^\top H, \quad s = \sum_k u_k G_k + u_0 1, \quad r = \langle v, s\rangle + v_0 $$

    Args:
        key: of the draw.
        d: features of a patch.
        pooling: ``ot``, ``mean`` or ``attention``; the rest of the model starts from the same numbers.
        k: prototypes of ``ot``.
        width: of the encoded patches.
        out: 1 for a log risk, or the bins of time.
        dtype: of the weights; jax's when omitted.

    Returns:
        the model, called with a bag, which of its patches are there, and a ``Transport``.

    Raises:
        ValueError: a pooling that does not exist, or a size below 1.

    Source:
        Ren et al. (2025), OTSurv.

    Examples:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from lab import survival
        >>> model = survival.model(jax.random.key(0), 3, pooling="mean", width=4)
        >>> risk, pooled = model(jnp.ones((5, 3)), jnp.ones(5, bool), survival.Transport())
        >>> risk.shape, float(pooled.weights.sum().round(9))
        ((1,), 1.0)
    """
    for name, count in (("d", d), ("width", width), ("out", out)):
        whole(name, count, 1)
    whole("k", k)
    dtype = dtype or jnp.result_type(float)
    encode, pool, blend, head = jax.random.split(key, 4)
    if pooling == "ot":
        made: Pooling = OTPooling(k, width, pool, dtype)
    else:
        made = MeanPooling() if pooling == "mean" else AttentionPooling(width, pool, dtype=dtype)
    return Model(
        eqx.nn.Linear(d, width, key=encode, dtype=dtype),
        made,
        eqx.nn.Linear(made.k, 1, key=blend, dtype=dtype),
        eqx.nn.Linear(width, out, key=head, dtype=dtype),
    )


class Curves(NamedTuple):
    """After each batch."""

    loss: Float[Array, " steps"]
    rho: Float[Array, " steps"]
    residual: Float[Array, " steps"]  # largest L1 error of the batch's plans
    check: Float[Array, " steps"]  # loss of the bags to check, at the end of each epoch; NaN elsewhere


class Training(NamedTuple):
    """A trained model. It converged if it came to its last epoch, or lost patience, with every plan solved."""

    model: Model
    curves: Curves
    steps: Any  # batches that were seen
    steps_per_epoch: int
    batches: int  # of these, to learn from; the others are to check
    ends: Float[Array, " bins_less_1"]  # of the bins of time; empty but for the discrete likelihood
    reason: Any

    def by_epoch(self, curve: ArrayLike, epochs: int) -> Any:
        """A curve (steps,) with a row for each of so many epochs, (epochs, batches), NaN in those that were not finished."""
        host: Any = np if isinstance(curve, np.ndarray) else jnp  # a trace is as long as its run was
        rest = epochs * self.steps_per_epoch - jnp.shape(curve)[0]
        return host.pad(curve, (0, rest), constant_values=jnp.nan).reshape(epochs, self.steps_per_epoch)


@chosen
class Experiment(eqx.Module):
    """What a training consists of."""

    bags: Bags
    train: Int[Array, " t"]  # the bags to learn from
    check: Int[Array, " v"]  # the bags to check after each epoch; may be none
    ends: Float[Array, " bins_less_1"]
    settings: Settings
    epochs: Float[Array, ""]
    key: PRNGKeyArray
    start: Model
    batch: int = eqx.field(static=True)
    loss: Loss = eqx.field(static=True)

    @property
    def batches(self) -> int:
        return -(-self.train.shape[0] // self.batch)

    @property
    def steps_per_epoch(self) -> int:
        return self.batches - (-self.check.shape[0] // self.batch)


class Best(eqx.Module):
    """The model that did best on the bags to check."""

    model: Model
    loss: Float[Array, ""]  # inf before the first
    waited: Int[Array, ""]  # epochs since
    said: Float[Array, "n out"]  # of each bag, when it was last seen


class State(eqx.Module):
    """Where a training is."""

    model: Model
    moments: optax.OptState
    step: Int[Array, ""]
    potentials: Float[Array, "n k_and_1"]  # of each bag's last plan
    settled: Bool[Array, ""]
    best: Best | None  # where there are bags to check
    measured: dict[str, Array]


def _init(experiment: Experiment) -> State:
    zero = jnp.zeros((), experiment.bags.x.dtype)
    potentials = jnp.zeros((experiment.bags.count, experiment.start.pooling.k + 1), zero.dtype)
    measured = dict.fromkeys(Curves._fields, zero)
    best = None
    if experiment.check.shape[0]:
        said = jnp.zeros((experiment.bags.count, experiment.start.head.weight.shape[0]), zero.dtype)
        best = Best(experiment.start, zero + jnp.inf, jnp.int32(0), said)
    moments = ADAM.init(experiment.start)  # type: ignore[arg-type]
    return State(experiment.start, moments, jnp.int32(0), potentials, jnp.array(True), best, measured)


@chosen
def batch_loss(
    loss: Loss,
    said: Float[Array, "b out"],
    time: Float[Array, " b"],
    event: Float[Array, " b"],
    ends: Float[Array, " bins_less_1"],
    present: Bool[Array, " b"] | None = None,
) -> Float[Array, ""]:
    """One of ``LOSSES`` of what the head says of some bags."""
    if loss == "nll":
        return losses.nll(said, losses.bin_of(time, ends), event, present)
    if loss == "ranking":
        return losses.ranking(said[:, 0], time, event, present)
    return losses.cox(said[:, 0], time, event, present, ties="efron" if loss == "efron" else "breslow")


def _step(experiment: Experiment, state: State) -> State:
    """One batch: of the bags to learn from, or at the end of an epoch of those to check, which leave the model as it is."""
    settings, bags, per_epoch = experiment.settings, experiment.bags, experiment.batches
    dtype, count = bags.x.dtype, experiment.train.shape[0]
    epoch, turn = state.step // experiment.steps_per_epoch, state.step % experiment.steps_per_epoch
    shuffled = jax.random.permutation(jax.random.fold_in(experiment.key, epoch), count)
    place = turn * experiment.batch + jnp.arange(experiment.batch)
    present = place < count  # the last batch of an epoch may be smaller
    index = experiment.train[shuffled[jnp.minimum(place, count - 1)]]
    keys = jax.random.split(
        jax.random.fold_in(jax.random.fold_in(experiment.key, 1 << 30), state.step), experiment.batch
    )
    done = epoch + jnp.minimum(turn, per_epoch).astype(dtype) / per_epoch
    rho, dropout, learns = settings.share(done), settings.dropout, jnp.array(True)
    if state.best is not None:
        learns, place = turn < per_epoch, place - per_epoch * experiment.batch
        checked = experiment.check[jnp.clip(place, 0, experiment.check.shape[0] - 1)]
        present = jnp.where(learns, present, place < experiment.check.shape[0])
        index = jnp.where(learns, index, checked)
        rho, dropout = jnp.where(learns, rho, settings.rho), jnp.where(learns, dropout, 0)
    transport = Transport(rho, settings.epsilon, settings.lam, _TOLERANCE)
    starts = state.potentials[index]

    def loss_at(width):
        x, here = bags.take(index, width)

        def loss(model):
            run = jax.vmap(lambda x, here, start, key: model(x, here, transport, start, dropout, key))
            said, pooled = run(x, here, starts, keys)
            value = batch_loss(experiment.loss, said, bags.time[index], bags.event[index], experiment.ends, present)
            return value, (said, pooled.potentials, pooled.residual)

        return jax.value_and_grad(loss, has_aux=True)(state.model)

    (value, (said, potentials, residual)), slope = _at_width(bags, index, loss_at)
    after = jnp.clip(
        (done - 1) / jnp.maximum(experiment.epochs - 1, 1), 0, 1
    )  # of what follows the epoch that warms up
    eta = rate(settings.rate, after, done + 1 / per_epoch)
    learned, moments = descend(ADAM, state.model, slope, state.moments, eta, settings.decay)
    residual = jnp.where(present, residual, 0).max()
    whose = jnp.where(present, index, bags.count)  # what is absent is written nowhere
    measured = {"loss": value, "rho": rho, "residual": residual, "check": jnp.nan}
    best = state.best
    if best is not None:
        learned, moments = (
            jax.tree.map(lambda new, old: jnp.where(learns, new, old), *pair)
            for pair in ((learned, state.model), (moments, state.moments))
        )
        best, measured["check"] = _check(experiment, state, learned, best.said.at[whose].set(said, mode="drop"))
        measured["loss"] = jnp.where(learns, value, state.measured["loss"])
    return State(
        learned,
        moments,
        state.step + 1,
        state.potentials.at[whose].set(potentials, mode="drop"),
        state.settled & (residual <= _SETTLED),
        best,
        {name: jnp.asarray(number, dtype) for name, number in measured.items()},
    )


def _check(experiment: Experiment, state: State, learned: Model, said: Array) -> tuple[Best, Array]:
    """At the end of an epoch, whether this model is the best on the bags to check, and its loss there."""
    best, bags, which = state.best, experiment.bags, experiment.check
    assert best is not None
    ends = (state.step + 1) % experiment.steps_per_epoch == 0
    loss = batch_loss(experiment.loss, said[which], bags.time[which], bags.event[which], experiment.ends)
    counts = ends & ((state.step + 1) // experiment.steps_per_epoch > experiment.settings.settle)
    better = counts & (loss < best.loss)
    kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), learned, best.model)
    waited = jnp.where(better, 0, best.waited + counts).astype(jnp.int32)
    return Best(kept, jnp.where(better, loss, best.loss), waited, said), jnp.where(ends, loss, jnp.nan)


def _at_width(bags: Bags, index: Array, compute: Any) -> Any:
    """``compute(width)`` at the smallest width that holds these bags."""
    if len(bags.widths) == 1:
        return compute(bags.widths[0])
    which = jnp.searchsorted(jnp.asarray(bags.widths), bags.size[index].max())
    return jax.lax.switch(which, [lambda width=width: compute(width) for width in bags.widths])


def _done(experiment: Experiment, state: State) -> Array:
    over = state.step >= experiment.epochs * experiment.steps_per_epoch
    if state.best is not None:
        over |= state.best.waited >= experiment.settings.patience
    reason = jnp.where(over, jnp.where(state.settled, Reason.CONVERGED, Reason.STALLED), Reason.RUNNING)
    return jnp.where(jnp.isfinite(state.measured["loss"]), reason, Reason.NOT_FINITE).astype(jnp.int32)


BATCHES = Method(_init, _step, _done, lambda experiment, state: state.measured)


@chosen
def train(
    key: PRNGKeyArray,
    bags: Bags,
    settings: Settings,
    *,
    which: Int[Array, " t"] | Sequence[int] | None = None,
    check: Int[Array, " v"] | Sequence[int] = (),
    pooling: Pool = "ot",
    k: int = 16,
    width: int = 256,
    loss: Loss = "cox",
    epochs: int = 50,
    batch: int = 16,
    loop: Loop = pure,
) -> Training:
    r"""Train a model on bags; an iteration of the loop is a batch. The pooled mass grows,
    $\rho_t = \min(\rho, \rho_0 + e^{-5 (1 - \min(t / T, 1))^2})$.

    Time of an epoch O(patches (d width + steps k^2)), memory O(batch (largest bag) (width + k)).

    Args:
        key: of the start, the order of the bags and what is dropped.
        bags: their dtype decides that of the work.
        settings: traced.
        which: the bags to learn from; all when omitted.
        check: other bags whose loss is taken after each epoch: where it has not been lower for ``patience`` epochs the
            training ends, and the model is the one that did best on them. Before ``settle`` epochs it does not count.
        pooling: ``ot``, ``mean`` or ``attention``; static, as what follows is.
        k: prototypes of ``ot``.
        width: of the encoded patches.
        loss: ``cox`` (Breslow's ties), ``efron``, ``nll`` (4 bins of time with equally many events) or ``ranking``.
        epochs: at least 0, which leaves the model as it starts.
        batch: bags at once.
        loop: ``pure``, or a ``Chunked`` that reports and stops between batches.

    Returns:
        the model, and curves by batch.

    Raises:
        ValueError: a word or number outside what is allowed, or no bag to learn from that is not censored.

    Source:
        Ren et al. (2025), OTSurv.

    Examples:
        >>> import jax
        >>> import numpy as np
        >>> from lab import survival
        >>> bags = survival.bags(np.ones((2, 1)), np.arange(2), np.array([1.0, 2.0]), np.array([1, 1]))
        >>> ran = survival.train(jax.random.key(0), bags, survival.Settings(), pooling="mean", width=2, epochs=0)
        >>> int(ran.steps), ran.model.head.weight.shape  # the model as it starts
        (0, (1, 2))
    """
    whole("epochs", epochs, 0)
    if whole("batch", batch) < 2:
        raise ValueError(f"batch = {batch}, but a loss that compares bags needs at least 2 of them")
    bags, settings = refuse_derivative(
        (bags, settings), "a training on random batches has no derivative: lab.survival.train"
    )
    which = jnp.arange(bags.count) if which is None else numbers("which", which, bags.count)
    dtype = bags.x.dtype
    known = not any(isinstance(each, Tracer) for each in (bags.event, which))
    if known and not np.asarray(bags.event)[np.asarray(which)].any():
        raise ValueError("all bags to learn from are censored: without an event there is nothing to learn")
    ends = losses.cuts(bags.time[which], bags.event[which], _BINS) if loss == "nll" else jnp.zeros(0, dtype)
    first, later = jax.random.split(key)
    begin = model(
        first, bags.x.shape[1], pooling=pooling, k=k, width=width, out=_BINS if loss == "nll" else 1, dtype=dtype
    )
    settings = jax.tree.map(lambda number: jnp.asarray(number, dtype), settings)
    check = numbers("check", check, bags.count, least=0).astype(jnp.int32)
    experiment = Experiment(
        bags, which, check, ends, settings, jnp.asarray(epochs, dtype), later, begin, min(batch, which.shape[0]), loss
    )
    steps = epochs * experiment.steps_per_epoch
    if steps:
        run = loop(BATCHES, experiment, max_iterations=steps)
    else:
        run = Run(
            _init(experiment),
            jnp.int32(0),
            jnp.int32(Reason.CONVERGED),
            dict.fromkeys(Curves._fields, jnp.zeros(0, dtype)),
        )
    found, best = run.state.model, run.state.best
    if best is not None:  # inf: the training was too short for a check to count
        found = jax.tree.map(lambda last, kept: jnp.where(jnp.isfinite(best.loss), kept, last), found, best.model)
    return Training(
        found, Curves(**run.trace), run.iterations, experiment.steps_per_epoch, experiment.batches, ends, run.reason
    )
