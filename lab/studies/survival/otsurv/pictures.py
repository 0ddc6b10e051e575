"""Pictures of survival from bags, each with its caption and finding."""

from typing import Any

import numpy as np
import xarray as xr

from lab.studies import draw
from lab.studies.contract import Picture, Pictures, sweeping
from lab.words import number, percent

_POOLINGS = ("ot", "mean", "attention")


def _size_of(result: xr.Dataset, slide: int) -> int:
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
    for group, tint in (("high", draw.WARN), ("low", draw.SOURCE)):
        curve, low, high = (result[name].sel(group=group).values for name in ("km", "km_low", "km_high"))
        left = np.isfinite(low)  # someone is left
        at, low = _stairs(time[left], low[left])
        layers.insert(0, draw.band(at, low, _stairs(time[left], high[left])[1], color=tint))
        layers.append(draw.curve(*_stairs(time, curve), f"{group} risk", color=tint, dash=group == "low"))
    p = float(result.p)
    said = "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
    return draw.plot(
        *layers,
        xlabel="time",
        ylabel="fraction without event",
        ylim=(0, 1.1),
        xlim=(0, None),
        yticks=(0, 0.25, 0.5, 0.75, 1),
        note=f"log-rank χ² = {float(result.chi2):.1f}, {said}; bands: 95%",
    )


def _mosaic(result: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns, and which patches (bag, place) stand there: of the whole picture, or of the shown bag."""
    slide = int(sweeping.parameters(result)["slide"])
    if "image" in result:
        which = np.argwhere(result.main.values >= 0)
        rows, columns = result.position.values[which[:, 0], which[:, 1]].T
        return rows, columns, which
    n = _size_of(result, slide)
    order = np.arange(n)
    if "position" in result:
        rows, columns = (at - at.min() for at in result.position.values[slide, :n].T)
    else:  # a square, ordered by kind
        rows, columns = np.divmod(order, int(np.ceil(np.sqrt(n))))
        if "patch_kind" in result:
            order = np.argsort(result.patch_kind.values[slide, :n], kind="stable")
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
    tints = np.array([_rgb(tint) for tint in draw.colours(result.sizes["prototype"])])[main]
    given = sweeping.parameters(result)
    share = f"{given['share']:.0%} pooled, by prototype" if given["pooling"] == "ot" else "main prototype"
    shown = {share: _painted(rows, columns, weight * tints + (1 - weight) * card)}
    if "image" in result:
        shown = {"tissue": result.image.values} | shown
    elif "patch_kind" in result:
        shades = np.linspace(0.1, 0.9, max(result.sizes["kind"], 2))
        tints = [draw.blend(draw.INK, share) for share in shades]  # dark: rare
        kind = result.patch_kind.values[which[:, 0], which[:, 1]]
        of = np.array([_rgb(tint) for tint in tints])
        shown = {f"kinds in bag {given['slide']}": _painted(rows, columns, of[kind])} | shown
    return draw.strip(shown, height=320)


def _plan(result: xr.Dataset) -> Any:
    n, k = _size_of(result, int(sweeping.parameters(result)["slide"])), result.sizes["prototype"]
    plan, left = n * result.plan.values[:n], n * result.slack.values[:n]
    order = np.lexsort([-left, plan.argmax(axis=1)])
    gap = np.full((n, 1), np.nan)
    largest = plan.max() or 1.0  # the entropy spreads a patch over many prototypes, each share is small
    whole = np.c_[result.cost.values[:n], gap, plan / largest, gap, left[:, None]][order]
    return draw.heatmap(
        whole,
        xlabel="cost to prototypes  |  plan  |  left out",
        ylabel="patch, by main prototype",
        cols=[*(str(j + 1) for j in range(k)), "", *(str(j + 1) for j in range(k)), "", "out"],
        clabel=f"cost; plan over {largest:.2f}; share left out",
        clim=(0, 1),
        equal=False,
        outline=False,
        height=420,
    )


def _plan_finding(result: xr.Dataset) -> str:
    slide = int(sweeping.parameters(result)["slide"])
    n = _size_of(result, slide)
    mass, out = result.plan.values[:n].sum(axis=0), float(result.slack.values[:n].sum())
    most = int(mass.argmax())
    took = f"prototype {most + 1} takes {percent(mass[most] / mass.sum())}"
    if out <= 1e-6:
        return f"Nothing of bag {slide} is left out; {took} of it"
    return f"{percent(out)} of bag {slide} is left out; {took} of the rest"


def _kinds(result: xr.Dataset) -> Any:
    at = np.arange(result.sizes["kind"])
    ot = sweeping.parameters(result)["pooling"] == "ot"
    level = draw.hline(float(sweeping.parameters(result)["share"]) if ot else 1.0)
    return draw.plot(
        draw.bars(at, result.kind_mass.values, width=0.7),
        level,
        ylabel="pooled share of the patches" if ot else "weight over that of the mean",
        xlabel="kind of patch",
        xticks=[(int(i), str(name).removeprefix("kind ")) for i, name in zip(at, result.kind.values, strict=True)],
        ylim=(0, 1.15 * float(result.kind_mass.max())),
        xlim=(-0.6, at.size - 0.4),
        note="dashed: were all kinds alike",
    )


def _kinds_finding(result: xr.Dataset) -> str:
    mass, names = result.kind_mass.values, [str(name) for name in result.kind.values]
    if not np.isfinite(mass).any():
        return "No patch is of a known kind"
    least, most = int(np.nanargmin(mass)), int(np.nanargmax(mass))
    if mass[most] - mass[least] < 1e-6:
        return "All kinds count alike"
    if sweeping.parameters(result)["pooling"] == "ot":
        return f"{percent(mass[least])} of {names[least]} is pooled, up to {percent(mass[most])} of {names[most]}"
    low, high = (number(mass[at], 2) for at in (least, most))
    return f"{names[least].capitalize()} weighs {low}, {names[most]} {high}"


def _truth(result: xr.Dataset) -> Any:
    true, risk, tested = result.true_risk.values, result.risk.values, result.tested.values.astype(bool)
    return draw.plot(
        draw.points(true[~tested], risk[~tested], color=draw.MUTED, size=0.5, alpha=0.5),
        draw.points(true[tested], risk[tested], color=draw.SOURCE),
        xlabel="true log risk",
        ylabel="log risk of the model",
        ylim=_room(risk),
        note=f"test C-index {float(result.cindex):.3f}, of the truth {float(result.cindex_oracle):.3f}",
    )


def _truth_finding(result: xr.Dataset) -> str:
    tested = result.tested.values.astype(bool)
    true, risk = result.true_risk.values[tested], result.risk.values[tested]
    if min(np.ptp(true), np.ptp(risk)) < 1e-12 or not np.isfinite(risk).all():
        return f"The risk does not order the {len(risk)} test bags"
    return f"Over {len(risk)} test bags risk and truth correlate at {number(np.corrcoef(true, risk)[0, 1], 2)}"


def _training(result: xr.Dataset) -> Any:
    epoch, loss = 1 + result.epoch.values, result.loss.values
    checked = result.loss_check.values if "loss_check" in result else np.full(loss.size, np.nan)
    return draw.plot(
        draw.curve(epoch, loss, "batches", markers=True),
        draw.curve(epoch, checked, "checked" if np.isfinite(checked).any() else "", color=draw.TARGET),
        xlabel="epoch",
        ylabel="loss",
        ylim=_room(np.append(loss, checked)),
        note=f"test C-index {float(result.cindex):.3f}",
    )


def _training_finding(result: xr.Dataset) -> str:
    loss = result.loss.values[np.isfinite(result.loss.values)]
    scores = f"C-index {float(result.cindex_train):.3f} in training, {float(result.cindex):.3f} in the test"
    if not loss.size:
        return f"The loss is no finite number; {scores}"
    return f"The loss goes from {number(loss[0], 3)} to {number(loss[-1], 3)}; {scores}"


# ---- sweeps --------------------------------------------------------------------------------------------------------


def _by_use(result: xr.Dataset) -> dict[float, np.ndarray]:
    """Shares of the prototypes of a bag, the most used first, mean over bags, by λ."""
    return {float(lam): -np.sort(-result.mass.sel(lam=lam).values, axis=1).mean(axis=0) for lam in result.lam.values}


def _tail(result: xr.Dataset) -> Any:
    at = np.arange(1, result.sizes["prototype"] + 1)
    tints = draw.colours(result.sizes["lam"], ordered=True)
    used = zip(tints, _by_use(result).items(), strict=True)
    layers = [draw.curve(at, shares, f"λ = {lam:g}", color=tint, markers=True) for tint, (lam, shares) in used]
    return draw.plot(
        *layers,
        draw.hline(1 / at.size),
        xlabel="prototype of a bag, the most used first",
        ylabel="share of the pooled mass",
        ylim=(0, None),
        xticks=[int(i) for i in at[:: 1 + at.size // 16]],
    )


def _tail_finding(result: xr.Dataset) -> str:
    most = [(float(values[0]), lam) for lam, values in sorted(_by_use(result).items())]
    told = [f"{percent(share)} at λ = {lam:g}" for share, lam in dict.fromkeys((most[0], most[-1]))]
    return f"The largest prototype of a bag takes {', '.join(told)}"


def _pooled_folds(result: xr.Dataset) -> list[tuple[str, str, np.ndarray]]:
    """Each pooling, and the truth, with its color and its C-index by fold."""
    shown = [name for name in _POOLINGS if name in result.pooling.values]
    tints = zip(shown, draw.colours(len(shown)), strict=True)
    groups = [(name, tint, result.cindex.sel(pooling=name).values) for name, tint in tints]
    if "cindex_oracle" in result:
        groups.append(("truth", draw.MUTED, result.cindex_oracle.isel(pooling=0).values))
    return groups


def _folds(result: xr.Dataset) -> Any:
    groups = _pooled_folds(result)
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
        *layers,
        *([draw.hline(0.5, "chance")] if least < 0.55 else []),
        ylabel="C-index of the test fold",
        xlabel=f"pooling; {result.sizes['fold']} folds, quartiles and median",
        xticks=[(at, name) for at, (name, *_) in enumerate(groups)],
        xlim=(-0.6, len(groups) - 0.4),
        ylim=(np.floor(20 * least - 0.2) / 20, None),
    )


def _folds_finding(result: xr.Dataset) -> str:
    known = [(name, np.nanmedian(values)) for name, _, values in _pooled_folds(result) if np.isfinite(values).any()]
    return f"Median C-index: {', '.join(f'{name} {value:.3f}' for name, value in known)}"


PICTURES = Pictures(
    Picture(
        "km",
        "High and low risk",
        "Lines: fraction of the test bags without event, above (solid) and below (dashed) the median risk; bands: log-log 95% "
        "intervals.",
        _km,
    ),
    Picture(
        "slide",
        "One patient's bag of patches",
        "Left: kinds of patches, rarer kinds darker; right: color of the main prototype, paler where less of the patch is "
        "pooled.",
        _slide,
        share=1.3,
    ),
    Picture(
        "truth",
        "Predicted and true risk",
        "Points: bags; gray: training bags. The order is correct where the points rise.",
        _truth,
        needs=("true_risk",),
        finds=_truth_finding,
    ),
    Picture(
        "plan",
        "Cost and plan",
        "Rows: patches of the shown bag; color: cost to each prototype, share that goes to it, and share that is left out.",
        _plan,
        needs=("plan",),
        finds=_plan_finding,
    ),
    Picture(
        "kinds",
        "Pooled share by kind",
        "Bars: pooled share of the patches of each kind, at the shown share; dashed: all kinds alike.",
        _kinds,
        needs=("kind_mass",),
        finds=_kinds_finding,
    ),
    Picture(
        "training",
        "Training",
        "Lines: mean loss of the batches of each epoch, and loss on the validation fold if there is one.",
        _training,
        where=lambda result: "" if result.sizes.get("epoch") else "nothing was trained: set epochs above 0",
        finds=_training_finding,
    ),
    Picture(
        "tail",
        "Masses of the prototypes",
        "Lines: sorted masses of the prototypes of a bag, mean over bags; color: λ; dashed: equal masses.",
        _tail,
        along={"lam": (0.01, 0.1, 1.0, 10.0)},
        needs=("mass",),
        finds=_tail_finding,
        when={"pooling": ("ot",)},
        why="mean and attention have no plan",
    ),
    Picture(
        "folds",
        "C-index by fold",
        "Points: folds that the model was not trained on; boxes: quartiles.",
        _folds,
        along={"pooling": _POOLINGS, "fold": lambda study, data: range(int(data.arrays["fold"].max()) + 1)},
        needs=("cindex",),
        also=("cindex_oracle",),
        finds=_folds_finding,
    ),
)
