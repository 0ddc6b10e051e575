"""The pictures of the Monge gap over several trainings."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import as_text

from .presets import LEARNED

DRAWN = 120  # lines of a picture
DIMENSIONS = {"data": ("planted-map",), "dimensions": (2, 4, 8, 16, 32), "bend": (5,), "form": ("gaussian",)}


def beside(name: str, title: str) -> Any:
    """Maps under each value of a parameter, side by side."""
    def panels(result: xr.Dataset) -> Any:
        runs = [result.squeeze().sel({name: value}) for value in result[name].values]
        titles = [f"{title}{as_text(run[name].item())}: {int(run.crossing)} cross" for run in runs]
        ways = [np.stack([run.source.values, run.mapped.values]) for run in runs]
        return draw.trajectories(dict(zip(titles, ways, strict=True)), most=DRAWN)
    return panels


def weights(result: xr.Dataset) -> Any:
    """Divergence and gap over the weight of the gap, and the unexplained share where it is known."""
    result = result.squeeze()
    lines = {"divergence": result.fit, "gap": result.gap} | ({"unexplained, %": result.uvp} if "uvp" in result else {})
    return draw.over(result.strength, lines, logx=True, logy=True, ylabel="on held-out points", height=340)


def dimensions(result: xr.Dataset) -> Any:
    """The unexplained share of each rival, in %, over the number of dimensions; that of a constant map is 100."""
    lines = {str(name): result.uvp_of.squeeze().sel(rival=name) for name in result.rival.values if name != "constant"}
    return draw.over(result.dimensions, lines, levels={"constant": 100.0}, logy=True, ylim=(None, 400), height=340)


def symmetry(result: xr.Dataset) -> Any:
    """A map of the unexplained share over the weights of the gap and of symmetry."""
    result = result.squeeze()
    return draw.heatmap(
        result.uvp.transpose("strength", "conservative").values, [f"{value:g}" for value in result.strength.values],
        [f"{value:g}" for value in result.conservative.values], xlabel="weight of symmetry κ", ylabel="weight of the gap λ",
        clabel=draw.label(result.uvp),
    )


def training_unless(study: Any, more: dict[str, Any]) -> dict[str, Any]:
    """What a card of trainings runs: the training at hand, or that of the preset."""
    values = study.values()
    ours = {} if values["train_steps"] else {name: (value,) for name, value in LEARNED.items() if name not in more}
    form, costs = (more.get("form") or (values["form"],))[0], more.get("cost") or (values["cost"],)
    if "cost" in more and form in ("sphere", "convex", "structured"):  # which are of one cost, or two
        ours["form"] = ("plain",)
    off_sphere = costs == ("geodesic",) and (form != "sphere" or "data" in more | ours)
    if off_sphere or (form, *costs) == ("structured", "distance"):
        ours["cost"] = ("squared",)
    return ours | more
