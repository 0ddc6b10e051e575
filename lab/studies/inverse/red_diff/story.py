"""What the page of RED-diff tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, PSNR

STORY = Story(
    "RED-diff pulls one image toward denoised images, from high noise to low. It approximates the posterior mean, not the "
    "posterior spread.",
    hero=("film",),
    moves=("frame", "rate", "order"),
    steps=(
        Step("What if the noise rises instead of falling?", {"order": "ascending"},
             "The same steps end at {quality:.1f} dB, in falling order at {before.quality:.1f} dB: the order matters.",
             lambda before, after: after.quality < before.quality - 2, look="answers"),
        Step("Is the paper's weight the best?", {"weight": "const"},
             "Not here: a constant weight has {quality:.1f} dB, the linear one {before.quality:.1f} dB.",
             lambda before, after: after.quality > before.quality, look="strengths"),
        Step("And a prior ten times stronger?", {"lam": 0.5},
             "From {before.quality:.1f} to {quality:.1f} dB: Adam does not see how large a slope is.",
             lambda before, after: abs(after.quality - before.quality) < 0.5, look="trace"),
        Step("Where a hole leaves much open, do the answers differ?", {"damage": "box"},
             "No more than before: {spread_share:.0%} of the posterior's spread. An answer is not a sample.",
             lambda before, after: after.spread_share < 0.4, look="spread"),
    ),
    groups=(
        Group("PSNR", PSNR.finding,
              ("order", "answers", "bed", "heat", "seeds", "steps", "noise", "priors")),
        Group("How sure?", "The answers spread {spread_share:.0%} as widely as the posterior.",
              ("spread", "modes", "perception")),
        Group("On the way", "Low frequencies settle first; where the denoiser pulls is the choice of a weight.",
              ("strip", "rings", "trace", "strengths")),
    ),
    says=(
        "They lie {apart:.3f} a pixel from the posterior mean, and spread {spread_share:.0%} as widely as the posterior.",
        "What was measured they give up to {misfit:.2g} of the noise's variance: 1 would not follow the noise.",
    ),
    finds=FINDS,
    compares=(PSNR,),
    seeds=20,
    question="In which order should a denoiser be asked?",
)
