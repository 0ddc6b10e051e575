"""Survival prediction from bags of patches by heterogeneity-aware transport (Ren et al., MICCAI 2025) as a study."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.bags import KIND
from lab.numerics import Loop, Reason
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Whole
from lab.survival import statistics
from lab.survival.bags import Bags, bags
from lab.survival.pooling import OTPooling, Transport, cost
from lab.survival.training import LOSSES, POOLINGS, Model, Settings, Training, score, train

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .text import ABOUT, MATHEMATICS

_TRAINED_BY = (
    "pooling", "rho", "ramp", "rho0", "epsilon", "lam", "k", "objective", "epochs", "fold", "rate", "dropout", "dimension",
    "batch", "patience", "seed",
)  # fmt: skip
_OT = {"pooling": ("ot",)}


class Inputs(eqx.Module):
    """The bags, the folds that they are tested in, and what is known of them beside."""

    bags: Bags
    by_fold: jax.Array  # bags sorted by fold
    known: dict[str, Any]  # true_risk (n,), kind (n, patch), position (n, patch, 2), image
    folds: tuple[int, ...] = eqx.field(static=True)  # their sizes
    kinds: int = eqx.field(static=True)

    def split(self, fold: int, check: bool) -> tuple[Any, Any, Any]:
        """The bags to learn from, those to check (the next fold, if asked for), and those to test on."""
        ends = np.cumsum(self.folds)
        parts = [self.by_fold[end - size : end] for end, size in zip(ends, self.folds, strict=True)]
        test, following = fold, (fold + 1) % len(parts)
        others = [part for k, part in enumerate(parts) if k != test and not (check and k == following)]
        return jnp.concatenate(others), parts[following] if check else (), parts[test]


class Warm(NamedTuple):
    """A training, and all that it depends on."""

    inputs: Inputs
    values: tuple
    trained: Training


class OTSurv(Study):
    """How long a patient lives, from a bag of patches pooled by transport to a few prototypes."""

    slug = "otsurv"
    title = "Survival from bags by transport"
    field = "Optimal transport"
    paper = Paper(
        "Ren, Wang, Fang, Ling, You",
        "OTSurv: A Novel Multiple Instance Learning Framework for Survival Prediction with Heterogeneity-aware Optimal "
        "Transport",
        "MICCAI",
        2025,
        "https://arxiv.org/abs/2506.20741",
    )
    about = ABOUT
    mathematics = MATHEMATICS
    kind = KIND

    data = DataSource("morphology-bags", doc="a named set of bags of patches with the time that each was seen")
    pooling = Choice(
        list(POOLINGS), label="pooling", traced=False,
        doc="how a bag becomes one vector; ot: by a plan to prototypes; mean: all patches alike; attention: a learned mean",
    )  # fmt: skip
    rho = Real(
        1.0, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.05, 1), label="pooled share", symbol="ρ", when=_OT,
        doc="share of the patches' mass that is pooled once trained; below 1, what fits no prototype is left out",
    )  # fmt: skip
    ramp = Whole(
        5, bounds=(0, 1000), soft=(0, 40), label="growth", symbol="T", unit="epochs", when=_OT,
        doc="epochs in which the pooled share grows to ρ while the model trains; 0: ρ from the start",
    )  # fmt: skip
    epsilon = Real(
        0.1, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.01, 1), scale="log", label="entropy", symbol="ε",
        when=_OT, doc="strength of the entropy, in units of the largest cost: large values blur the plan",
    )  # fmt: skip
    lam = Real(
        1.0, bounds=(0, None), inclusive_bounds=(False, True), soft=(0.01, 100), scale="log", label="price of sizes",
        symbol="λ", when=_OT, doc="weight of the KL that ties the masses of the prototypes to equal ones",
    )  # fmt: skip
    k = Whole(
        8, bounds=(1, 256), soft=(1, 32), label="prototypes", symbol="K", traced=False, when=_OT,
        doc="number of prototypes that a bag is summarized by",
    )  # fmt: skip
    objective = Choice(
        list(LOSSES), label="loss", traced=False,
        doc="cox: partial likelihood, Breslow's ties; efron: the same, Efron's ties; nll: likelihood in 4 bins of time; "
        "ranking: a smooth C-index",
    )  # fmt: skip
    epochs = Whole(
        15, bounds=(0, 1000), soft=(0, 60), label="epochs", traced=False,
        doc="passes over the bags of the training; 0: the model as it starts",
    )  # fmt: skip
    slide = Whole(
        0, bounds=(0, None), soft=(0, 100), label="shown bag",
        doc="the bag whose patches, costs and plan are shown; nothing is trained anew",
    )  # fmt: skip
    share = Real(
        0.5, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.05, 1), label="shown share", symbol="ρ′", when=_OT,
        doc="share at which patches are shown as pooled or left out; nothing is trained anew",
    )  # fmt: skip
    fold = Whole(
        0, bounds=(0, None), soft=(0, 4), label="test fold", group="more", traced=False,
        doc="the part of the bags that is kept for the test",
    )  # fmt: skip
    rho0 = Real(
        0.1, bounds=(0, 1), soft=(0, 1), label="first share", symbol="ρ₀", group="more", when=_OT,
        doc="the share that the growth begins at, but for 0.0067",
    )  # fmt: skip
    rate = Real(
        1e-2, bounds=(0, None), inclusive_bounds=(False, True), soft=(1e-4, 0.1), scale="log", label="learning rate",
        symbol="η", group="more", doc="of AdamW, after one epoch of warm-up; it falls as a cosine",
    )  # fmt: skip
    dropout = Real(
        0.0, bounds=(0, 0.95), soft=(0, 0.5), label="dropout", group="more",
        doc="share of the encoded features that is dropped while training",
    )  # fmt: skip
    patience = Whole(
        0, bounds=(0, 1000), soft=(0, 20), label="patience", unit="epochs", group="more", traced=False,
        doc="epochs without progress on the fold after the test fold, kept for that, which end the training, from the 11th on; "
        "0: it goes to its last epoch, and learns from that fold too",
    )  # fmt: skip
    dimension = Whole(
        32, bounds=(2, 1024), soft=(8, 256), scale="log", label="encoded features", symbol="D", group="more", traced=False,
        doc="width of the patch encoder",
    )  # fmt: skip
    batch = Whole(
        16, bounds=(2, 1024), soft=(4, 64), label="batch", group="more", traced=False,
        doc="bags that are compared in a training step",
    )  # fmt: skip

    dims: ClassVar = {
        "bag": ("bag", ""),
        "patch": ("patch of the bag", ""),
        "prototype": ("prototype", ""),
        "epoch": ("epoch", ""),
        "group": ("group of risk", ""),
        "kind": ("kind of patch", ""),
        "step": ("step of the curves", ""),
        "axis": ("axis", ""),
        "row": ("row", "pixel"),
        "column": ("column", "pixel"),
        "channel": ("channel", ""),
    }
    results = (
        Result("cindex", (), "C-index", "share of comparable pairs of test bags that the risk orders right", headline=True),
        Result("cindex_train", (), "C-index, training", "the same of the bags that were learnt from", headline=True),
        Result("cindex_oracle", (), "C-index of the truth", "the same of the log risk that the times were drawn with",
               headline=True, optional=True),
        Result("chi2", (), "log-rank χ²", "of test bags above and below the median risk, 1 degree of freedom",
               headline=True),
        Result("p", (), "p-value", "of the log-rank test", headline=True),
        Result("iterations", (), "batches", "training steps that were made", headline=True),
        Result("converged", (), "finished", "whether the training came to its last epoch with every plan solved",
               headline=True, judge=lambda value, result: "good" if value else "warn"),
        Result("plan_residual", (), "residual of the plans", "largest L1 error of the columns of a plan, of all bags"),
        Result("risk", ("bag",), "log risk", "what the model says; with nll, minus the expected bins survived"),
        Result("true_risk", ("bag",), "true log risk", "that the times were drawn with", optional=True),
        Result("time", ("bag",), "time", "how long the bag was seen"),
        Result("event", ("bag",), "event", "1 where the event came at that time, 0 where censored"),
        Result("tested", ("bag",), "tested", "whether the bag was kept for the test"),
        Result("loss", ("epoch",), "loss", "mean over the batches of the epoch"),
        Result("loss_check", ("epoch",), "loss, checked", "of the fold that decides when the training ends", optional=True),
        Result("pooled_share", ("epoch",), "pooled share", "ρ at the beginning of the epoch"),
        Result("mass", ("bag", "prototype"), "mass", "share of each prototype in the pooled mass of a bag"),
        Result("row_mass", ("bag", "patch"), "pooled share of the patch", "at the shown share ρ′; of attention, the weight "
               "over that of the mean"),
        Result("main", ("bag", "patch"), "main prototype", "the one that gets most of the patch; -1: no patch"),
        Result("patch_kind", ("bag", "patch"), "kind", "what the patch is; -1: no patch", optional=True),
        Result("kind_mass", ("kind",), "pooled share", "of the patches of a kind, over all bags, at the shown share ρ′",
               optional=True),
        Result("position", ("bag", "patch", "axis"), "position", "row and column of the patch", optional=True),
        Result("image", ("row", "column", "channel"), "picture", "what the patches were cut from", optional=True),
        Result("cost", ("patch", "prototype"), "cost", "of the shown bag, from 0 to 1", optional=True),
        Result("plan", ("patch", "prototype"), "mass", "plan of the shown bag at the shown share", optional=True),
        Result("slack", ("patch",), "left out", "mass of each patch of the shown bag that is left out", optional=True),
        Result("km", ("group", "step"), "survival", "Kaplan-Meier estimate of the test bags"),
        Result("km_low", ("group", "step"), "survival", "lower end of the log-log 95 % band"),
        Result("km_high", ("group", "step"), "survival", "upper end of the log-log 95 % band"),
        Result("km_time", ("step",), "time", "times of the test bags"),
    )  # fmt: skip
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The bags in the lab's precision, and what is known of them in the shape of padded bags."""
        arrays = data.arrays
        dtype = jnp.zeros(()).dtype
        made = bags(arrays["x"].astype(dtype), arrays["bag"], arrays["time"], arrays["event"])
        known: dict[str, Any] = {}
        if "true_risk" in arrays:
            known["true_risk"] = jnp.asarray(arrays["true_risk"], dtype)
        number, place = arrays["bag"], np.arange(arrays["bag"].size) - np.asarray(made.start)[arrays["bag"]]
        for name, key in (("kind", "patch_kind"), ("position", "position")):
            if name in arrays:
                padded = np.full((made.count, made.widths[-1], *arrays[name].shape[1:]), -1, np.int32)
                padded[number, place] = arrays[name]
                known[key] = jnp.asarray(padded)
        if "image" in arrays:
            known["image"] = jnp.asarray(arrays["image"])
        fold = arrays["fold"]
        sizes = tuple(int(size) for size in np.bincount(fold))
        kinds = len(data.axes.get("kinds", ()))
        return Inputs(made, jnp.asarray(np.argsort(fold, kind="stable"), jnp.int32), known, sizes, kinds)

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """There are so many bags, and so many folds."""
        folds = int(data.arrays["fold"].max()) + 1
        few = {"patience": Limit(0, 0, "for with two folds none is left to check")} if folds < 3 else {}
        return few | {
            "slide": Limit(0, data.arrays["time"].size - 1, "for there are so many bags, counted from 0"),
            "fold": Limit(0, folds - 1, "for there are so many folds, counted from 0"),
        }

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train, unless the neighbour's training is this very one; then judge all bags."""
        learn, check, test = inputs.split(p.fold, p.patience > 0)
        values = tuple(getattr(p, name) for name in _TRAINED_BY)
        if (
            warm is not None
            and warm.inputs is inputs
            and warm.values == values
            and warm.trained.reason != Reason.STOPPED
        ):
            trained = warm.trained
        else:
            settings = Settings(p.rho, p.rho0, p.ramp, p.epsilon, p.lam, p.rate, dropout=p.dropout, patience=p.patience)
            trained = train(
                jax.random.key(p.seed), inputs.bags, settings, which=learn, check=check, pooling=p.pooling, k=p.k,
                width=p.dimension, loss=p.objective, epochs=p.epochs, batch=p.batch, loop=loop,
            )  # fmt: skip
        plan = Transport(p.rho, p.epsilon, p.lam)
        judged = score(trained.model, inputs.bags, plan)
        by_epoch = partial(_by_epoch, per_epoch=trained.steps_per_epoch, epochs=p.epochs)
        output = {
            "iterations": trained.steps,
            "loss": by_epoch(trained.curves.loss)[:, : trained.batches].mean(axis=1),
            "pooled_share": by_epoch(trained.curves.rho)[:, 0],
            "mass": judged.mass, "row_mass": judged.row_mass, "main": judged.main, "risk": judged.risk,
        }  # fmt: skip
        if p.patience:
            output["loss_check"] = by_epoch(trained.curves.check)[:, -1]
        residual = judged.residual.max()
        if p.pooling == "ot":
            shown = plan._replace(rho=p.share)
            at_share = score(trained.model, inputs.bags, shown)
            output |= {"row_mass": at_share.row_mass, "main": at_share.main}
            output |= _shown(
                trained.model, inputs.bags, jnp.asarray(p.slide), at_share.potentials, jax.tree.map(jnp.asarray, shown)
            )
            residual = jnp.maximum(residual, at_share.residual.max())
        output |= _statistics(inputs, judged.risk, test) | inputs.known
        if inputs.kinds:
            output["kind_mass"] = _by_kind(inputs.known["patch_kind"], output["row_mass"], inputs.kinds)
        reason = jnp.asarray(trained.reason)
        settled = jnp.where(
            residual <= (1e-6 if residual.dtype == jnp.float64 else 1e-4), Reason.CONVERGED, Reason.STALLED
        )
        output |= {"plan_residual": residual, "reason": jnp.where(reason == Reason.CONVERGED, settled, reason)}
        return output | {"warm": Warm(inputs, values, trained)}

    @classmethod
    def coords(cls, data: Data, inputs: Any) -> Mapping[str, Any]:
        """Groups of risk and kinds of patches by name."""
        return {"group": ["high", "low"]} | ({"kind": list(data.axes["kinds"])} if "kinds" in data.axes else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What a training that did not come to its end, or that learnt its bags by heart, means."""
        made = int(np.isfinite(result.loss).sum())
        if result.attrs["reason"] == "stopped":
            return (
                f"The training ended in epoch {made + 1} of {result.sizes['epoch']}, so the C-index is that of an unfinished "
                "model: run it to its end, or lower the epochs."
            )
        if not result.sizes["epoch"]:
            return "Nothing was trained: the risk is that of random numbers. Set epochs above 0."
        if float(result.cindex_train - result.cindex) > 0.15:
            return (
                "The model orders the bags it learnt from far better than the others: lower the epochs or the learning rate, "
                "or raise dropout."
            )
        return ""


def _by_epoch(trace: Any, per_epoch: int, epochs: int) -> jax.Array:
    """(epochs, batches), NaN in epochs that were not finished."""
    trace = jnp.asarray(trace)
    trace = jnp.pad(trace, (0, epochs * per_epoch - trace.shape[0]), constant_values=jnp.nan)
    return trace.reshape(epochs, per_epoch)


def _by_kind(kind: Any, values: Any, kinds: int) -> jax.Array:
    """The mean over all patches of each kind."""
    member = kind[None] == jnp.arange(kinds)[:, None, None]
    return jnp.where(member, values[None], 0).sum(axis=(1, 2)) / jnp.maximum(member.sum(axis=(1, 2)), 1)


@jax.jit
def _shown(model: Model, bags: Bags, index: Any, potentials: Any, transport: Transport) -> dict[str, Any]:
    """Costs, plan and slack of one bag, from the potentials of its plan; NaN beyond its patches."""
    assert isinstance(model.pooling, OTPooling)
    (x,), (here,) = bags.take(index[None], bags.widths[-1])
    costs = cost(model.features(x), model.pooling.prototypes, here)
    g, slack = potentials[index, :-1], jnp.where(jnp.asarray(transport.rho) < 1, potentials[index, -1], -jnp.inf)
    scores = jnp.c_[g[None, :] - costs, jnp.full(x.shape[0], slack)] / transport.epsilon
    whole = jnp.where(here[:, None], jax.nn.softmax(scores, axis=1) / here.sum().astype(x.dtype), jnp.nan)
    return {"cost": jnp.where(here[:, None], costs, jnp.nan), "plan": whole[:, :-1], "slack": whole[:, -1]}


@jax.jit
def _statistics(inputs: Inputs, risk: Any, test: Any) -> dict[str, Any]:
    """Of the bags that were kept for the test, and the C-index of the others."""
    bags = inputs.bags
    tested = jnp.zeros(bags.count, bool).at[test].set(True)
    time, event = bags.time[test], bags.event[test]
    high = statistics.above_median(risk[test])
    steps = jnp.concatenate([jnp.zeros(1, time.dtype), jnp.sort(time)])
    curves = jax.vmap(lambda group: statistics.kaplan_meier(time, event, steps, group))(jnp.stack([high, ~high]))
    rank = statistics.log_rank(time, event, high)
    found = {
        "cindex": statistics.cindex(risk[test], time, event),
        "cindex_train": statistics.cindex(risk, bags.time, bags.event, ~tested),
        "chi2": rank.chi2, "p": rank.p, "time": bags.time, "event": bags.event, "tested": tested,
        "km": curves.survival, "km_low": curves.low, "km_high": curves.high, "km_time": steps,
    }  # fmt: skip
    if "true_risk" in inputs.known:
        found["cindex_oracle"] = statistics.cindex(inputs.known["true_risk"][test], time, event)
    return found
