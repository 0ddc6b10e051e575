"""Train a model of survival, judge all bags with it, and describe the plan of one bag."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from lab.numerics import Loop, Reason
from lab.numerics.jit import jit
from lab.studies.contract import Outputs, Run, out
from lab.survival.bags import Bags
from lab.survival.folds import Folds, evaluate
from lab.survival.pooling import Transport
from lab.survival.scoring import Scores, bag_plan, mean_by_kind, score
from lab.survival.training import Settings, Training, train

_TRAINED_BY = (
    *("pooling", "rho", "ramp", "rho0", "epsilon", "lam", "k", "objective", "epochs", "fold", "rate", "dropout"),
    *("dimension", "batch", "patience", "seed"),
)
_NO_PLAN = "mean and attention have no plan: choose ot"
_NO_TRUTH = "the true risk of these data is not known"
_NO_PAIRS = "no two bags are comparable: their times are equal or censored"
_NO_KINDS = "the kinds of these patches are not known"


class Inputs(eqx.Module):
    """The bags, their folds, and known properties of the patches."""

    bags: Bags
    folds: Folds
    known: dict[str, Any]  # true_risk (n,), kind (n, patch), position (n, patch, 2), image
    kinds: int = eqx.field(static=True)


class Warm(NamedTuple):
    """A training, and all that it depends on."""

    inputs: Inputs
    values: tuple
    trained: Training


class Experiment(Outputs):
    """One trained model, tested on one fold."""

    cindex: Float[Array, ""] = out(
        "C-index", "correctly ordered fraction of comparable test pairs", headline=True, undefined=_NO_PAIRS
    )
    cindex_train: Float[Array, ""] = out(
        "C-index, training", "the same for the training bags", headline=True, undefined=_NO_PAIRS
    )
    cindex_oracle: Float[Array, ""] | None = out(
        "C-index of the true risk",
        "the same for the log risk behind the times",
        headline=True,
        absent=_NO_TRUTH,
        undefined=_NO_PAIRS,
    )
    chi2: Float[Array, ""] = out(
        "log-rank χ²", "for test bags above and below the median risk, 1 degree of freedom", headline=True
    )
    p: Float[Array, ""] = out("p-value", "of the log-rank test", headline=True)
    iterations: Int[Array, ""] | None = out("batches", "number of training steps", headline=True)
    converged: Bool[Array, ""] | None = out(
        "finished",
        "whether the training reached its last epoch and every plan is solved",
        headline=True,
        judge=lambda value, result: "good" if value else "warn",
    )
    plan_residual: Float[Array, ""] = out(
        "residual of the plans", "maximum L1 error of the columns of a plan, all bags"
    )
    risk: Float[Array, " bag"] = out(
        "log risk", "output of the model; with nll, minus the expected number of bins survived"
    )
    true_risk: Float[Array, " bag"] | None = out(
        "true log risk", "log risk from which the times were drawn", absent=_NO_TRUTH
    )
    time: Float[Array, " bag"] = out("time", "time of the event or of censoring")
    event: Float[Array, " bag"] = out("event", "1 where the event was observed, 0 where the time is censored")
    tested: Bool[Array, " bag"] = out("tested", "whether the bag belongs to the test fold")
    loss: Float[Array, " epoch"] = out("loss", "mean over the batches of the epoch")
    loss_check: Float[Array, " epoch"] | None = out(
        "validation loss",
        "loss on the fold that decides when the training ends",
        absent="no fold was kept for validation: set the patience above 0",
    )
    pooled_share: Float[Array, " epoch"] = out("pooled share", "ρ at the beginning of the epoch")
    mass: Float[Array, "bag prototype"] = out("mass", "share of each prototype in the pooled mass of a bag")
    row_mass: Float[Array, "bag patch"] = out(
        "pooled share of the patch", "at the shown share ρ′; with attention, the weight relative to the mean"
    )
    main: Int[Array, "bag patch"] = out("main prototype", "prototype that receives most of the patch; -1: no patch")
    patch_kind: Int[Array, "bag patch"] | None = out("kind", "kind of the patch; -1: no patch", absent=_NO_KINDS)
    kind_mass: Float[Array, " kind"] | None = out(
        "pooled share", "of the patches of a kind, over all bags, at the shown share ρ′", absent=_NO_KINDS
    )
    least_pooled: Float[Array, ""] | None = out(
        "minimum pooled share of a kind", "over the kinds of patches, at the shown share ρ′", absent=_NO_KINDS
    )
    position: Int[Array, "bag patch axis"] | None = out(
        "position", "row and column of the patch", absent="the positions of these patches are not known"
    )
    image: UInt8[Array, "row column channel"] | None = out(
        "picture",
        "photograph from which the patches were cut",
        absent="these patches were not cut from a picture: choose stained-tissue",
    )
    cost: Float[Array, "patch prototype"] | None = out("cost", "of the shown bag, from 0 to 1", absent=_NO_PLAN)
    plan: Float[Array, "patch prototype"] | None = out(
        "mass", "plan of the shown bag at the shown share", absent=_NO_PLAN
    )
    slack: Float[Array, " patch"] | None = out(
        "left out", "mass of each patch of the shown bag that is left out", absent=_NO_PLAN
    )
    km: Float[Array, "group step"] = out("survival", "Kaplan-Meier estimate for the test bags")
    km_low: Float[Array, "group step"] = out("survival", "lower end of the log-log 95% band")
    km_high: Float[Array, "group step"] = out("survival", "upper end of the log-log 95% band")
    km_time: Float[Array, " step"] = out("time", "times of the test bags")


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Train, unless the warm start is the same training; then judge all bags."""
    bags, parts = inputs.bags, inputs.folds.parts(p.fold, p.patience > 0)
    values = tuple(getattr(p, name) for name in _TRAINED_BY)
    if warm is None or warm.inputs is not inputs or warm.values != values or warm.trained.reason == Reason.STOPPED:
        trained = train(
            jax.random.key(p.seed),
            bags,
            Settings(p.rho, p.rho0, p.ramp, p.epsilon, p.lam, p.rate, dropout=p.dropout, patience=p.patience),
            which=parts.train,
            check=parts.check,
            pooling=p.pooling,
            k=p.k,
            width=p.dimension,
            loss=p.objective,
            epochs=p.epochs,
            batch=p.batch,
            loop=loop,
        )
    else:
        trained = warm.trained
    transport = Transport(p.rho, p.epsilon, p.lam)
    judged = shown = score(trained.model, bags, transport)
    if p.pooling == "ot":
        transport = transport._replace(rho=p.share)
        shown = score(trained.model, bags, transport)
    ended = np.int32(trained.reason) if isinstance(trained.reason, int) else trained.reason
    slide = p.only("slide") if p.pooling == "ot" else None
    found = _looked(inputs, trained.model, transport, slide, judged, shown, parts.test, ended)
    reason = found.pop("reason")
    outputs = Experiment(
        loss=trained.by_epoch(trained.curves.loss, p.epochs)[:, : trained.batches].mean(axis=1),
        loss_check=trained.by_epoch(trained.curves.check, p.epochs)[:, -1] if p.patience else None,
        pooled_share=trained.by_epoch(trained.curves.rho, p.epochs)[:, 0],
        risk=judged.risk,
        mass=judged.mass,
        row_mass=shown.row_mass,
        main=shown.main,
        time=bags.time,
        event=bags.event,
        **found,
        **inputs.known,
    )
    return Run(outputs, reason, trained.steps, Warm(inputs, values, trained))


@jit
def _looked(
    inputs: Inputs, model: Any, transport: Transport, slide: Any, judged: Scores, shown: Scores, test: Any, reason: Any
) -> dict[str, Any]:
    """The plan of a bag, the pooled share of each kind, and how well the risk orders the bags."""
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
    residual = jnp.maximum(judged.residual.max(), shown.residual.max())
    settled = residual <= (1e-6 if residual.dtype == jnp.float64 else 1e-4)  # a finished training needs solved plans
    reason = jnp.asarray(reason)
    return output | {
        "reason": jnp.where((reason == Reason.CONVERGED) & ~settled, Reason.STALLED, reason),
        "plan_residual": residual,
        "cindex": found.cindex,
        "cindex_train": found.cindex_others,
        "tested": found.tested,
        "chi2": found.log_rank.chi2,
        "p": found.log_rank.p,
        "km": found.curves.survival,
        "km_low": found.curves.low,
        "km_high": found.curves.high,
        "km_time": found.times,
    }
