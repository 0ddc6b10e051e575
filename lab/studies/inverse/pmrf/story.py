"""The argument of the page: lede, comparisons, steps and groups."""

from lab.studies.contract import Comparison, Group, Step, Story

from .claims import RING

_WORDS = {name: name for name in ("PMRF", "optimal transport", "posterior sampling")}
_WORDS |= {name: f"the {name}" for name in ("posterior mean", "flow given Y", "flow from Y")}
ERROR = Comparison("error", "mean squared error", _WORDS, result="mse", along="estimator", ours="PMRF", best_at=None)
W2 = Comparison("w2", "W₂ to clean data", _WORDS, result="w2", along="estimator")

STORY = Story(
    "PMRF transports the posterior mean to the distribution of clean data by a rectified flow. Matching that distribution "
    "increases the error.",
    hero=("plane", "images"),
    moves=("euler_steps", "sigma_s", "noise"),
    steps=(
        Step(
            "What does a single step return?",
            {"euler_steps": 1},
            "The posterior mean: the error is {mse_pmrf:.3g} (MMSE {mmse:.3g}), and W₂ = {w2_pmrf:.3g}.",
            lambda before, after: after.mse_pmrf < 1.1 * after.mmse and after.w2_pmrf > 0.9 * after.w2_mean,
        ),
        Step(
            "What if the noise of the start is large?",
            {"sigma_s": 0.7},
            "The error rises from {before.mse_pmrf:.3g} to {mse_pmrf:.3g}; posterior samples have {mse_sampling:.3g}.",
            lambda before, after: after.mse_pmrf > after.mse_sampling,
            look="plane",
        ),
        Step(
            "What if the middle of the image is missing?",
            {"task": "inpainting", "noise": 0.05},
            "The posterior mean has W₂ = {w2_mean:.3g}. PMRF has {w2_pmrf:.3g} and an error of {mse_pmrf:.3g}; posterior "
            "sampling has an error of {mse_sampling:.3g}.",
            lambda before, after: after.w2_pmrf < after.w2_mean and after.mse_pmrf < after.mse_sampling,
            look="images",
        ),
        Step(
            "Why not start at the measurement?",
            {"data": "random-gaussian", "dimension": 3, "task": "mixing", "sigma_s": 0.0, "euler_steps": 100},
            "Where H mixes the coordinates, the flow from Y has an error of {mse_from_y:.3g}; sampling has "
            "{mse_sampling:.3g}, PMRF {mse_pmrf:.3g}.",
            lambda before, after: after.mse_from_y > after.mse_sampling > after.mse_pmrf,
        ),
        Step(
            "What if more is known than mean and covariance?",
            RING | {"pairs": 300, "euler_steps": 25},
            "On three modes the flow reduces W₂ from {w2_mean:.3g} to {w2_pmrf:.3g}; two samples of X have {w2_floor:.3g}.",
            lambda before, after: after.w2_pmrf < 0.6 * after.w2_mean,
            look="paths",
        ),
    ),
    groups=(
        Group(
            "How many steps?",
            "From the posterior mean to K steps, the error rises from {mmse:.3g} to {mse_pmrf:.3g} and W₂ changes from "
            "{w2_mean:.3g} to {w2_pmrf:.3g}.",
            ("error",),
        ),
        Group("Comparison of estimators", ERROR.finding, ("tasks",)),
        Group(
            "How much noise at the start?",
            "The error of PMRF is {mse_pmrf:.3g} with this noise; the minimum of an estimator with the distribution of X is "
            "{d_max:.3g}.",
            ("sigma",),
        ),
        Group("Trajectories", "The flows start at the posterior mean, at Y, and at noise.", ("paths",)),
        Group("Trained network", "A network trained as in the paper, next to the exact flow.", ("network", "training")),
    ),
    says=(
        "The posterior mean has error {mmse:.3g} and is W₂ = {w2_mean:.3g} from the data; sampling has error "
        "{mse_sampling:.3g}.",
        "PMRF has error {mse_pmrf:.3g} at W₂ = {w2_pmrf:.3g}; the minimum for an estimator with the distribution of the data "
        "is {d_max:.3g}.",
    ),
    compares=(ERROR, W2),
    question="How small can the error of a realistic reconstruction be?",
)
