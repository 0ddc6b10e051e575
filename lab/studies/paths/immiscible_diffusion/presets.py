"""What is worth trying, as parameter values."""

from lab.studies.contract import Preset

PRESETS = (
    Preset(
        "territories", "Three images, and whose noise it is",
        "Move k from 1 to 32 and see the plane of noise divided among three images.", {},
    ),
    Preset(
        "vanilla", "The usual diffusion", "One noise to choose from: at pure noise nothing is known of the image.", {"k": 1},
    ),
    Preset(
        "too-many", "Too many noises to choose from",
        "k = 64: no mixing at all, but the noise has become the images, and samples from N(0, I) come in wrong shares.",
        {"k": 64},
    ),
    Preset(
        "large-batch", "Assignment in large batches",
        "Batches of 256: the borders are sharp, the law of the noise is kept. It is optimal transport in the limit.",
        {"batch": 256, "draws": 200},
    ),
    Preset(
        "scaled", "Images twice as large", "The noise stays: the same as a schedule with more data in it.", {"scaling": 2.0},
    ),
    Preset(
        "one-step", "Sampling in two steps",
        "Straighter paths need fewer of them: see where the particles of each rule end.", {"euler_steps": 2, "k": 8},
    ),
    Preset(
        "few-digits", "Forty digits",
        "Real images, few enough that the denoiser under assignment is exact too.",
        {"data": "digit-samples", "n": 40, "k": 8, "draws": 200, "euler_steps": 4},
    ),
    Preset(
        "digits", "All 1797 digits",
        "As in the paper, pure noise is told apart a little, and no more: few dimensions, but many images.",
        {"data": "digit-samples", "k": 8, "batch": 128, "draws": 60, "euler_steps": 4},
    ),
    Preset(
        "pure-noise", "What pure noise tells",
        "Eight digits by their chosen noise alone, k = 64: the paper's analysis of features. Sweep k.",
        {"data": "digit-samples", "k": 64, "n": 200, "alpha_bar": 0.0, "draws": 60, "euler_steps": 4},
    ),
    Preset(
        "mnist", "MNIST by its pooling", "500 digits of 14 x 14 pixels; choose 7 or 28 a side.",
        {"data": "mnist-samples", "side": "14", "n": 500, "k": 8, "draws": 60, "euler_steps": 4},
    ),
    Preset(
        "large-images", "In 3072 dimensions",
        "Gaussian images as large as those of CIFAR-10: k = 8 brings the noise nearer by 1.8% only, and that is enough.",
        {"data": "gaussian-points", "dimension": 3072, "n": 60, "scaling": 0.5, "k": 8, "draws": 60, "euler_steps": 4},
    ),
    Preset(
        "network", "With trained networks",
        "A thousand steps under each rule on three images: loss, and distance of the samples from the data.",
        {"training_steps": 1000, "batch": 128, "draws": 200},
    ),
)
