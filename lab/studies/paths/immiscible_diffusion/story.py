"""What the page of immiscible diffusion tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, MISPLACED, MIXING

STORY = Story(
    "Give each image a noise that is near to it, and images mix less on the way: the plane of noise falls into territories.",
    hero=("territories", "trajectories"),
    moves=("k", "batch", "alpha_bar"),
    steps=(
        Step("What if there is no choice?", {"k": 1},
             "Then it is the usual diffusion: H is {H_nearest:.3f}, as for independent noise ({H_independent:.3f}); with a "
             "choice of four it is {before.H_nearest:.3f}.",
             lambda before, after: abs(after.H_nearest - after.H_independent) < 1e-9 and before.H_nearest < after.H_nearest),
        Step("And a choice of 64?", {"k": 64},
             "Images mix no more, H = {H_nearest:.3f}, but of samples from N(0, I) more come to the wrong image than the "
             "{share_floor:.1%} of chance.",
             lambda before, after: after.H_nearest < 0.01 and after.share_error.sel(rule="nearest") > 1.5 * after.share_floor,
             look="sampling"),
        Step("Do small batches do as well?", {"batch": 2},
             "No: assigned in pairs they leave H at {H_assignment:.3f}, where batches of 32 have sharper borders and "
             "{before.H_assignment:.3f}; independent noise has {H_independent:.3f}.",
             lambda before, after: after.H_assignment > before.H_assignment, look="assigned"),
        Step("Is it as good to scale the images?", {"scaling": 2.0},
             "Twice as large they mix less under every rule: independent noise has H = {H_independent:.3f} in place of "
             "{before.H_independent:.3f}.",
             lambda before, after: after.H_independent < before.H_independent and after.H_nearest < before.H_nearest,
             look="miscibility"),
        Step("And in 64 dimensions?", {"data": "digit-samples", "n": 40},
             "Four noises to choose from are only {saved_nearest:.1f}% nearer to forty digits than one, in the plane "
             "{before.saved_nearest:.1f}%; that is enough to lower H from {H_independent:.3f} to {H_nearest:.3f}.",
             lambda before, after: after.saved_nearest < before.saved_nearest and after.H_nearest < after.H_independent,
             look="denoised"),
    ),
    groups=(
        Group("How much images mix", "H is {H_independent:.3f} of independent noise, {H_assignment:.3f} under assignment and "
              "{H_nearest:.3f} for the nearest of k.", ("miscibility", "curves", "loss", "posterior", "scales")),
        Group("Assign, or choose the nearest", "Assignment brings noise {saved_assignment:.0f}% nearer, the nearest of k "
              "{saved_nearest:.0f}%, in a time that grows with the batch and not with its cube.",
              ("assigned", "batches", "times")),
        Group("What it costs", "The squared length of the nearest noise is off by {drift_nearest:.1f}%, and samplers start "
              "from N(0, I).", ("bargain", "sampling", "radius")),
        Group("Many dimensions, images, networks", "The more dimensions, the less nearer the nearest noise is; it is "
              "enough all the same.", ("sizes", "denoised", "features", "training", "learnt")),
    ),
    says=(
        "At ᾱ the image of a noisy one is unknown by {H_independent:.0%} with independent noise, and by {H_nearest:.0%} with "
        "the nearest of k.",
    ),
    finds=FINDS,
    compares=(MIXING, MISPLACED),
    repeats=("default", "best"),
    question="Whose noise is it?",
)
