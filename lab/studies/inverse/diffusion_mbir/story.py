"""What the page of DiffusionMBIR tells first."""

from lab.studies.contract import Group, Step, Story

from .findings import FINDS, PSNR

STORY = Story(
    "A diffusion prior on single slices makes the volume flicker; a small penalty across slices reduces the flicker.",
    hero=("planes",),
    moves=("views", "lam", "rho", "slice"),
    steps=(
        Step("How few views are enough?", {"views": 4},
             "From 4 views {psnr:.1f} dB are left, of {before.psnr:.1f} dB from 8; slice by slice it is {psnr_alone:.1f} dB.",
             lambda before, after: before.psnr - 2 > after.psnr > after.psnr_alone + 2),
        Step("What if the variables of ADMM start anew at each level?", {"share": False},
             "Then one step at each level hardly feels the penalty: {psnr:.1f} dB, shared it was {before.psnr:.1f}.",
             lambda before, after: before.psnr > after.psnr + 2, look="profile"),
        Step("And if neighbours are tied more tightly?", {"rho": 1.0, "sigma_max": 20.0},
             "A step then restores the noisier differences of the one before: slices become {roughness:.0f} times as rough as "
             "unrelated ones, and of the volume {psnr:.0f} dB are left.",
             lambda before, after: after.roughness > 2 and after.psnr < 5 and before.roughness < 1, look="roughness"),
        Step("Must the prior know the kind of volume?", {"learnt": "digits"},
             "One that has only seen digits reaches {psnr:.1f} dB; slice by slice it is lost, at {psnr_alone:.1f} dB.",
             lambda before, after: before.psnr - 4 > after.psnr > after.psnr_alone + 3),
    ),
    groups=(
        Group("Flicker", "Neighbours differ by {tv_z:.4f}, slice by slice by {tv_alone:.4f}, in truth by {tv_truth:.4f}.",
              ("film", "profile", "table", "similarity")),
        Group("What is measured", "DiffusionMBIR leaves {residual:.2%} of it unexplained.", ("sinogram", "spectrum", "views")),
        Group("Does it diverge?", "Slices are at most {roughness:.2f} times as rough as unrelated ones with the same noise.",
              ("roughness", "weights")),
        Group("What sharing is worth", "One cheap step of ADMM at each level is enough where its variables go on.",
              ("progress", "residuals")),
    ),
    finds=FINDS,
    compares=(PSNR,),
    seeds=20,
    question="How few views make a volume?",
)
