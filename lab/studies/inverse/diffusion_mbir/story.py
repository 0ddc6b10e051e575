"""The argument of the page: lede, steps and groups."""

from lab.studies.contract import Group, Step, Story

from .pictures import PSNR

STORY = Story(
    "A diffusion prior on single slices makes the volume flicker; a small penalty across slices reduces the flicker.",
    hero=("planes",),
    moves=("views", "lam", "rho", "slice"),
    steps=(
        Step(
            "How few views are enough?",
            {"views": 4},
            "Halving the views to 4 lowers PSNR from {before.psnr:.1f} to {psnr:.1f} dB; the diffusion without a penalty "
            "has {psnr_alone:.1f} dB.",
            lambda before, after: before.psnr - 2 > after.psnr > after.psnr_alone + 2,
        ),
        Step(
            "What if the variables of ADMM restart at each level?",
            {"share": False},
            "One step per level then barely applies the penalty: PSNR is {psnr:.1f} dB, and {before.psnr:.1f} dB with "
            "shared variables.",
            lambda before, after: before.psnr > after.psnr + 2,
            look="film",
        ),
        Step(
            "Does a larger ADMM weight tie neighbors more tightly?",
            {"rho": 1.0, "sigma_max": 20.0},
            "No: each step restores the noisier differences of the previous one. Slices become {roughness:.0f} times as "
            "rough as unrelated slices, and PSNR falls to {psnr:.0f} dB.",
            lambda before, after: after.roughness > 2 and after.psnr < 5 and before.roughness < 1,
            look="roughness",
        ),
        Step(
            "Must the prior know this kind of volume?",
            {"learnt": "digits"},
            "A prior trained on digits attains {psnr:.1f} dB with the penalty, and {psnr_alone:.1f} dB slice by slice.",
            lambda before, after: before.psnr - 4 > after.psnr > after.psnr_alone + 3,
        ),
    ),
    groups=(
        Group(
            "Flicker",
            "Neighboring slices differ by {tv_z:.4f} with the penalty, {tv_alone:.4f} without it, {tv_truth:.4f} in truth.",
            ("film", "table"),
        ),
        Group("Measurements", "DiffusionMBIR leaves a residual of {residual:.2%}.", ("measured", "views")),
        Group(
            "Does it diverge?",
            "Slices are at most {roughness:.2f} times as rough as unrelated slices with the same noise.",
            ("roughness", "weights"),
        ),
        Group("Shared variables", "One ADMM step per level is enough where u and w are carried along.", ("progress",)),
    ),
    compares=(PSNR,),
    seeds=20,
    question="How few views determine a volume?",
)
