"""Survival prediction from bags of patches by heterogeneity-aware transport (Ren et al., MICCAI 2025) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.bags import KIND
from lab.numerics import Loop, Reason
from lab.numerics.host import placed
from lab.numerics.jit import jit
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Whole
from lab.studies.vocabulary import positive, size
from lab.survival.bags import Bags, bags
from lab.survival.folds import Folds, evaluate
from lab.survival.pooling import Transport
from lab.survival.scoring import Scores, bag_plan, mean_by_kind, score
from lab.survival.training import LOSSES, POOLINGS, Settings, Training, train

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_TRAINED_BY = (
    "pooling", "rho", "ramp", "rho0", "epsilon", "lam", "k", "objective", "epochs", "fold", "rate", "dropout", "dimension",
    "batch", "patience", "seed",
)
_OT = {"pooling": ("ot",)}
_NO_PLAN = "mean and attention have no plan: choose ot"
_NO_TRUTH = "the true risk of these data is not known"
_NO_PAIRS = "no two bags are comparable: their times are equal or censored"
_NO_KINDS = "the kinds of these patches are not known"


class Inputs(eqx.Module):
    """The bags, the folds that they are tested in, and what is known of them beside."""

    bags: Bags
    folds: Folds
    known: dict[str, Any]  # true_risk (n,), kind (n, patch), position (n, patch, 2), image
    kinds: int = eqx.field(static=True)


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
    text = "otsurv.md"
    kind = KIND

    data = DataSource("morphology-bags", doc="a named set of bags of patches with the time that each was seen")
    pooling = Choice(
        list(POOLINGS), label="pooling", traced=False,
        doc="how a bag becomes one vector; ot: by a plan to prototypes; mean: all patches alike; attention: a learned mean",
    )
    rho = Real(
        1.0, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.05, 1), label="pooled share", symbol="ρ", when=_OT,
        doc="share of the patches' mass that is pooled once trained; below 1, what fits no prototype is left out",
    )
    ramp = Whole(
        5, bounds=(0, 1000), soft=(0, 40), label="growth", symbol="T", unit="epochs", when=_OT,
        doc="epochs in which the pooled share grows to ρ while the model trains; 0: ρ from the start",
    )
    epsilon = positive(
        0.1, (0.01, 1), label="entropy", symbol="ε", when=_OT,
        doc="strength of the entropy, in units of the largest cost: large values blur the plan",
    )
    lam = positive(
        1.0, (0.01, 100), label="price of sizes", symbol="λ", when=_OT,
        doc="weight of the KL that ties the masses of the prototypes to equal ones",
    )
    k = Whole(
        8, bounds=(1, 256), soft=(1, 32), label="prototypes", symbol="K", traced=False, when=_OT,
        doc="number of prototypes that a bag is summarized by",
    )
    objective = Choice(
        list(LOSSES), label="loss", traced=False,
        doc="cox: partial likelihood, Breslow's ties; efron: the same, Efron's ties; nll: likelihood in 4 bins of time; "
        "ranking: a smooth C-index",
    )
    epochs = Whole(
        15, bounds=(0, 1000), soft=(0, 60), label="epochs", traced=False,
        doc="passes over the bags of the training; 0: the model as it starts",
    )
    slide = Whole(
        0, bounds=(0, None), soft=(0, 100), label="shown bag",
        doc="the bag whose patches, costs and plan are shown; nothing is trained anew",
    )
    share = Real(
        0.5, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.05, 1), label="shown share", symbol="ρ′", when=_OT,
        doc="share at which patches are shown as pooled or left out; nothing is trained anew",
    )
    fold = Whole(
        0, bounds=(0, None), soft=(0, 4), label="test fold", group="more", traced=False,
        doc="the part of the bags that is kept for the test",
    )
    rho0 = Real(
        0.1, bounds=(0, 1), soft=(0, 1), label="first share", symbol="ρ₀", group="more", when=_OT,
        doc="the share that the growth begins at, but for 0.0067",
    )
    rate = positive(
        1e-2, (1e-4, 0.1), label="learning rate", symbol="η", group="more",
        doc="of AdamW, after one epoch of warm-up; it falls as a cosine",
    )
    dropout = Real(
        0.0, bounds=(0, 0.95), soft=(0, 0.5), label="dropout", group="more",
        doc="share of the encoded features that is dropped while training",
    )
    patience = Whole(
        0, bounds=(0, 1000), soft=(0, 20), label="patience", unit="epochs", group="more", traced=False,
        doc="epochs without progress on the fold after the test fold, kept for that, which end the training, from the 11th on; "
        "0: it goes to its last epoch, and learns from that fold too",
    )
    dimension = size(
        32, (2, 1024), (8, 256), label="encoded features", symbol="D", group="more", doc="width of the patch encoder",
    )
    batch = Whole(
        16, bounds=(2, 1024), soft=(4, 64), label="batch", group="more", traced=False,
        doc="bags that are compared in a training step",
    )

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
        Result("cindex", (), "C-index", "share of comparable pairs of test bags that the risk orders right", headline=True,
               undefined=_NO_PAIRS),
        Result("cindex_train", (), "C-index, training", "the same of the bags that were learnt from", headline=True,
               undefined=_NO_PAIRS),
        Result("cindex_oracle", (), "C-index of the truth", "the same of the log risk that the times were drawn with",
               headline=True, absent=_NO_TRUTH, undefined=_NO_PAIRS),
        Result("chi2", (), "log-rank χ²", "of test bags above and below the median risk, 1 degree of freedom",
               headline=True),
        Result("p", (), "p-value", "of the log-rank test", headline=True),
        Result("iterations", (), "batches", "training steps that were made", headline=True),
        Result("converged", (), "finished", "whether the training came to its last epoch with every plan solved",
               headline=True, judge=lambda value, result: "good" if value else "warn"),
        Result("plan_residual", (), "residual of the plans", "largest L1 error of the columns of a plan, of all bags"),
        Result("risk", ("bag",), "log risk", "what the model says; with nll, minus the expected bins survived"),
        Result("true_risk", ("bag",), "true log risk", "that the times were drawn with", absent=_NO_TRUTH),
        Result("time", ("bag",), "time", "how long the bag was seen"),
        Result("event", ("bag",), "event", "1 where the event came at that time, 0 where censored"),
        Result("tested", ("bag",), "tested", "whether the bag was kept for the test"),
        Result("loss", ("epoch",), "loss", "mean over the batches of the epoch"),
        Result("loss_check", ("epoch",), "loss, checked", "of the fold that decides when the training ends",
               absent="no fold was kept for checking: set the patience above 0"),
        Result("pooled_share", ("epoch",), "pooled share", "ρ at the beginning of the epoch"),
        Result("mass", ("bag", "prototype"), "mass", "share of each prototype in the pooled mass of a bag"),
        Result("row_mass", ("bag", "patch"), "pooled share of the patch", "at the shown share ρ′; of attention, the weight "
               "over that of the mean"),
        Result("main", ("bag", "patch"), "main prototype", "the one that gets most of the patch; -1: no patch"),
        Result("patch_kind", ("bag", "patch"), "kind", "what the patch is; -1: no patch", absent=_NO_KINDS),
        Result("kind_mass", ("kind",), "pooled share", "of the patches of a kind, over all bags, at the shown share ρ′",
               absent=_NO_KINDS),
        Result("least_pooled", (), "pooled of the worst-fitting kind", "smallest pooled share of a kind of patch, over "
               "all bags, at the shown share ρ′", absent=_NO_KINDS),
        Result("position", ("bag", "patch", "axis"), "position", "row and column of the patch",
               absent="the places of these patches are not known"),
        Result("image", ("row", "column", "channel"), "picture", "what the patches were cut from",
               absent="these patches were not cut from a picture: choose stained-tissue"),
        Result("cost", ("patch", "prototype"), "cost", "of the shown bag, from 0 to 1", absent=_NO_PLAN),
        Result("plan", ("patch", "prototype"), "mass", "plan of the shown bag at the shown share", absent=_NO_PLAN),
        Result("slack", ("patch",), "left out", "mass of each patch of the shown bag that is left out", absent=_NO_PLAN),
        Result("km", ("group", "step"), "survival", "Kaplan-Meier estimate of the test bags"),
        Result("km_low", ("group", "step"), "survival", "lower end of the log-log 95% band"),
        Result("km_high", ("group", "step"), "survival", "upper end of the log-log 95% band"),
        Result("km_time", ("step",), "time", "times of the test bags"),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The bags in the lab's precision, and what is known of them in the shape of padded bags."""
        arrays = data.arrays
        dtype = jnp.result_type(float)
        made = bags(arrays["x"].astype(dtype), arrays["bag"], arrays["time"], arrays["event"])
        known: dict[str, Any] = {}
        if "true_risk" in arrays:
            known["true_risk"] = placed(np.asarray(arrays["true_risk"], dtype))
        number, place = arrays["bag"], np.arange(arrays["bag"].size) - np.asarray(made.start)[arrays["bag"]]
        for name, key in (("kind", "patch_kind"), ("position", "position")):
            if name in arrays:
                padded = np.full((made.count, made.widths[-1], *arrays[name].shape[1:]), -1, np.int32)
                padded[number, place] = arrays[name]
                known[key] = placed(padded)
        if "image" in arrays:
            known["image"] = placed(arrays["image"])
        return Inputs(made, Folds(arrays["fold"]), known, len(data.axes.get("kinds", ())))

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
        bags, parts = inputs.bags, inputs.folds.parts(p.fold, p.patience > 0)
        values = tuple(getattr(p, name) for name in _TRAINED_BY)
        if warm is None or warm.inputs is not inputs or warm.values != values or warm.trained.reason == Reason.STOPPED:
            settings = Settings(p.rho, p.rho0, p.ramp, p.epsilon, p.lam, p.rate, dropout=p.dropout, patience=p.patience)
            trained = train(
                jax.random.key(p.seed), bags, settings, which=parts.train, check=parts.check, pooling=p.pooling, k=p.k,
                width=p.dimension, loss=p.objective, epochs=p.epochs, batch=p.batch, loop=loop,
            )
        else:
            trained = warm.trained
        transport = Transport(p.rho, p.epsilon, p.lam)
        judged = shown = score(trained.model, bags, transport)
        output: dict[str, Any] = {}
        if p.patience:
            output["loss_check"] = trained.by_epoch(trained.curves.check, p.epochs)[:, -1]
        if p.pooling == "ot":
            transport = transport._replace(rho=p.share)
            shown = score(trained.model, bags, transport)
        ended = np.int32(trained.reason) if isinstance(trained.reason, int) else trained.reason
        slide = p.only("slide") if p.pooling == "ot" else None
        output |= _looked(inputs, trained.model, transport, slide, judged, shown, parts.test, ended)
        return output | inputs.known | {
            "warm": Warm(inputs, values, trained), "iterations": trained.steps,
            "loss": trained.by_epoch(trained.curves.loss, p.epochs)[:, : trained.batches].mean(axis=1),
            "pooled_share": trained.by_epoch(trained.curves.rho, p.epochs)[:, 0],
            "risk": judged.risk, "mass": judged.mass, "row_mass": shown.row_mass, "main": shown.main,
            "time": bags.time, "event": bags.event,
        }

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
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


@jit
def _looked(
    inputs: Inputs, model: Any, transport: Transport, slide: Any, judged: Scores, shown: Scores, test: Any, reason: Any
) -> dict[str, Any]:
    """The plan of a bag, what is pooled of each kind, and how well the bags are ordered."""
    output: dict[str, Any] = {}
    if slide is not None:
        at_share = jax.tree.map(jnp.asarray, transport)
        output |= bag_plan(model, inputs.bags, jnp.asarray(slide.slide), shown.potentials, at_share)._asdict()
    if inputs.kinds:
        by_kind = mean_by_kind(inputs.known["patch_kind"], shown.row_mass, inputs.kinds)
        output |= {"kind_mass": by_kind, "least_pooled": jnp.where(by_kind > 0, by_kind, jnp.inf).min()}
    found = evaluate(inputs.bags, judged.risk, test, inputs.known.get("true_risk"))
    if found.cindex_oracle is not None:
        output["cindex_oracle"] = found.cindex_oracle
    residual, reason = _settled(judged.residual, shown.residual, jnp.asarray(reason))
    return output | {
        "plan_residual": residual, "reason": reason, "cindex": found.cindex, "cindex_train": found.cindex_others,
        "tested": found.tested, "chi2": found.log_rank.chi2, "p": found.log_rank.p, "km": found.curves.survival,
        "km_low": found.curves.low, "km_high": found.curves.high, "km_time": found.times,
    }


def _settled(judged: Any, shown: Any, reason: Any) -> tuple[Any, Any]:
    """The largest residual, and why all ended: in a training that came to its end every plan is to be solved."""
    residual = jnp.maximum(judged.max(), shown.max())
    settled = residual <= (1e-6 if residual.dtype == jnp.float64 else 1e-4)
    return residual, jnp.where((reason == Reason.CONVERGED) & ~settled, Reason.STALLED, reason)
