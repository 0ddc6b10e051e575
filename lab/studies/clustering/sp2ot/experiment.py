"""Cluster by a partial transport plan, after a training on its pseudo-labels."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from lab.clustering import labels, similarity
from lab.clustering.training import METHODS, WHOLE, Settings, begin, train
from lab.numerics import Loop, Reason
from lab.studies.contract import Outputs, Run, out

_UNTRAINED = "nothing was trained: set epochs above 0"


class Experiment(Outputs):
    """Pseudo-labels, cluster sizes and scores."""

    macro_acc: Float[Array, ""] = out("accuracy", "recall of the network's clusters, mean over classes", headline=True)
    nmi: Float[Array, ""] = out("NMI", "normalized mutual information of clusters and classes", headline=True)
    f1: Float[Array, ""] = out("F1", "F1 of the network's clusters, mean over classes", headline=True)
    precision_labelled: Float[Array, ""] = out(
        "precision of labels", "fraction of the labelled mass with the correct class", headline=True
    )
    recall_labelled: Float[Array, ""] = out(
        "recall of labels", "fraction of the total mass labelled with the correct class", headline=True
    )
    objective: Float[Array, ""] = out(
        "objective", "optimum of the transport problem, or limit with the semantic term", unit="nat"
    )
    iterations: Int[Array, ""] | None = out("iterations", "steps of the solver; outer steps with sp2ot", headline=True)
    converged: Bool[Array, ""] | None = out(
        "converged",
        "whether the optimality conditions hold to 1e-10, and with sp2ot the objective is constant",
        headline=True,
        judge=lambda value, result: "good" if value else "warn",
    )
    row_residual: Float[Array, ""] = out("row residual", "L1 excess of the rows of the plan over 1/n")
    mass_residual: Float[Array, ""] = out("mass residual", "distance of the plan's mass from rho")
    size_kl: Float[Array, ""] = out("KL of sizes", "KL divergence of cluster sizes from the prior", unit="nat")
    rise: Float[Array, ""] = out("largest increase", "of the objective of sp2ot in a step; 0: it descends", unit="nat")
    group_acc: Float[Array, " group"] = out("accuracy", "mean recall of head, middle and tail classes")
    plan: Float[Array, "sample cluster"] = out("mass", "pseudo-labels: a transport plan")
    row_weight: Float[Array, " sample"] = out("weight", "labelled share of a sample, in [0, 1]")
    label: Int[Array, " sample"] = out("pseudo-label", "cluster that receives most of the sample")
    true_class: Int[Array, " sample"] = out("class", "true class, unknown to the method")
    cluster_mass: Float[Array, " cluster"] = out("mass", "mass of each cluster")
    class_share: Float[Array, " cluster"] = out("share", "fraction of the samples in the class matched to the cluster")
    potential: Float[Array, " cluster"] = out(
        "potential", "dual potential of the cluster: negative above the prior", unit="nat"
    )
    slack_potential: Float[Array, ""] = out(
        "slack potential",
        "potential of the virtual cluster: the confidence above which samples are labelled",
        unit="nat",
    )
    position: Float[Array, "sample axis"] = out("position", "samples on two principal axes")
    history_objective: Float[Array, " iteration"] = out("objective", "by iteration", unit="nat")
    history_residual: Float[Array, " iteration"] = out(
        "residual", "L1 error of the sizes; change of the objective with sp2ot"
    )
    curve_loss: Float[Array, " epoch"] | None = out(
        "loss", "cross-entropy over rho, by epoch", unit="nat", absent=_UNTRAINED
    )
    curve_rho: Float[Array, " epoch"] | None = out("labelled share", "rho of the epoch", absent=_UNTRAINED)
    curve_acc: Float[Array, " epoch"] | None = out("accuracy", "macro accuracy after the epoch", absent=_UNTRAINED)
    curve_nmi: Float[Array, " epoch"] | None = out("NMI", "after the epoch", absent=_UNTRAINED)
    curve_f1: Float[Array, " epoch"] | None = out("F1", "after the epoch", absent=_UNTRAINED)
    curve_precision: Float[Array, " epoch"] | None = out("precision of labels", "of the epoch", absent=_UNTRAINED)
    curve_recall: Float[Array, " epoch"] | None = out("recall of labels", "of the epoch", absent=_UNTRAINED)


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Train if epochs is above 0, then solve for the plan of the network's costs."""
    x, classes, sizes = inputs["x"], inputs["classes"], inputs["sizes"]
    key, k = jax.random.key(p.seed), len(sizes)
    settings = METHODS[p.algorithm](Settings(lam=p.lam, epsilon=p.epsilon, strength=p.strength * x.shape[0]))
    rho = 1.0 if p.algorithm in WHOLE else p.rho
    curves: dict[str, Any] = {}
    reason: Any = Reason.CONVERGED
    if p.epochs:
        trained = train(key, x, classes, settings, k=k, neighbours=p.neighbours, epochs=p.epochs, loop=loop)
        model, reason, after = trained.model, jnp.asarray(trained.reason), trained.curves
        curves = {
            "curve_loss": after.loss,
            "curve_rho": after.rho,
            "curve_acc": after.accuracy,
            "curve_nmi": after.nmi,
            "curve_f1": after.f1,
            "curve_precision": after.precision,
            "curve_recall": after.recall,
        }
    else:
        model, _ = begin(key, x, k)
    near = similarity(x, p.neighbours) if p.algorithm == "sp2ot" else None
    near = near.shifted() if near is not None and p.psd_shift else near
    found = labels.label(labels.problem(model, x), settings, rho, near, solver=p.solver, loop=loop)
    judged = labels.judge(found.plan, found.potentials, rho, model, x, classes, sizes)
    outputs = Experiment(
        macro_acc=judged.scores.accuracy,
        nmi=judged.scores.nmi,
        f1=judged.scores.f1,
        precision_labelled=judged.labelled_precision,
        recall_labelled=judged.labelled_recall,
        objective=found.objective,
        rise=found.rise,
        row_residual=judged.row_excess,
        mass_residual=judged.mass_error,
        size_kl=judged.size_divergence,
        group_acc=judged.recall,
        plan=judged.plan,
        row_weight=judged.weight,
        label=judged.plan.argmax(axis=1),
        true_class=classes,
        cluster_mass=judged.mass,
        class_share=sizes / sizes.sum(),
        potential=judged.potentials,
        slack_potential=found.potentials[-1],
        position=inputs["x_2d"],
        history_objective=found.objectives,
        history_residual=found.residuals,
        **curves,
    )
    return Run(outputs, jnp.where(reason == Reason.CONVERGED, found.reason, reason), found.iterations)
