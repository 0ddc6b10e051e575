"""The study: parameters, data and presets."""

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.datasets.bags import KIND
from lab.numerics.host import placed
from lab.studies.contract import Choice, DataSource, Limit, Paper, Preset, Real, Study, Whole
from lab.studies.vocabulary import positive, size
from lab.survival.bags import bags
from lab.survival.folds import Folds
from lab.survival.training import LOSSES, POOLINGS

from .claims import CLAIMS, REPORTED, TABLE
from .experiment import Inputs, compute
from .pictures import PICTURES
from .story import STORY

_OT = {"pooling": ("ot",)}
_share = partial(Real, bounds=(0, 1), inclusive_bounds=(False, True), soft=(0.05, 1), when=_OT)


class OTSurv(Study):
    """Survival predicted from bags of patches, each pooled into a few prototypes by transport."""

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

    data = DataSource("morphology-bags", doc="a named set of bags of patches, with the time and event of each bag")
    pooling = Choice(
        list(POOLINGS),
        label="pooling",
        traced=False,
        doc="how a bag becomes one vector; ot: plan to prototypes; mean: all patches alike; attention: learned mean",
    )
    rho = _share(1.0, label="pooled share", symbol="ρ", doc="pooled share of the mass at the end of training")
    ramp = Whole(
        5,
        bounds=(0, 1000),
        soft=(0, 40),
        label="growth",
        symbol="T",
        unit="epochs",
        when=_OT,
        doc="epochs until the pooled share is ρ; 0: from the start",
    )
    epsilon = positive(
        0.1,
        (0.01, 1),
        label="entropy",
        symbol="ε",
        when=_OT,
        doc="strength of the entropy, in units of the largest cost",
    )
    lam = positive(
        1.0, (0.01, 100), label="KL weight", symbol="λ", when=_OT, doc="weight of the KL to equal masses of prototypes"
    )
    k = Whole(
        8,
        bounds=(1, 256),
        soft=(1, 32),
        label="prototypes",
        symbol="K",
        traced=False,
        when=_OT,
        doc="number of prototypes",
    )
    objective = Choice(
        list(LOSSES),
        label="loss",
        traced=False,
        doc="cox: partial likelihood, Breslow's ties; efron: the same, Efron's ties; nll: likelihood in 4 bins of time; "
        "ranking: a smooth C-index",
    )
    epochs = Whole(
        15,
        bounds=(0, 1000),
        soft=(0, 60),
        label="epochs",
        traced=False,
        doc="passes over the training bags; 0: untrained",
    )
    slide = Whole(0, bounds=(0, None), soft=(0, 100), label="shown bag", doc="bag that is shown; no new training")
    share = _share(0.5, label="shown share", symbol="ρ′", doc="pooled share in the pictures; no new training")
    fold = Whole(
        0, bounds=(0, None), soft=(0, 4), label="test fold", group="more", traced=False, doc="fold kept for the test"
    )
    rho0 = Real(
        0.1,
        bounds=(0, 1),
        soft=(0, 1),
        label="initial share",
        symbol="ρ₀",
        group="more",
        when=_OT,
        doc="the growth begins at ρ₀ + 0.0067",
    )
    rate = positive(
        1e-2,
        (1e-4, 0.1),
        label="learning rate",
        symbol="η",
        group="more",
        doc="learning rate of AdamW: one warm-up epoch, then cosine",
    )
    dropout = Real(
        0.0, bounds=(0, 0.95), soft=(0, 0.5), label="dropout", group="more", doc="dropout rate of encoded features"
    )
    patience = Whole(
        0,
        bounds=(0, 1000),
        soft=(0, 20),
        label="patience",
        unit="epochs",
        group="more",
        traced=False,
        doc="epochs without progress on a validation fold (the fold after the test fold) that end the training, from the 11th "
        "on; 0: all epochs are run, and that fold is used for training too",
    )
    dimension = size(
        32, (2, 1024), (8, 256), label="encoded features", symbol="D", group="more", doc="width of the patch encoder"
    )
    batch = Whole(
        16, bounds=(2, 1024), soft=(4, 64), label="batch", group="more", traced=False, doc="bags in a training step"
    )

    dims: ClassVar = {
        "patch": ("patch of the bag", ""),
        "group": ("risk group", ""),
        "kind": ("kind of patch", ""),
        "step": ("step of the curves", ""),
        "row": ("row", "pixel"),
        "column": ("column", "pixel"),
    }
    presets = (
        Preset(
            "table",
            "Full training",
            "40 epochs; sweep pooling and seed to reproduce the table of mean C-indices.",
            TABLE,
        ),
        Preset(
            "artefacts",
            "Artifacts are left out",
            "A third to more than half of each bag is noise; at small shares it is left out.",
            {"data": "artefact-bags", "rho": 0.5, "share": 0.4},
        ),
        Preset(
            "long-tail",
            "Uneven prototypes",
            "At a small λ, a few prototypes receive a large part of a bag. Raise λ to even them out.",
            {"lam": 0.01, "k": 16},
        ),
        Preset(
            "tissue",
            "Stained tissue",
            "Windows of a photograph with simulated times: patches that look alike share a prototype.",
            {"data": "stained-tissue", "k": 4, "epsilon": 0.05, "lam": 0.2, "rho": 0.6, "share": 0.6},
        ),
        Preset("bins", "Hazards in bins of time", "The discrete likelihood instead of Cox's.", {"objective": "nll"}),
    )
    compute = staticmethod(compute)
    pictures = PICTURES
    claims = CLAIMS
    reported = REPORTED
    story = STORY

    @classmethod
    def prepare(cls, data: Data) -> Inputs:
        """The bags in the lab's precision, and known properties of their patches in the shape of padded bags."""
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
        """Numbers of bags and folds, and whether a fold is left for validation."""
        folds = int(data.arrays["fold"].max()) + 1
        few = {"patience": Limit(0, 0, "for with two folds none is left to check")} if folds < 3 else {}
        return few | {
            "slide": Limit(0, data.arrays["time"].size - 1, "for there are so many bags, counted from 0"),
            "fold": Limit(0, folds - 1, "for there are so many folds, counted from 0"),
        }

    @classmethod
    def coords(cls, data: Data, inputs: Any, p: Any, output: Mapping[str, Any]) -> Mapping[str, Any]:
        """Names of risk groups and kinds of patches."""
        return {"group": ["high", "low"]} | ({"kind": list(data.axes["kinds"])} if "kinds" in data.axes else {})

    @classmethod
    def advice(cls, result: xr.Dataset) -> str:
        """Warn of unfinished, missing and overfitted trainings."""
        if result.attrs["reason"] == "stopped":
            return (
                f"The training ended in epoch {int(np.isfinite(result.loss).sum()) + 1} of {result.sizes['epoch']}, so the "
                "C-index is that of an unfinished model: run it to its end, or lower the epochs."
            )
        if not result.sizes["epoch"]:
            return "Nothing was trained: the risk is that of random numbers. Set epochs above 0."
        if float(result.cindex_train - result.cindex) > 0.15:
            return "The model orders training bags far better than test bags: lower epochs or learning rate, or raise dropout."
        return ""
