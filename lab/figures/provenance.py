"""Whether a figure can be made again: what a picture shows and what a result is, told in a few numbers.

Two machines never agree in the last digits, so a hash of the data can't tell "the same up to rounding" from "other".
An array is therefore described by a *sketch*: its inner products with 16 fixed random sign vectors, next to its norm,
sum, least and largest value. For the difference d of two arrays and a random sign vector r, E <d, r>² = ||d||², so the
sketches give the distance of the arrays without either being at hand (Johnson and Lindenstrauss 1984; signs: Achlioptas
2003).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np

from lab.studies.draw import SCENE

if TYPE_CHECKING:
    import xarray as xr

    from lab.studies import Picture

RTOL = 1e-6
ATOL = 1e-9  # below it a scalar is taken for zero: residuals and gaps of a solved problem
_NOISE = 1e-12  # and an entry of an array
_SIGNS = 16


@dataclass(frozen=True)
class Comparison:
    """How a figure stands to what was computed again.

    Attributes:
        largest_difference: the largest relative difference of a variable; nan where shapes or kinds differ.
        sentences: what a person wants to know, in order.
    """

    data_agrees: bool
    picture_agrees: bool
    largest_difference: float
    sentences: tuple[str, ...]


def digest(values: Any) -> dict[str, Any]:
    """An array in a few numbers, as plain JSON; ``difference`` compares two.

    Args:
        values: an array of any shape: numbers, or what a hash of its text then stands for.

    Returns:
        shape and type, sum, norm, least and largest value, where it is not finite, and 16 inner products with signs that are
        fixed at random; of what is no number shape and SHA-256.

    Examples:
        >>> from lab import figures
        >>> told = figures.digest([3.0, 4.0])
        >>> told["shape"], told["sum"], told["l2"]
        ([2], 7.0, 5.0)
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biufc":
        text = json.dumps(array.tolist(), ensure_ascii=False, default=str)
        return {"shape": list(array.shape), "sha256": sha256(text.encode()).hexdigest()}
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
    flat = array.astype(np.float64).ravel()
    finite = np.isfinite(flat)
    holes = sha256(np.packbits(finite).tobytes()).hexdigest()[:16] if not finite.all() else ""
    flat = np.clip(np.where(finite, flat, 0.0), -1e150, 1e150)  # its norm must be a number
    seen = flat[finite]
    return {
        "shape": list(array.shape),
        "dtype": array.dtype.name,
        "sum": float(flat.sum()),
        "l2": float(np.linalg.norm(flat)),
        "min": float(seen.min()) if seen.size else 0.0,
        "max": float(seen.max()) if seen.size else 0.0,
        "holes": holes,  # where it is not finite
        "sketch": _sketch(flat),
    }


def difference(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    r"""The relative distance of two arrays by their digests.

    $$ \frac{\max\big( \sqrt{\frac{1}{16} \sum_{k=1}^{16} \langle x - y, r_k \rangle^2}, \;
    |\min x - \min y|, \; |\max x - \max y|, \; | \|x\| - \|y\| | \big)}{\max(\|x\|, \|y\|)} $$

    The first term estimates $\|x - y\|$ from the inner products with 16 random sign vectors (Achlioptas 2003).

    Args:
        one: what ``digest`` says of one array.
        two: of the other.

    Returns:
        the distance, 0 where it is below rounding; nan when shape, kind or the places that are not finite differ.

    Examples:
        >>> from lab import figures
        >>> one, two, long = (figures.digest(x) for x in ([1.0], [2.0], [1.0, 1.0]))
        >>> figures.difference(one, two), figures.difference(one, long)
        (0.5, nan)
    """
    if one["shape"] != two["shape"] or ("l2" in one) != ("l2" in two):
        return float("nan")
    if "sha256" in one:
        return 0.0 if one["sha256"] == two["sha256"] else float("nan")
    if one["holes"] != two["holes"]:
        return float("nan")
    size = max(1, int(np.prod(one["shape"])))
    apart = np.abs(np.subtract(one["sketch"], two["sketch"]))
    # rms over the signs estimates the distance; the ends catch a change in one entry of many
    distance = max(float(np.sqrt(np.mean(apart**2))), *(abs(one[k] - two[k]) for k in ("min", "max", "l2")))
    scale = max(one["l2"], two["l2"])
    return 0.0 if distance <= _NOISE * np.sqrt(size) else distance / scale


def fingerprint(drawn: Any) -> dict[str, Any]:
    """What a HoloViews object shows: a digest of the data of each element. Colours and other options do not enter.

    Args:
        drawn: a picture.

    Returns:
        plain JSON, of each element its type and the digests of its columns.

    Examples:
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> blue, red = (draw.curve([0, 1], [0, 1], color=tint) for tint in ("#0000ff", "#ff0000"))
        >>> figures.fingerprint(blue) == figures.fingerprint(red)
        True
    """
    import holoviews as hv

    elements = []
    for element in drawn.traverse(lambda e: e, [hv.Element]):
        if SCENE in element.cdims:  # not its pixels, of which one on an edge may be another on another machine
            columns = element.cdims[SCENE]
        elif isinstance(element, hv.VLine | hv.HLine | hv.Text):
            columns = {"data": np.asarray(element.data)}
        elif isinstance(element, hv.Image | hv.RGB):
            columns = {str(d): element.dimension_values(d, flat=False) for d in element.vdims}
            bounds: Any = element.bounds
            columns["bounds"] = np.asarray(bounds.lbrt())
        else:
            columns = {str(d): np.asarray(element.dimension_values(d)) for d in element.dimensions()}
        digests = {name: digest(values) for name, values in columns.items()}
        elements.append({"type": type(element).__name__, "columns": digests})
    return {"elements": elements}


def picture_difference(one: Mapping[str, Any], two: Mapping[str, Any]) -> float:
    """The largest relative difference of what two pictures show; where words stand is no part of it.

    Args:
        one: the fingerprint of one picture.
        two: of the other.

    Returns:
        the largest of ``difference`` over their columns; nan when they are not built alike.

    Examples:
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> one, two = (figures.fingerprint(draw.hline(y)) for y in (1.0, 2.0))
        >>> figures.picture_difference(one, two)
        0.5
    """
    first, second = one["elements"], two["elements"]
    shapes = [[(e["type"], sorted(e["columns"])) for e in elements] for elements in (first, second)]
    if shapes[0] != shapes[1]:
        return float("nan")
    apart = [
        difference(columns["columns"][name], others["columns"][name])
        for columns, others in zip(first, second, strict=True)
        for name in columns["columns"]
        if columns["type"] != "Labels" or name == "text"  # where words stand is no part of what they say
    ]
    return _largest(apart)


def summary(result: "xr.Dataset") -> dict[str, Any]:
    """A result in a few numbers for each variable: scalars as they are, arrays by ``digest``."""
    told: dict[str, Any] = {}
    for name, variable in result.data_vars.items():
        values = variable.values
        if values.ndim or values.dtype.kind not in "biuf":
            told[str(name)] = digest(values)
        else:
            value = values.item()
            told[str(name)] = value if np.isfinite(value) else repr(float(value))
    return told


def compare(recipe: Mapping[str, Any], result: "xr.Dataset", picture: Any) -> Comparison:
    """Set the numbers in a figure's recipe against a result and a picture that were made again.

    Numbers agree when their relative difference is at most 1e-6 or both are below 1e-9.

    Args:
        recipe: what ``read_recipe`` found in the figure.
        result: made again.
        picture: drawn again.

    Returns:
        whether data and picture agree, and sentences for a person.

    Examples:
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.studies import draw
        >>> line = draw.hline(1.0)
        >>> recipe = {"figure": {"results": {"cost": 0.5}, "fingerprint": figures.fingerprint(line)}}
        >>> found = figures.compare(recipe, xr.Dataset({"cost": 0.25}), line)
        >>> found.data_agrees, found.picture_agrees, found.largest_difference
        (False, True, 0.5)
    """
    figure = recipe.get("figure", {})
    before, now = figure.get("results", {}), summary(result)
    sentences: list[str] = []
    apart: list[float] = []
    for name, old in before.items():
        new = now.get(name)
        gap = _gap(old, new) if new is not None else float("nan")
        apart.append(gap)
        if not gap <= RTOL:
            what = f"by {gap:.1e} of its size" if gap == gap else "in shape or kind"
            values = "" if isinstance(old, Mapping) else f": {old} in the figure, {new} now"
            sentences.append(f"{name} differs {what}{values}.")
    data_agrees = bool(before) and all(gap <= RTOL for gap in apart)
    shown, again = figure.get("fingerprint"), fingerprint(picture)
    change = picture_difference(shown, again) if shown else float("nan")
    picture_agrees = bool(shown) and change <= RTOL
    largest = _largest(apart)
    head = [
        f"The data agree: {len(before)} variables, largest relative difference {largest:.1e}."
        if data_agrees
        else "The data do not agree."
        if before
        else "The figure does not say what its data were, so these can't be compared.",
        "The picture agrees."
        if picture_agrees
        else f"The picture does not agree: it differs {f'by {change:.1e}' if change == change else 'in what is drawn'}."
        if shown
        else "The figure does not say what it shows, so the pictures can't be compared.",
    ]
    if not (data_agrees and picture_agrees):
        sentences += _circumstances(recipe, result)
    return Comparison(data_agrees, picture_agrees, largest, (head[0], *sentences, head[1]))


def recipe_of(picture: "Picture", result: "xr.Dataset") -> dict[str, Any]:
    """The recipe of a picture of a result: the run's own, and which picture, of which sweep, with which numbers.

    Args:
        picture: of a study.
        result: a run or a sweep, with its recipe.

    Returns:
        plain JSON; what is of the picture stands under ``"figure"``.

    Raises:
        ValueError: the result does not carry its recipe.

    Examples:
        >>> import xarray as xr
        >>> from lab import figures
        >>> from lab.studies import SparseOT
        >>> result = xr.Dataset({"cost": 0.5}, attrs={"recipe": '{"study": "sparse-ot"}'})
        >>> recipe = figures.recipe_of(SparseOT.pictures["plan"], result)
        >>> recipe["study"], recipe["figure"]["picture"], recipe["figure"]["results"]
        ('sparse-ot', 'plan', {'cost': 0.5})
    """
    if "recipe" not in result.attrs:
        raise ValueError("this result does not carry its recipe, so a figure of it could not be made again")
    figure = {
        "picture": picture.name,
        "title": picture.title,
        "swept": json.loads(result.attrs.get("swept", "null")),
        "kept": sorted(map(str, result.data_vars)) if "swept" in result.attrs else None,
        "warm_start": int(result.attrs.get("warm_start", 0)),
        "results": summary(result),
    }
    return {**json.loads(result.attrs["recipe"]), "figure": figure}


def _circumstances(recipe: Mapping[str, Any], result: "xr.Dataset") -> list[str]:
    """What is not as it was when the figure was made."""
    attrs = result.attrs
    now = {**json.loads(attrs.get("recipe", "{}"))}
    said = []
    for key, words in (("study_version", "version of the study"), ("device", "device"), ("dtype", "precision")):
        if key in recipe and key in now and recipe[key] != now[key]:
            said.append(f"Made with another {words}: {recipe[key]}, here {now[key]}.")
    if recipe.get("figure", {}).get("warm_start"):
        said.append(
            "The figure is of a run that went on from an earlier one, and may be another of equally good answers."
        )
    old, new = recipe.get("versions", {}), now.get("versions", {})
    changed = [f"{name} {old[name]} (here {new[name]})" for name in old if name in new and old[name] != new[name]]
    if changed:
        said.append(f"Made with {', '.join(changed)}.")
    return said


def _gap(old: Any, new: Any) -> float:
    if isinstance(old, Mapping) or isinstance(new, Mapping):
        both = isinstance(old, Mapping) and isinstance(new, Mapping)
        return difference(old, new) if both else float("nan")
    a, b = float(old), float(new)
    if not (np.isfinite(a) and np.isfinite(b)):
        return 0.0 if str(a) == str(b) else float("nan")
    return 0.0 if abs(a - b) <= ATOL else abs(a - b) / max(abs(a), abs(b))


def _largest(values: list[float]) -> float:
    return float(np.max(values)) if values else 0.0  # nan stays nan


def _sketch(flat: np.ndarray) -> list[float]:
    """Inner products with 16 sign vectors, whose signs are the bits of a hash of the index (SplitMix64)."""
    total = np.zeros(_SIGNS)
    for start in range(0, flat.size, 1 << 20):
        part = flat[start : start + (1 << 20)]
        with np.errstate(over="ignore"):
            z = np.arange(start + 1, start + 1 + part.size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
            z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            z ^= z >> np.uint64(31)
        for k in range(_SIGNS):
            odd = (z >> np.uint64(k)) & np.uint64(1) == 1
            total[k] += part.sum() - 2 * part[odd].sum()
    return total.tolist()
