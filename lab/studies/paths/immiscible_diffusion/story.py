"""What the page of immiscible diffusion tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, MISPLACED, MIXING

STORY = Story(
    "Each image is paired with noise close to it, by batch assignment or by taking the closest of k noises. Noisy images "
    "then mix less.",
    hero=("territories", "trajectories"),
    moves=("k", "batch", "alpha_bar"),
    steps=(
        Step("What if there is only one noise to choose from?", {"k": 1},
             "This is standard diffusion: H is {H_nearest:.3f}, as for independent noise ({H_independent:.3f}); with k = 4 "
             "it is "
             "{before.H_nearest:.3f}.",
             lambda before, after: abs(after.H_nearest - after.H_independent) < 1e-9 and before.H_nearest < after.H_nearest),
        Step("What does k = 64 cost?", {"k": 64},
             "Images hardly mix (H = {H_nearest:.3f}), but the images' shares of samples from N(0, I) are off by more "
             "than the "
             "sampling error of {share_floor:.1%}.",
             lambda before, after: after.H_nearest < 0.01 and after.share_error.sel(rule="nearest") > 1.5 * after.share_floor,
             look="sampling"),
        Step("Are small batches as good?", {"batch": 2},
             "No: assignment in batches of 2 has H = {H_assignment:.3f}, in batches of 32 {before.H_assignment:.3f}; "
             "independent "
             "noise has {H_independent:.3f}.",
             lambda before, after: after.H_assignment > before.H_assignment, look="assigned"),
        Step("Does scaling the images have the same effect?", {"scaling": 2.0},
             "Doubling the scale lowers H, too: with independent noise to {H_independent:.3f} from "
             "{before.H_independent:.3f}.",
             lambda before, after: after.H_independent < before.H_independent and after.H_nearest < before.H_nearest,
             look="miscibility"),
        Step("Does it work in 64 dimensions?", {"data": "digit-samples", "n": 40},
             "The closest of four noises is only {saved_nearest:.1f}% closer to forty digits, in the plane "
             "{before.saved_nearest:.1f}%; still, H falls from {H_independent:.3f} to {H_nearest:.3f}.",
             lambda before, after: after.saved_nearest < before.saved_nearest and after.H_nearest < after.H_independent,
             look="denoised"),
    ),
    groups=(
        Group("How much images mix", MIXING.finding, ("miscibility", "curves", "loss", "posterior", "scales")),
        Group("Assignment or closest of k", "Batch assignment shortens distances by {saved_assignment:.0f}%, the closest of "
                                            "k by "
              "{saved_nearest:.0f}%.",
              ("assigned", "batches", "times")),
        Group("What it costs", "The mean squared norm of the chosen noise differs by "
                               "{drift_nearest:.1f}% from that of N(0, I), the initial distribution of the "
                               "samplers.", ("bargain", "sampling", "radius")),
        Group("Many dimensions, images, networks", "The closest of k noises is {saved_nearest:.1f}% closer in these "
                                                   "dimensions.", ("sizes", "denoised", "features", "training", "learnt")),
    ),
    says=(
        "H is the normalized posterior entropy of the image given a noisy image at level ᾱ.",
    ),
    finds=FINDS,
    compares=(MIXING, MISPLACED),
    question="Which noise should an image be paired with?",
)
