"""The monograph's numbers beside ours."""

from lab.studies.contract import ONLY_HERE, PREDICTED, Reported

_ORDER = "order of the method"
_OURS = "Gaussian mixture, exact denoiser, 80 to 160 steps"
_FEW = "three Gaussians in the plane, exact denoiser, 250 particles"

REPORTED = (
    *(Reported(f"Order of convergence, {name}", "chapter on solvers", PREDICTED, _ORDER, _OURS, claim=claim)
      for name,
      claim in (("DDIM", "order-ddim"), ("Heun in EDM's variables", "order-edm-heun"), ("DPM-Solver-2", "order-dpm-2"),
                          ("DPM-Solver++ 2M", "order-dpm++2m"))),
    Reported("Mean of a Gaussian under guidance", "classifier-free guidance", PREDICTED, "closed form, w = 2",
             "N(1.5, 1/4) against N(0, 1)", claim="guided-mean"),
    Reported("Standard deviation of a Gaussian under guidance", "classifier-free guidance", PREDICTED, "closed form, w = 2",
             "N(1.5, 1/4) against N(0, 1)", claim="guided-deviation"),
    Reported("Distance of the samples from the data", "FID of EDM", "FID 1.97", "CIFAR-10, 35 evaluations",
             f"W₂²; DPM-Solver++ 2M, 10 evaluations, {_FEW}", ours="w2sq", checked=False,
             note="FID and W₂² have different units; two samples of the data have the distance in the next row."),
    Reported("Distance of two samples of the data", ONLY_HERE, None, "floor of the measure", f"W₂²; {_FEW}",
             ours="w2sq_floor"),
)
