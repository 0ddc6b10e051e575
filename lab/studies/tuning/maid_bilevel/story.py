"""What the page of bilevel learning tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import COST, FINDS, cheaper
from .presets import CERTIFIED, CLASSIFY, FIXED, PAPER

STORY = Story(
    "Hyperparameters are learned from inexact gradients. MAID chooses the accuracy itself and tests each step against a "
    "bound on the error.",
    hero=("fan", "images"),
    moves=("eps0", "noise", "start"),
    steps=(
        Step("And if the accuracy may not change?", FIXED,
             "At {loss:.3g} no step can be certified, and it ends; MAID comes to {before.loss:.3g}.",
             lambda before, after: after.loss > before.loss * 1.001 and int(after.ending) == 4, look="accuracies"),
        Step("And from an accuracy of 10?", {"eps0": 10.0},
             "The same: {loss:.4f}, and {before.loss:.4f} from 0.1.",
             lambda before, after: abs(after.loss - before.loss) < 1e-3 * before.loss),
        Step("Are the steps certain?", CERTIFIED,
             "With bounds for all constants they are. The loss is {loss:.4f} instead of {before.loss:.4f}, and the cost to 1% "
             "of the initial loss gap is {maid_cost:.0f} instead of {before.maid_cost:.0f}.",
             lambda before, after: float(after.certified) == 1 and abs(after.loss - before.loss) < 0.02 * before.loss
             and after.maid_cost > before.maid_cost),
        Step("And on the quadratic of the paper?", PAPER,
             "Five runs of MAID differ by {agreement:.1g} of the fall, those of accuracies that stay by {fixed_spread:.1g}.",
             lambda before, after: after.agreement < 1e-4 and after.fixed_spread > 0.5),
        Step("And a decay for each pixel?", CLASSIFY,
             "{accuracy:.1f}% of unseen digits are right; pixels without ink are held at zero.",
             lambda before, after: after.accuracy > 94, look="decay"),
    ),
    groups=(
        Group("How does it choose?", "It tightens ε and δ only where a test fails. Errors of slopes are {looseness:.1g} of "
              "their bound: it is loose, and paid for.", ("accuracies", "errors", "costs")),
        Group("Is MAID cheaper?", cheaper,
              ("rivals", "starts", "steps")),
        Group("Where does it go?", "From {loss_start:.4g} to {loss:.4g}.", ("plane", "residuals")),
        Group("What is learned beside?", "Filters turn from where they began; decays hold pixels without ink at zero.",
              ("filters", "decay")),
        Group("And with more noise?", "Of {psnr_noisy:.1f} dB it makes {psnr:.1f}.", ("noises",)),
    ),
    says=(
        "From {loss_start:.4g} to {loss:.4g}, for {cost:.0f} gradients and products.",
        "Noisy {psnr_noisy:.2f} dB, denoised {psnr:.2f} dB, held out {psnr_test:.2f} dB.",
    ),
    finds=FINDS,
    compares=(COST,),
    question="How exact must a gradient be to go down?",
)
