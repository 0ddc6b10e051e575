"""The paper's numbers beside ours."""

from lab.studies.contract import Reported

_CIFAR = "CIFAR-10, dopri5"
_OURS = "W₂²; eight Gaussians, 500 targets, exact velocity, 400 particles, ε = 2"
_TOY = "eight Gaussians, trained networks (Tong et al.)"


def _of(name, coupling):
    return lambda runs: float(runs()[name].sel(coupling=coupling))


REPORTED = (
    Reported("Distance from the data, I-CFM", "table of FID", "FID 7.44", _CIFAR, _OURS, ours=_of("fit_w2sq", "I-CFM")),
    Reported("Distance from the data, OT-CFM", "table of FID", "FID 7.60", _CIFAR, _OURS + ", batch 128",
             ours=_of("fit_w2sq", "OT-CFM")),
    Reported("Distance from the data, W-CFM", "table of FID", "FID 7.33", _CIFAR + ", ε = 5", _OURS,
             ours=_of("fit_w2sq", "W-CFM"),
             note="The differences are small in the paper. One run is shown here; other seeds may order the methods "
             "differently."),
    Reported("Distance from the data, W-CFM at small ε", "sweep over ε", "FID 14.01", _CIFAR + ", ε = 1",
             "W₂²; eight Gaussians, ε = 0.4", ours=lambda runs: float(runs(epsilon=0.4).w2sq)),
    Reported("Normalized path energy, I-CFM", "reference values of Tong et al.", "0.222 ± 0.032", _TOY, _OURS[5:],
             ours=_of("npe", "I-CFM")),
    Reported("Normalized path energy, OT-CFM", "reference values of Tong et al.", "0.018 ± 0.014", _TOY,
             _OURS[5:] + ", batch 128",
             ours=_of("npe", "OT-CFM")),
    Reported("Normalized path energy, W-CFM", "2-D examples", None, "value not available to us", _OURS[5:],
             ours=_of("npe", "W-CFM"),
             note="A low path energy alone proves nothing: the weights tilt the marginals."),
)
