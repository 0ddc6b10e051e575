"""The argument of the page: lede, steps and groups."""

from typing import Any

from lab.studies.contract import Group, Step, Story

from .pictures import OFF, W2

_FEW: dict[str, Any] = {"m": 50, "k": 1, "extend": "pair"}

STORY = Story(
    "An optimal transport map jumps from noise to slightly noisy stored data; the last k steps of a sampler follow.",
    hero=("motion", "balance"),
    moves=("k", "t"),
    steps=(
        Step(
            "What if no step follows the jump?",
            {"k": 0},
            "One evaluation, no sample off the modes, and each is {from_own:.3f} from the point it jumped to: a copy.",
            lambda before, after: (
                after.from_own < 0.5 * before.from_own and after.off_express <= 0.01 and after.nfe_express == 1
            ),
            look="scatter",
        ),
        Step(
            "Do forty steps remove the copies?",
            {"k": 40},
            "Yes: samples are {nn_express:.3f} from the nearest stored point, held-out data {nn_fresh:.3f}.",
            lambda before, after: after.nn_express > 0.9 * after.nn_fresh > before.nn_express,
            look="scatter",
        ),
        Step(
            "Can the map itself make new samples?",
            _FEW | {"threshold": 0.1},
            "Yes, between neighboring stored points: they are {nn_express:.3f} from them, {off_express:.1%} off the modes.",
            lambda before, after: after.nn_express > 0.015 and after.off_express < 0.005,
            look="scatter",
        ),
        Step(
            "Is the test of angles necessary?",
            _FEW | {"threshold": 1.0},
            "Yes: without it, samples fall between modes where the map jumps; {off_express:.1%} are off the modes.",
            lambda before, after: after.off_express > 0.01,
            look="scatter",
        ),
    ),
    groups=(
        Group(
            "Accuracy at equal cost",
            "All methods but the full sampler evaluate the denoiser {nfe_express:.0f} times. W₂ to held-out data: DPM-OT "
            "{w2_express:.3f}, resampled stored points {w2_stored:.3f}, another sample of the data {w2_floor:.3f}.",
            ("tradeoff",),
        ),
        Group(
            "Memorization",
            "Samples are {nn_express:.3f} from the nearest stored point, held-out data {nn_fresh:.3f}.",
            ("memory", "images"),
        ),
        Group("Between the modes", OFF.finding, ("scatter", "filling")),
        Group(
            "The map",
            "Total variation of the masses of the cells from equal masses: {tv:.3f}; the estimate for balanced cells is "
            "{tv_floor:.3f}.",
            ("potential",),
        ),
    ),
    says=(
        "Each of these methods evaluates the denoiser {nfe_express:.0f} times.",
        "DPM-OT samples have a mean distance of {nn_express:.3f} to the nearest stored point, held-out data {nn_fresh:.3f}.",
    ),
    compares=(W2, OFF),
    seeds=10,
    question="Can one jump replace a thousand steps?",
)
