"""The pictures of survival from bags by transport."""

from typing import Any

import numpy as np
import xarray as xr

from lab.datasets import Data
from lab.studies import draw
from lab.studies.contract import Picture, Pictures, Study, sweeping

_POOLINGS = ("ot", "mean", "attention")


def _trained(result: xr.Dataset) -> str:
    return "" if result.sizes.get("epoch") else "nothing was trained: set epochs above 0"


def _tints(result: xr.Dataset) -> list[str]:
    return draw.colours(result.sizes["prototype"])


def size_of(result: xr.Dataset, slide: int) -> int:
    """The patches of a bag."""
    return int((result.main.values[slide] >= 0).sum())


# ---- one run -----------------------------------------------------------------------------------------------------


def _room(values: np.ndarray) -> tuple[None, float | None]:
    """An axis with room for a note above the values."""
    values = values[np.isfinite(values)]
    return None, float(values.max() + 0.15 * np.ptp(values)) if values.size else None


def _stairs(time: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A curve that jumps at each time to the value there."""
    return np.repeat(time, 2)[1:], np.repeat(values, 2)[:-1]


def _km(result: xr.Dataset) -> Any:
    time, layers = result.km_time.values, []
    shown = (("high", "high risk", draw.WARN, False), ("low", "low risk", draw.SOURCE, True))
    for group, _, tint, _ in shown:
        low, high = (result[name].sel(group=group).values for name in ("km_low", "km_high"))
        left = np.isfinite(low)  # someone is left
        at, low = _stairs(time[left], low[left])
        layers.append(draw.band(at, low, _stairs(time[left], high[left])[1], color=tint))
    for group, title, tint, dash in shown:
        layers.append(draw.curve(*_stairs(time, result.km.sel(group=group).values), title, color=tint, dash=dash))
    p = float(result.p)
    said = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return draw.plot(
        *layers, xlabel="time", ylabel="share without event", ylim=(0, 1.1), xlim=(0, None),
        yticks=(0, 0.25, 0.5, 0.75, 1), note=f"log-rank χ² = {float(result.chi2):.1f}, {said}; bands: 95%",
    )


def _mosaic(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns, and which patches (bag, place) stand there: of the whole picture, or of the shown bag."""
    slide = int(sweeping.parameters(result)["slide"])
    if "image" in result:
        which = np.argwhere(result.main.values >= 0)
        rows, columns = result.position.values[which[:, 0], which[:, 1]].T
        return rows, columns, which
    n = size_of(result, slide)
    if "position" in result:
        rows, columns = result.position.values[slide, :n].T
        rows, columns = rows - rows.min(), columns - columns.min()
        order = np.arange(n)
    else:  # no place is known: rows of a square, like beside like
        order = (
            np.argsort(result.patch_kind.values[slide, :n], kind="stable") if "patch_kind" in result else np.arange(n)
        )
        rows, columns = np.divmod(np.arange(n), int(np.ceil(np.sqrt(n))))
    return rows, columns, np.stack([np.full(n, slide), order], axis=1)


def _rgb(tint: str) -> np.ndarray:
    return np.array([int(tint[i : i + 2], 16) for i in (1, 3, 5)])


def _painted(rows: np.ndarray, columns: np.ndarray, tints: np.ndarray) -> np.ndarray:
    """A picture of patches, large enough that its squares stay sharp."""
    canvas = np.full((int(rows.max()) + 1, int(columns.max()) + 1, 3), _rgb(draw.current().card), float)
    canvas[rows, columns] = tints
    zoom = max(1, 256 // max(canvas.shape[:2]))
    return np.kron(canvas, np.ones((zoom, zoom, 1))).astype(np.uint8)


def _slide(result: xr.Dataset) -> Any:
    rows, columns, which = _mosaic(result)
    main = result.main.values[which[:, 0], which[:, 1]]
    weight = np.clip(result.row_mass.values[which[:, 0], which[:, 1]], 0, 1)[:, None]
    card = _rgb(draw.current().card)
    tints = np.array([_rgb(tint) for tint in _tints(result)])[main]
    given = sweeping.parameters(result)
    share = f"{given['share']:.0%} pooled, by prototype" if given["pooling"] == "ot" else "main prototype"
    shown = {share: _painted(rows, columns, weight * tints + (1 - weight) * card)}
    if "image" in result:
        shown = {"tissue": result.image.values} | shown
    elif "patch_kind" in result:
        kind = result.patch_kind.values[which[:, 0], which[:, 1]]
        of = np.array([_rgb(tint) for tint in _kind_tints(result.sizes["kind"])])
        shown = {f"kinds in bag {given['slide']}": _painted(rows, columns, of[kind])} | shown
    return draw.strip(shown, height=320)


def _kind_tints(n: int) -> list[str]:
    """From light to dark in the order of the kinds, which are the rarer the later."""
    return [draw.blend(draw.INK, share) for share in np.linspace(0.1, 0.9, max(n, 2))][:n]


def _plan(result: xr.Dataset) -> Any:
    n, k = size_of(result, int(sweeping.parameters(result)["slide"])), result.sizes["prototype"]
    plan, left = n * result.plan.values[:n], n * result.slack.values[:n]
    order = np.lexsort([-left, plan.argmax(axis=1)])
    gap = np.full((n, 1), np.nan)
    largest = plan.max() or 1.0  # the entropy spreads a patch over many prototypes, each share is small
    whole = np.c_[result.cost.values[:n], gap, plan / largest, gap, left[:, None]][order]
    return draw.heatmap(
        whole, xlabel="cost to prototypes  |  plan  |  left out", ylabel="patch, by main prototype",
        cols=[*(str(j + 1) for j in range(k)), "", *(str(j + 1) for j in range(k)), "", "out"],
        clabel=f"cost; plan over {largest:.2f}; share left out", clim=(0, 1), equal=False, outline=False, height=420,
    )


def _kinds(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["kind"])
    ot = sweeping.parameters(result)["pooling"] == "ot"
    level = draw.hline(float(sweeping.parameters(result)["share"]) if ot else 1.0)
    return draw.plot(
        draw.bars(at, result.kind_mass.values, width=0.7), level,
        ylabel="pooled share of the patches" if ot else "weight over that of the mean", xlabel="kind of patch",
        xticks=[(int(i), str(name).removeprefix("kind ")) for i, name in zip(at, result.kind.values, strict=True)],
        ylim=(0, 1.15 * float(result.kind_mass.max())), xlim=(-0.6, at.size - 0.4), note="dashed: were all kinds alike",
    )


def _truth(result: xr.Dataset) -> Any:
    true, risk, tested = result.true_risk.values, result.risk.values, result.tested.values.astype(bool)
    return draw.plot(
        draw.points(true[~tested], risk[~tested], color=draw.MUTED, size=0.5, alpha=0.5),
        draw.points(true[tested], risk[tested], color=draw.SOURCE),
        xlabel="true log risk", ylabel="log risk of the model", ylim=_room(risk),
        note=f"test C-index {float(result.cindex):.3f}, of the truth {float(result.cindex_oracle):.3f}",
    )


def _training(result: xr.Dataset) -> Any:
    epoch, loss = 1 + result.epoch.values, result.loss.values
    checked = result.loss_check.values if "loss_check" in result else np.full(loss.size, np.nan)
    return draw.plot(
        draw.curve(epoch, loss, "batches", markers=True),
        draw.curve(epoch, checked, "checked" if np.isfinite(checked).any() else "", color=draw.TARGET),
        xlabel="epoch", ylabel="loss", ylim=_room(np.append(loss, checked)),
        note=f"test C-index {float(result.cindex):.3f}",
    )


def _schedule(result: xr.Dataset) -> Any:
    epoch = result.epoch.values
    return draw.plot(
        draw.curve(epoch, result.pooled_share.values, markers=True), draw.hline(sweeping.parameters(result)["rho"], "ρ"),
        xlabel="epochs done", ylabel="pooled share", ylim=(0, 1.12), yticks=(0, 0.25, 0.5, 0.75, 1),
    )


# ---- sweeps --------------------------------------------------------------------------------------------------------


def by_use(result: xr.Dataset) -> dict[float, np.ndarray]:
    """Shares of the prototypes of a bag, the most used first, mean over bags, by λ."""
    values = result.lam.values
    return {float(lam): -np.sort(-result.mass.sel(lam=lam).values, axis=1).mean(axis=0) for lam in values}


def _tail(result: xr.Dataset) -> Any:
    at = np.arange(1, result.sizes["prototype"] + 1)
    layers = []
    for tint, (lam, shares) in zip(draw.colours(result.sizes["lam"], ordered=True), by_use(result).items(), strict=True):
        layers.append(draw.curve(at, shares, f"λ = {lam:g}", color=tint, markers=True))
    return draw.plot(
        *layers, draw.hline(1 / at.size), xlabel="prototype of a bag, the most used first",
        ylabel="share of the pooled mass", ylim=(0, None), xticks=[int(i) for i in at[:: 1 + at.size // 16]],
    )


def pooled_folds(result: xr.Dataset) -> list[tuple[str, str, np.ndarray]]:
    """Each pooling, and the truth, with its colour and its C-index by fold."""
    shown = [name for name in _POOLINGS if name in result.pooling.values]
    groups = [(name, tint, result.cindex.sel(pooling=name).values) for name, tint in
              zip(shown, draw.colours(len(shown)), strict=True)]
    if "cindex_oracle" in result:
        groups.append(("truth", draw.MUTED, result.cindex_oracle.isel(pooling=0).values))
    return groups


def _folds(result: xr.Dataset) -> Any:
    groups = pooled_folds(result)
    layers: list[Any] = []
    for at, (_, tint, values) in enumerate(groups):
        low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75))
        layers += [
            draw.bars([at], [high], base=[low], width=0.5, color=draw.blend(tint, 0.45)),
            draw.segments([at - 0.25], [middle], [at + 0.25], [middle], color=tint, width=1.6),
            draw.points(np.full(values.size, at), values, color=tint),
        ]
    least = min(float(np.nanmin(values)) for *_, values in groups)
    return draw.plot(
        *layers, draw.hline(0.5, "chance") if least < 0.55 else draw.text([np.nan], [np.nan], ""),
        ylabel="C-index of the test fold", xlabel=f"pooling; {result.sizes['fold']} folds, quartiles and median",
        xticks=[(at, name) for at, (name, *_) in enumerate(groups)], xlim=(-0.6, len(groups) - 0.4),
        ylim=(np.floor(20 * least - 0.2) / 20, None),
    )


def _shares(result: xr.Dataset) -> Any:
    truth = float(result.cindex_oracle.values.ravel()[0]) if "cindex_oracle" in result else np.nan
    return draw.over(
        result.rho, {"test": result.cindex}, guides={"training": result.cindex_train}, levels={"truth, test": truth},
        ylabel="C-index", xticks=None,
    )


def _all_folds(study: Study, data: Data) -> range:
    return range(int(data.arrays["fold"].max()) + 1)


_OT: dict[str, Any] = {"when": {"pooling": ("ot",)}, "why": "mean and attention have no plan"}

PICTURES = Pictures(
    Picture("km", "High and low risk", "Share of the test bags without event, above (solid) and below (dashed) the median "
            "risk, with log-log 95% bands.", _km),
    Picture("slide", "One patient's bag of patches", "First what each patch is, the rarer kinds stronger; then a colour for "
            "the prototype that it goes to, the fainter the less of it is pooled.", _slide, share=1.3),
    Picture("truth", "Risk against the truth", "Each bag, in grey those of the training; the order is right where "
            "the points rise.", _truth, needs=("true_risk",)),
    Picture("plan", "Cost and plan", "Of the shown bag: the cost to each prototype, and which share of each patch goes to it "
            "or is left out.", _plan, needs=("plan",)),
    Picture("kinds", "What is left out", "Which share of the patches of each kind is pooled at the shown share.", _kinds,
            needs=("kind_mass",)),
    Picture("training", "Training", "The mean loss of the batches of each epoch, and the loss of the fold that is checked, if "
            "any.", _training, where=_trained),
    Picture("schedule", "Growth of the pooled share", "ρ at the beginning of each epoch: first only the patches that fit.",
            _schedule, needs=("plan",), where=_trained),
    Picture("tail", "Long tail of prototypes", "Sorted masses of the prototypes, mean over bags: a low price λ concentrates "
            "the mass on a few prototypes; dashed: equal masses.", _tail, along={"lam": (0.01, 0.1, 1.0, 10.0)},
            needs=("mass",), **_OT),
    Picture("folds", "C-index by fold", "Each point is a fold that the model was not trained on; box: quartiles. Differences "
            "smaller than the spread mean nothing.", _folds, along={"pooling": _POOLINGS, "fold": _all_folds},
            needs=("cindex",), also=("cindex_oracle",)),
    Picture("shares", "C-index by pooled share", "Trained up to each share ρ and tested with it.", _shares,
            along={"rho": (0.1, 0.25, 0.5, 0.75, 1.0)}, needs=("cindex", "cindex_train"), also=("cindex_oracle",), **_OT),
)
