"""Balance the cells of the map, run all methods with as many denoiser evaluations, and compare their samples."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int

from lab.numerics import Loop, first_failure, map_rows
from lab.numerics.host import placed
from lab.ot import semidiscrete
from lab.paths import metrics
from lab.studies.contract import Outputs, Run, out
from lab.studies.diffusion import expressway_comparison

TESTED = 50  # batches of the last estimate of the masses
_NO_MODES = "the modes of these data are unknown: choose data with few Gaussians or with classes"
_NO_PLANE = "the data are not in the plane: choose narrow-ring, say"
_NO_IMAGES = "the data are no images: choose digit-samples"


class Experiment(Outputs):
    """Distances are between samples and held-out data, or to the stored points."""

    nfe_express: Int[Array, ""] = out(
        "denoiser evaluations", "by DPM-OT, and by the methods at equal cost", headline=True
    )
    w2_express: Float[Array, ""] = out("W₂ of DPM-OT", "exact distance of its samples to held-out data", headline=True)
    w2_stored: Float[Array, ""] = out("W₂ of the stored points", "the same, of resampled stored points", headline=True)
    w2_floor: Float[Array, ""] = out("W₂ of the data", "between two samples of the data")
    nn_express: Float[Array, ""] = out(
        "distance to the stored points",
        "mean distance of a sample to the nearest stored point",
        headline=True,
        judge=lambda value, result: "warn" if value < 0.5 * float(result.nn_fresh) else "",
    )
    nn_fresh: Float[Array, ""] = out("distance of held-out data", "the same, of held-out data", headline=True)
    from_own: Float[Array, ""] = out(
        "distance to the target", "mean distance of a sample to the stored point of its jump", headline=True
    )
    tv: Float[Array, ""] = out(
        "TV of the cells",
        "total variation between their estimated masses and equal masses",
        headline=True,
        judge=lambda value, result: "good" if value < 1.5 * float(result.tv_floor) else "warn",
    )
    tv_floor: Float[Array, ""] = out("floor of TV", "expected estimate for balanced cells")
    mmr_express: Float[Array, ""] | None = out(
        "mixed samples", "fraction of DPM-OT samples that two modes claim", headline=True, absent=_NO_MODES
    )
    mmr_fresh: Float[Array, ""] | None = out("mixed data", "the same fraction of held-out data", absent=_NO_MODES)
    off_express: Float[Array, ""] | None = out(
        "off the modes", "fraction of DPM-OT samples outside all modes", headline=True, absent=_NO_MODES
    )
    off_flow: Float[Array, ""] | None = out(
        "off the modes, flow", "the same fraction of the flow, at equal cost", headline=True, absent=_NO_MODES
    )
    empty: Float[Array, ""] = out("empty cells", "cells without a point of the last estimate")
    chi_squared: Float[Array, ""] = out("χ²", "of the masses of the cells, unbiased")
    kept: Float[Array, ""] = out(
        "accepted starts", "fraction of starts that are not singular, where those are rejected"
    )
    w2: Float[Array, " way"] = out("W₂", "exact distance to held-out data")
    nfe: Int[Array, " way"] = out("denoiser evaluations", "per sample")
    nn_to_target: Float[Array, " way"] = out("distance", "mean distance to the nearest stored point")
    mmr: Float[Array, " way"] | None = out("mixed", "fraction of samples that two modes claim", absent=_NO_MODES)
    off_mode: Float[Array, " way"] | None = out("off the modes", "fraction outside all modes", absent=_NO_MODES)
    samples: Float[Array, "way particle axis"] = out("position", "on at most two axes")
    mixed: Float[Array, "way particle"] | None = out("mixed", "1 if two modes claim the sample", absent=_NO_MODES)
    off: Float[Array, "way particle"] | None = out("off", "1 if the sample is outside all modes", absent=_NO_MODES)
    angles: Float[Array, " particle"] = out("angle", "between the two top cells at the start of DPM-OT", unit="rad")
    singular: Float[Array, " particle"] = out("singular", "1 if the angle exceeds the threshold")
    stored: Float[Array, "target axis"] = out("position", "of the stored points")
    paths: Float[Array, "t film shown axis"] = out("position", "on the scale of the data, on at most two axes")
    heights: Float[Array, "stage target"] | None = out("height", "by iteration", absent=_NO_PLANE)
    cell_mass: Float[Array, "stage target"] | None = out("mass", "of the cells, by iteration", absent=_NO_PLANE)
    targets: Float[Array, "target axis"] | None = out("position", "of noised stored points", absent=_NO_PLANE)
    images: Float[Array, "kind image row column"] | None = out(
        "intensity", "samples and stored points", absent=_NO_IMAGES
    )


def compute(inputs: Any, p: Any, loop: Loop, warm: Any = None) -> Run[Experiment]:
    """Balance the cells, draw samples with all methods, and measure them."""
    x = inputs["x"]
    stored, rest = placed(x[: p.m]), placed(x[p.m :] if len(x) > p.m + 1 else x)
    law = expressway_comparison.law_of(inputs["law"], p.score, stored, rest)
    draw, k, radius = expressway_comparison.source(p.source, stored.shape[1]), placed(p.k), inputs["radius"]
    levels = p.sigma_max * radius, p.sigma_min * radius
    begun = expressway_comparison.begin(law, stored, draw, jax.random.key(p.seed), k, p.levels, levels, p.particles)
    cells = semidiscrete.by_samples(
        draw,
        begun.y,
        key=begun.keys[2],
        iterations=p.iterations,
        batch=p.batch,
        rate=p.rate * radius,
        patience=50 if p.doubling else 0,
        marks=expressway_comparison.marks(p.iterations),
        tested=TESTED,
        loop=loop,
    )
    last, relative = expressway_comparison.sampler(p.sampler, p.step_size), p.angle == "minmax"
    threshold = p.threshold * (1.0 if relative else np.pi)
    singular: Any = threshold, relative, p.extend, p.on_singular == "reject"
    ways = expressway_comparison.carry(law, begun, cells.heights, draw, k, last, p.step_size, *singular)
    w2sq, compared = map_rows(loop, metrics.cloud_distance, ways.clouds)
    masses = {"masses": cells.masses, "path": cells.path, "points": float(TESTED * p.batch)}
    plane = inputs["centre"], inputs["axes"], inputs["variance"], inputs["off_radius"]
    looked = expressway_comparison.look(
        law, begun, stored, ways, masses, draw, k, p.tau, plane, w2sq, inputs.get("lift")
    )
    return Run(Experiment(**looked), first_failure(cells.reason, compared), cells.iterations)
