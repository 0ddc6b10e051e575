"""What is worth trying, as parameter values."""

from typing import Any

from lab.datasets import Data
from lab.studies.contract import Preset, Study

DIGITS: dict[str, Any] = {"data": "digit-samples", "train_steps": 2000}


def swept(name: str, *values: Any) -> dict[str, Any]:
    """A sweep of trainings: of those at hand, or of digits where nothing is trained."""

    def grid(study: Study, data: Data) -> dict[str, Any]:
        here = bool(study.values()["train_steps"])
        return {name: values} | ({} if here else {key: (value,) for key, value in DIGITS.items()})

    return {"along": grid, "where": lambda result: "" if name in result.dims else f"it shows a sweep over {name}"}


PRESETS = (
    Preset(
        "ripples", "One landscape, three equations",
        "Ripples that swing, melt or sharpen: points ride to and fro, come to rest, or go straight until lines meet.", {},
    ),
    Preset(
        "quadratic", "One map, three energies",
        "Quadratic potentials take the source to the same Gaussian by the same map; only Hamilton-Jacobi pays no more than "
        "W₂².",
        {"potential": "quadratic"},
    ),
    Preset(
        "crossed", "Covariances that do not commute",
        "From one Gaussian to another with other axes: the closed forms of the sheet, and relaxation by Fokker-Planck.",
        {"potential": "quadratic", "data": "crossed-gaussians"},
    ),
    Preset(
        "shock", "After the lines have met", "High ripples, a long time: what goes straight is no longer optimal.",
        {"amplitude": 2.0, "time": 3.0},
    ),
    Preset(
        "digits", "Four waves on digits (Sec. 4)",
        "Potentials of the wave equation on a small autoencoder of digits: images, classifier, VP score.", DIGITS,
    ),
    Preset("digits-heat", "Heat on digits", "The same under the heat equation.", DIGITS | {"pde": "heat"}),
    Preset(
        "digits-hj", "Free transport on digits", "The same under Hamilton and Jacobi's equation.",
        DIGITS | {"pde": "hamilton-jacobi"},
    ),
    Preset(
        "digits-none", "No equation, trained for long",
        "Without an equation the change of the output takes over: cliffs, long ways, potentials that are no longer told apart.",
        DIGITS | {"pde": "none", "train_steps": 6000},
    ),
    Preset(
        "plane", "Trained potentials of the plane",
        "A linear generator with two latent dimensions: the whole landscape of each potential is seen.",
        DIGITS | {"generator": "linear", "latent": 2, "train_steps": 1000},
    ),
)
