"""The paper's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, Reported

_WHERE = "agreement with a trained U-Net (first version)"
_OURS = "MNIST reduced to 14 × 14, 500 training images, one test image, σ = 0.5"
_PLANTED = "figure on planted patterns"

REPORTED = (
    Reported("r² of the paper's denoiser with a U-Net, MNIST", _WHERE, 0.491, "MNIST, final samples", "not shipped",
             note="The lab computes it with a U-Net trained here (parameter networks, minutes); no precomputed run has it."),
    Reported("r² of the paper's denoiser with a U-Net, CIFAR-10 and CelebA-HQ", _WHERE, "0.589 and 0.902", "final samples",
             "these images do not ship", note="CIFAR-10 and CelebA-HQ are not available offline."),
    Reported("Mean squared error, PCA locality", ONLY_HERE, None, _WHERE, _OURS, ours="error_locality",
             note="The paper's order holds here: its denoiser first, the Wiener filter second, the optimal denoiser last.",
             holds=lambda runs: bool(runs().error_locality < runs().error_wiener < runs().error_optimal)),
    Reported("Mean squared error, Wiener filter", ONLY_HERE, None, _WHERE, _OURS, ours="error_wiener"),
    Reported("Mean squared error, optimal denoiser", ONLY_HERE, None, _WHERE, _OURS, ours="error_optimal"),
    Reported("Correlation of the sensitivity map with a planted pattern, PCA locality", _PLANTED, None,
             "planted pattern, qualitative figure", "a planted letter, MNIST reduced to 14 × 14",
             claim="planted-field-locality"),
    Reported("The same, Wiener filter", _PLANTED, None, "planted pattern, qualitative figure",
             "a planted letter, MNIST reduced to 14 × 14", claim="planted-field-wiener"),
)
