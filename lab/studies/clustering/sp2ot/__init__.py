"""Progressive partial transport for clusters of uneven size (Zhang, Ren, He, ICLR 2024 and 2024) as a study."""

from collections.abc import Mapping
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.clustering import labels, similarity
from lab.clustering.training import METHODS, WHOLE, Settings, begin, train
from lab.datasets import Data
from lab.datasets.labelled import KIND
from lab.numerics import Loop, Reason
from lab.numerics.host import placed
from lab.studies.contract import Choice, DataSource, Limit, Paper, Real, Result, Study, Switch, Whole
from lab.studies.vocabulary import positive, size

from .claims import CLAIMS
from .pictures import PICTURES
from .presets import PRESETS
from .reported import REPORTED
from .story import STORY

_UNTRAINED = "nothing was trained: set epochs above 0"


class SP2OT(Study):
    """Clustering by a plan that labels the confident samples first and leaves the sizes of clusters free."""

    slug = "sp2ot"
    title = "Progressive partial transport"
    field = "Optimal transport"
    paper = Paper(
        "Zhang, Ren, He",
        "SP2OT: Semantic-Regularized Progressive Partial Optimal Transport for Imbalanced Clustering",
        "arXiv",
        2024,
        "https://arxiv.org/abs/2404.03446",
    )
    text = "sp2ot.md"
    kind = KIND
    data_options = ("ratio", "seed")

    data = DataSource("long-tailed-digits", doc="a named set of labelled samples; the classes are used for scores only")
    algorithm = Choice(
        ["p2ot", "sp2ot", "uot", "balanced"], label="algorithm",
        doc="which samples are labelled, and how; p2ot: a share of them, flexible sizes; sp2ot: and neighbours agree; "
        "uot: all of them, flexible sizes; balanced: all of them, equal sizes",
    )
    rho = Real(
        0.3, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.05, 1), label="labelled share", symbol="ρ",
        when={"algorithm": ("p2ot", "sp2ot")}, doc="share of the samples that the plan labels; the confident ones first",
    )
    lam = positive(
        1.0, (0.01, 100), label="price of sizes", symbol="λ", unit="nat", when={"algorithm": ("p2ot", "sp2ot", "uot")},
        doc="weight of the KL that ties the sizes of clusters to the prior; large: equal sizes",
    )
    epsilon = positive(
        0.1, (0.01, 1), label="entropy", symbol="ε", unit="nat",
        doc="strength of the entropy: large values blur the labels",
    )
    strength = Real(
        0.1, bounds=(0, None), soft=(0, 1), label="pull of neighbours", symbol="μ/n", unit="nat",
        when={"algorithm": ("sp2ot",)}, doc="weight of the semantic term, per sample, so that it compares across sizes",
    )
    epochs = Whole(
        0, bounds=(0, 1000), soft=(0, 60), label="epochs", traced=False,
        doc="training on pseudo-labels while their share grows from a tenth to all; 0: the clusters of k-means as they are",
    )
    ratio = size(
        10, (1, 100), (1, 100), label="imbalance", symbol="r",
        doc="how many times larger the largest class is than the smallest",
    )
    psd_shift = Switch(
        False, label="make it descend", symbol="descent", group="more", when={"algorithm": ("sp2ot",)},
        doc="give the similarity the diagonal that makes it positive semi-definite, so that the objective never rises",
    )
    solver = Choice(
        ["newton", "scaling"], label="solver", group="more", when={"algorithm": ("p2ot", "uot", "balanced")},
        doc="how the plan is found; newton: some 5 steps on the semi-dual; scaling: the generalized Sinkhorn iteration, "
        "hundreds or more",
    )
    neighbours = Whole(
        10, bounds=(1, None), soft=(1, 50), label="neighbours", group="more", traced=False, when={"algorithm": ("sp2ot",)},
        doc="how many other samples each sample is similar to",
    )

    dims: ClassVar = {
        "sample": ("sample", ""), "cluster": ("cluster, by the class that it matches", ""), "iteration": ("iteration", ""),
        "epoch": ("epoch", ""), "axis": ("principal axis", ""), "group": ("classes by frequency", ""),
    }
    results = (
        Result("macro_acc", (), "accuracy", "mean over classes of the share found by the network's clusters", headline=True),
        Result("nmi", (), "NMI", "normalized mutual information of the network's clusters and the classes", headline=True),
        Result("f1", (), "F1", "mean over classes of the F1 of the network's clusters", headline=True),
        Result("precision_labelled", (), "precision of labels", "share of the labelled mass that has its class",
               headline=True),
        Result("recall_labelled", (), "recall of labels", "share of all samples' mass that is labelled with its class",
               headline=True),
        Result("objective", (), "objective", "optimum of the transport problem, or where the semantic term settled",
               unit="nat"),
        Result("iterations", (), "iterations", "steps of the solver; of sp2ot, outer steps", headline=True),
        Result("converged", (), "converged", "whether the plan's equations hold to 1e-10, and with sp2ot the objective rests",
               headline=True, judge=lambda value, result: "good" if value else "warn"),
        Result("row_residual", (), "row residual", "L1 excess of the rows of the plan over 1/n"),
        Result("mass_residual", (), "mass residual", "distance of the plan's mass from rho"),
        Result("size_kl", (), "KL of sizes", "KL divergence of the clusters' shares of the mass from the prior",
               unit="nat"),
        Result("rise", (), "largest rise", "how much the objective of sp2ot rose in a step: 0 where it descends",
               unit="nat"),
        Result("group_acc", ("group",), "accuracy", "mean over the head, middle and tail classes of the share found"),
        Result("plan", ("sample", "cluster"), "mass", "the pseudo-labels: a transport plan"),
        Result("row_weight", ("sample",), "weight", "share of a sample that is labelled, in [0, 1]"),
        Result("label", ("sample",), "pseudo-label", "cluster that gets most of the sample"),
        Result("true_class", ("sample",), "class", "true class, unknown to the method"),
        Result("cluster_mass", ("cluster",), "mass", "mass of each cluster"),
        Result("class_share", ("cluster",), "share", "share of the samples in the class that the cluster matches"),
        Result("potential", ("cluster",), "potential", "dual potential of the cluster: negative above the prior",
               unit="nat"),
        Result("slack_potential", (), "slack potential", "of the virtual cluster: the level of confidence at which a sample "
               "is labelled", unit="nat"),
        Result("position", ("sample", "axis"), "position", "samples on two principal axes"),
        Result("history_objective", ("iteration",), "objective", "by iteration", unit="nat"),
        Result("history_residual", ("iteration",), "residual", "L1 error of the sizes; of sp2ot, change of the objective"),
        Result("curve_loss", ("epoch",), "loss", "cross-entropy over rho, by epoch", unit="nat", absent=_UNTRAINED),
        Result("curve_rho", ("epoch",), "labelled share", "rho of the epoch", absent=_UNTRAINED),
        Result("curve_acc", ("epoch",), "accuracy", "macro accuracy after the epoch", absent=_UNTRAINED),
        Result("curve_nmi", ("epoch",), "NMI", "after the epoch", absent=_UNTRAINED),
        Result("curve_f1", ("epoch",), "F1", "after the epoch", absent=_UNTRAINED),
        Result("curve_precision", ("epoch",), "precision of labels", "of the epoch", absent=_UNTRAINED),
        Result("curve_recall", ("epoch",), "recall of labels", "of the epoch", absent=_UNTRAINED),
    )
    pictures = PICTURES
    presets = PRESETS
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> dict[str, Any]:
        """The samples in the lab's precision, and the sizes of the classes."""
        classes = np.asarray(data.arrays["classes"], np.int32)
        return {
            "x": placed(np.asarray(data.arrays["x"], jnp.result_type(float))),
            "x_2d": data.arrays["x_2d"],
            "classes": placed(classes),
            "sizes": np.bincount(classes).astype(float),
        }

    def limits(self, data: Data) -> Mapping[str, Limit]:
        """A sample has fewer neighbours than there are samples."""
        return {"neighbours": Limit(1, len(data.arrays["classes"]) - 1, "the number of other samples")}

    @staticmethod
    def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> dict[str, Any]:
        """Train if asked to, then the plan of the network's costs."""
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
                "curve_loss": after.loss, "curve_rho": after.rho, "curve_acc": after.accuracy, "curve_nmi": after.nmi,
                "curve_f1": after.f1, "curve_precision": after.precision, "curve_recall": after.recall,
            }
        else:
            model, _ = begin(key, x, k)
        near = similarity(x, p.neighbours) if p.algorithm == "sp2ot" else None
        near = near.shifted() if near is not None and p.psd_shift else near
        found = labels.label(labels.problem(model, x), settings, rho, near, solver=p.solver, loop=loop)
        judged = labels.judge(found.plan, found.potentials, rho, model, x, classes, sizes)
        return curves | {
            "macro_acc": judged.scores.accuracy, "nmi": judged.scores.nmi, "f1": judged.scores.f1,
            "precision_labelled": judged.labelled_precision, "recall_labelled": judged.labelled_recall,
            "objective": found.objective, "iterations": found.iterations, "rise": found.rise,
            "row_residual": judged.row_excess, "mass_residual": judged.mass_error, "size_kl": judged.size_divergence,
            "group_acc": judged.recall, "plan": judged.plan, "row_weight": judged.weight,
            "label": judged.plan.argmax(axis=1), "true_class": classes, "cluster_mass": judged.mass,
            "class_share": sizes / sizes.sum(), "potential": judged.potentials, "slack_potential": found.potentials[-1],
            "position": inputs["x_2d"], "history_objective": found.objectives, "history_residual": found.residuals,
            "reason": jnp.where(reason == Reason.CONVERGED, found.reason, reason),
        }

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """The groups by name."""
        return {"group": ["head", "middle", "tail"]}

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """What a rising objective means."""
        if float(result.rise) <= 1e-9:
            return ""
        return (
            f"The similarity is indefinite, and the objective rose by up to {float(result.rise):.2g} in a step. "
            "Lower the pull of neighbours μ/n, or switch descent on (under more)."
        )
