"""What the page of posterior-mean rectified flow tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import ERROR, FINDS, W2
from .presets import RING

STORY = Story(
    "PMRF transports the posterior mean to the distribution of clean data by a rectified flow. Matching that distribution "
    "increases the error.",
    hero=("plane", "images"),
    moves=("euler_steps", "sigma_s", "noise"),
    steps=(
        Step("What does a single step give?", {"euler_steps": 1},
             "The posterior mean back: error {mse_pmrf:.3g}, where {mmse:.3g} is the least, and W₂ = {w2_pmrf:.3g}.",
             lambda before, after: after.mse_pmrf < 1.1 * after.mmse and after.w2_pmrf > 0.9 * after.w2_mean),
        Step("And if the noise of the start is large?", {"sigma_s": 0.7},
             "It costs: error {mse_pmrf:.3g} instead of {before.mse_pmrf:.3g}, more than samples of the posterior, "
             "{mse_sampling:.3g}.",
             lambda before, after: after.mse_pmrf > after.mse_sampling, look="plane"),
        Step("What if the middle of the image is missing?", {"task": "inpainting", "noise": 0.05},
             "The posterior mean leaves W₂ = {w2_mean:.3g}; PMRF comes to {w2_pmrf:.3g} at {mse_pmrf:.3g}, below the "
             "{mse_sampling:.3g} of sampling.",
             lambda before, after: after.w2_pmrf < after.w2_mean and after.mse_pmrf < after.mse_sampling, look="images"),
        Step("Why not go from the measurement itself?",
             {"data": "random-gaussian", "dimension": 3, "task": "mixing", "sigma_s": 0.0, "euler_steps": 100},
             "Where Y is not alike X it errs by {mse_from_y:.3g}; sampling by {mse_sampling:.3g}, PMRF by {mse_pmrf:.3g}.",
             lambda before, after: after.mse_from_y > after.mse_sampling > after.mse_pmrf),
        Step("And where more is known than mean and covariance?", RING | {"pairs": 300, "euler_steps": 25},
             "Three modes: from W₂ = {w2_mean:.3g} of the posterior mean the flow comes to {w2_pmrf:.3g}; two samples of x "
             "have {w2_floor:.3g}.",
             lambda before, after: after.w2_pmrf < 0.6 * after.w2_mean, look="paths"),
    ),
    groups=(
        Group("How many steps?", "From error {mmse:.3g} and W₂ = {w2_mean:.3g} these steps of PMRF come to {mse_pmrf:.3g} and "
              "{w2_pmrf:.3g}.", ("error", "covariance")),
        Group("Comparison of estimators", ERROR.finding, ("estimators", "tasks", "levels")),
        Group("How much noise at the start?", "The error of PMRF is {mse_pmrf:.3g} with this noise; the minimum of an "
              "estimator with the distribution of X is {d_max:.3g}.", ("sigma",)),
        Group("Trajectories", "The flows begin at the posterior mean, at Y, and at noise.", ("paths", "velocity", "density")),
        Group("By a network", "What the paper trains: here beside what is exact.", ("network", "training")),
    ),
    says=(
        "The posterior mean errs by {mmse:.3g} and is W₂ = {w2_mean:.3g} from the data; sampling errs by {mse_sampling:.3g}.",
        "PMRF errs by {mse_pmrf:.3g} at W₂ = {w2_pmrf:.3g}; no estimator with the law of the data errs less than {d_max:.3g}.",
    ),
    finds=FINDS,
    compares=(ERROR, W2),
    question="How close can an answer be that still looks real?",
)
