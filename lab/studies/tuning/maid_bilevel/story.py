"""The argument of the page: lede, comparison, steps and groups."""

import xarray as xr

from lab.studies.contract import Comparison, Group, Step, Story

from .claims import CERTIFIED, CLASSIFY, FIXED, PAPER

_NAMES = {"maid_cost": "MAID", "fixed_cost": "the cheapest fixed accuracy"}
_NAMES |= {"hoag_cost": "geometric HOAG", "hoag_other": "cubic HOAG"}
COST = Comparison("cost", "cost to 1% of the initial loss gap", _NAMES, ours="maid_cost", best_at=None)


def cheaper(result: xr.Dataset) -> str:
    return COST.finding(result) or "Fewer than two methods reduce the loss gap to 1% of its initial value"


STORY = Story(
    "Hyperparameters are learned from inexact gradients. MAID chooses the accuracy itself and tests each step against a "
    "bound on the error.",
    hero=("fan", "images"),
    moves=("eps0", "noise", "start"),
    steps=(
        Step(
            "What if the accuracy is fixed?",
            FIXED,
            "At a loss of {loss:.3g} no step can be certified, and the descent ends; MAID reaches {before.loss:.3g}.",
            lambda before, after: after.loss > before.loss * 1.001 and int(after.ending) == 4,
            look="accuracies",
        ),
        Step(
            "What if the initial accuracy is 10?",
            {"eps0": 10.0},
            "The loss is nearly the same: {loss:.4f}, compared with {before.loss:.4f} from 0.1.",
            lambda before, after: abs(after.loss - before.loss) < 1e-3 * before.loss,
        ),
        Step(
            "Are the steps certified?",
            CERTIFIED,
            "With bounds for all constants they are. The loss is {loss:.4f} instead of {before.loss:.4f}, and the cost to 1% "
            "of the initial loss gap is {maid_cost:.0f} instead of {before.maid_cost:.0f}.",
            lambda before, after: (
                float(after.certified) == 1
                and abs(after.loss - before.loss) < 0.02 * before.loss
                and after.maid_cost > before.maid_cost
            ),
        ),
        Step(
            "What happens on the quadratic of the paper?",
            PAPER,
            "Final losses of five runs of MAID differ by {agreement:.1g} of the decrease, with fixed accuracies by "
            "{fixed_spread:.1g}.",
            lambda before, after: after.agreement < 1e-4 and after.fixed_spread > 0.5,
        ),
        Step(
            "Can each pixel have its own decay?",
            CLASSIFY,
            "Yes: the accuracy on held-out digits is {accuracy:.1f}%, and weights of pixels without ink stay near zero.",
            lambda before, after: after.accuracy > 94,
            look="decay",
        ),
    ),
    groups=(
        Group(
            "How does MAID choose accuracies?",
            "It tightens ε and δ only if a test fails. Gradient errors have a median of {looseness:.1g} times "
            "their bound.",
            ("accuracies", "errors"),
        ),
        Group("Is MAID cheaper?", cheaper, ("rivals", "steps")),
        Group("Path of the hyperparameters", "The loss decreases from {loss_start:.4g} to {loss:.4g}.", ("plane",)),
        Group("Learned decays", "Weights of pixels without ink stay near zero.", ("decay",)),
    ),
    says=(
        "The loss decreases from {loss_start:.4g} to {loss:.4g} with {cost:.0f} gradients and products.",
        "PSNR: noisy {psnr_noisy:.2f} dB, denoised {psnr:.2f} dB, held out {psnr_test:.2f} dB.",
    ),
    compares=(COST,),
    question="How accurate must a gradient be for descent?",
)
