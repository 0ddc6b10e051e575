"""What the page of DPM-OT tells first."""

from typing import Any

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, OFF, W2

_FEW: dict[str, Any] = {"m": 50, "k": 1, "extend": "pair"}

STORY = Story(
    "An optimal transport map jumps from noise to slightly noisy stored data; the last k steps of a sampler follow.",
    hero=("motion", "balance"),
    moves=("k", "t"),
    steps=(
        Step("What if no step follows the jump?", {"k": 0},
             "One evaluation, no sample off the modes, and each is {from_own:.3f} from the point it jumped to: a copy.",
             lambda before, after: after.from_own < 0.5 * before.from_own and after.off_express <= 0.01
             and after.nfe_express == 1, look="scatter"),
        Step("And if many follow?", {"k": 40},
             "Samples are {nn_express:.3f} from the stored points, fresh data {nn_fresh:.3f}: memory is paid for with steps.",
             lambda before, after: after.nn_express > 0.9 * after.nn_fresh > before.nn_express, look="scatter"),
        Step("Can the map itself make new samples?", _FEW | {"threshold": 0.1},
             "Yes, between neighbours of 50 stored points: {nn_express:.3f} from them, and {off_express:.1%} off the modes.",
             lambda before, after: after.nn_express > 0.015 and after.off_express < 0.005, look="scatter"),
        Step("And without the test of angles?", _FEW | {"threshold": 1.0},
             "Where the map jumps from mode to mode samples fall between them: {off_express:.1%} are off.",
             lambda before, after: after.off_express > 0.01, look="scatter"),
    ),
    groups=(
        Group("Accuracy at equal cost", "All methods but the full sampler evaluate the denoiser {nfe_express:.0f} times. W₂ to "
              "held-out data: DPM-OT {w2_express:.3f}, resampled stored points {w2_stored:.3f}, another sample of the data "
              "{w2_floor:.3f}.", ("tradeoff", "table")),
        Group("What it remembers", "Samples are {nn_express:.3f} from the nearest stored point, fresh data {nn_fresh:.3f}.",
              ("memory", "sizes", "images")),
        Group("Between the modes", OFF.finding, ("scatter", "mixture", "angles", "filling")),
        Group("The map", "The masses of the cells are off by TV = {tv:.3f}; an estimate of right ones has {tv_floor:.3f}.",
              ("newton", "potential", "convergence", "rates")),
    ),
    says=(
        "Each of these methods evaluates the denoiser {nfe_express:.0f} times.",
        "DPM-OT samples have a mean distance of {nn_express:.3f} to the nearest stored point, held-out data {nn_fresh:.3f}.",
    ),
    finds=FINDS,
    compares=(W2, OFF),
    seeds=10,
    question="Can one jump replace a thousand steps?",
)
