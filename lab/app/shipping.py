"""Making what ships with the lab: ``python -m lab.app.shipping``, which ``make data`` calls.

Of each study: its default run, those of its presets and of the steps of its story, the runs that its pictures over several
runs and the curve of its scrubber need at the defaults; what its comparisons have over several seeds; and the small pictures
of the gallery. Arrays are rounded to float32
where no picture shows it. A file that holds the same numbers already is left as it is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from PIL import Image

import lab
from lab import studies, sweeps
from lab.disk import write
from lab.figures.provenance import fingerprint, picture_difference
from lab.home import start
from lab.store import Key, Store, files, packing, shipped
from lab.studies import Picture, Study
from lab.studies.contract import comparisons, curve
from lab.studies.draw import theme

from . import thumbnails

MOST = 1.9e6
"""Bytes that ship of a study: its default, its slider's curve, steps, pictures over several runs, then presets as they come."""
_SAME = 1e-6  # of a picture's width: nobody sees it
_ROUNDING = {4: 1e-6, 8: 1e-9}  # of an array's largest value, by its bytes a number


class Wanted(NamedTuple):
    """Runs that ship together: their names in words, keys, and which variables are kept; all when empty."""

    name: str
    keys: tuple[Key, ...]
    keep: tuple[str, ...] = ()


def make(study: type[Study], folder: Path, store: Store) -> dict[str, list[tuple]]:
    """Compute what ships of a study and write it to the folder; returns its part of the index."""
    index: dict[str, list[tuple]] = {}
    left, presets = MOST, {preset.name for preset in study.presets}
    for wanted in _computed(study, store):
        fresh = [key for key in wanted.keys if not _there(index, key, wanted.keep)]
        if not fresh:
            continue
        cells = store.read(fresh, wanted.keep or None)
        rounded, names = _rounded(cells)
        if not all(_looks_alike(study, cells, rounded, row) for row in range(len(fresh) if not wanted.keep else 0)):
            rounded, names = cells, []
        file = f"{study.slug}-{wanted.name}{files.SUFFIX}"
        header = {"layout": 1, "keys": [key.asked for key in fresh], "rounded": names}
        path = folder / file
        if not _holds(path, rounded, header):
            path.unlink(missing_ok=True)
            write(path, lambda part, cells=rounded, header=header: files.write(part, cells, header))
        size = path.stat().st_size
        left -= size
        print(
            f"  {wanted.name}: {len(fresh)} runs, {size / 1e3:,.0f} kB{'' if left >= 0 else ', too much'}", flush=True
        )
        if left < 0:
            left += size
            path.unlink()
            if wanted.name in presets:
                break  # those that follow may take minutes
            continue
        for row, key in enumerate(fresh):
            index.setdefault(key.asked, []).append((file, row, key.reach, lab.__version__, wanted.keep))
    default = packing.unpack(store.read([Store.key(study().recipe(study().load()))]), 0)
    for tone, image in thumbnails.of(study, default).items():
        for old in folder.glob(f"{study.slug}-{tone}-*.png"):
            image = old.read_bytes() if _same_pixels(old.read_bytes(), image) else image
            old.unlink()
        write(folder / thumbnails.shipped_name(study, tone), image)
    return index


def repeated(study: type[Study], store: Store, known: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a study's comparisons over several seeds, by state; ``known`` values that agree to rounding stay."""
    story, found = study.story, {}
    compared = [each for each in story.compares if each.stored] if story is not None else []
    seeds = list(range(story.seeds)) if story is not None else []
    for name, change in (comparisons.states(study) if compared else {}).items():
        began = time.monotonic()
        try:
            runs = [_run(study(**(change | {"seed": seeds[0]})), store)]
            if any(len(comparison.values(runs[0])) > 1 for comparison in compared):
                runs += [_run(study(**(change | {"seed": seed})), store) for seed in seeds[1:]]
        except (ValueError, OSError) as problem:  # its data are elsewhere
            print(f"  {name} with several seeds: {problem}", flush=True)
            continue
        if len(runs) < len(seeds):
            print(f"  {name} has fewer than two methods", flush=True)
            continue
        of = comparisons.signature(json.loads(runs[0].attrs["parameters"]), runs[0].attrs["data_name"])
        values = {}
        for comparison in compared:
            rows = [comparison.values(run) for run in runs]
            methods = [method for method in comparison.methods if all(method in row for row in rows)]
            values[comparison.name] = {m: [float(f"{row[m][0]:.6g}") for row in rows] for m in methods}
        state = {"of": of, "seeds": seeds, "values": values}
        found[name] = known[name] if name in known and _agree(known[name], state) else state
        print(f"  {name} with {len(runs)} seeds took {time.monotonic() - began:.0f} s", flush=True)
    return found


def _agree(one: Any, other: Any) -> bool:
    """Whether two records are equal, numbers to rounding."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return {*one} == {*other} and all(_agree(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_agree, one, other))
    return bool(np.isclose(one, other, rtol=1e-4)) if isinstance(one, float) else one == other


def _run(asked: Study, store: Store) -> xr.Dataset:
    return store.fetch(asked.recipe(asked.load()), asked.run)


def _holds(path: Path, cells: xr.Dataset, header: Mapping[str, Any]) -> bool:
    """Whether a file holds these numbers already, to rounding: it then stays, and the repository does not grow."""
    try:
        found, told = files.read(path)
    except (files.Damaged, OSError):
        return False
    same = all(told.get(name) == header[name] for name in ("layout", "keys", "rounded"))
    return (
        same
        and {*found.data_vars} == {*cells.data_vars}
        and all(map(_close, found.data_vars.values(), map(cells.get, found)))
    )


def _same_pixels(one: bytes, other: bytes) -> bool:
    first, second = (np.asarray(Image.open(BytesIO(each)).convert("RGBA"), int) for each in (one, other))
    return first.shape == second.shape and int(np.abs(first - second).max()) <= 2


def _close(one: xr.DataArray, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.dtype.kind != "f":
        return one.name == "cell_attrs" or bool((one.values == other.values).all())
    scale = np.abs(one.values[np.isfinite(one.values)]).max(initial=0.0)
    return np.allclose(one.values, other.values, rtol=0.0, atol=_ROUNDING[one.dtype.itemsize] * scale, equal_nan=True)


def _there(index: Mapping[str, list[tuple]], key: Key, keep: tuple[str, ...]) -> bool:
    """Whether these variables of a run are in the index; all when empty."""
    return any(not kept or (keep and set(keep) <= set(kept)) for *_, kept in index.get(key.asked, []))


def _computed(study: type[Study], store: Store) -> Iterator[Wanted]:
    """The curve over the slider, which is small, before what may leave no room for it."""
    steps = {f"step-{at}": dict(step.change) for at, step in enumerate(study.story.steps if study.story else (), 1)}
    presets = {preset.name: dict(preset.values) for preset in study.presets}
    yield from _runs(study, {"default": {}}, store)
    yield from _sweeps(study, filter(None, [curve(study)]), store)
    yield from _runs(study, steps, store)
    yield from _sweeps(study, study.pictures, store)
    yield from _runs(study, presets, store)


def _runs(study: type[Study], points: Mapping[str, Mapping[str, Any]], store: Store) -> Iterator[Wanted]:
    for name, values in points.items():
        asked, began = study(**values), time.monotonic()
        try:
            recipe = asked.recipe(asked.load())
            store.fetch(recipe, asked.run)
        except (ValueError, OSError) as problem:  # its data are elsewhere
            print(f"  {name}: {problem}", flush=True)
            continue
        print(f"  {name} took {time.monotonic() - began:.0f} s", flush=True)
        yield Wanted(name, (Store.key(recipe),))


def _sweeps(study: type[Study], pictures: Iterable[Picture], store: Store) -> Iterator[Wanted]:
    default = study()
    for picture in pictures:
        if picture.along is not None:
            try:
                grid = picture.grid(default, default.load())
                if picture.idle(default, default.load()):
                    continue
                sweeps.complete(default, grid, keep=picture.keep, store=store)
                keys = sweeps.Plan(default, grid, store=store, keep=picture.keep, exact=True).keys
            except ValueError as problem:  # it needs other data
                print(f"  {picture.name}: {problem}", flush=True)
                continue
            yield Wanted(f"of-{picture.name}", tuple(keys), picture.keep)


def _rounded(cells: xr.Dataset) -> tuple[xr.Dataset, list[str]]:
    """With arrays of float64 as float32, where they have its range; and their names. Numbers stay as they are."""
    names = []
    for name, variable in cells.data_vars.items():
        known = np.abs(variable.values[np.isfinite(variable.values)]) if variable.dtype == np.float64 else np.empty(0)
        if variable.ndim > 1 and known.size and known.max() < 1e37 and known[known > 0].min(initial=1.0) > 1e-37:
            names.append(str(name))
    return cells.assign({name: cells[name].astype(np.float32) for name in names}), names


def _looks_alike(study: type[Study], cells: xr.Dataset, rounded: xr.Dataset, row: int) -> bool:
    exact, other = (packing.unpack(each, row) for each in (cells, rounded))
    other = other.assign({name: other[name].astype(exact[name].dtype) for name in exact.data_vars})
    return all(_drawn_alike(picture, exact, other) for picture in study.pictures if picture.along is None)


def _drawn_alike(picture: Picture, exact: xr.Dataset, other: xr.Dataset) -> bool:
    if picture.applies(exact):
        return True
    with theme("print"):
        drawn: list[Any] = [fingerprint(picture(each)) for each in (exact, other)]
    return picture_difference(*drawn) <= _SAME


def main() -> int:
    """Of the studies named, or of all, each in a process of its own."""
    parser = argparse.ArgumentParser(description="Compute the results that ship with the lab.")
    parser.add_argument("studies", nargs="*", help="slugs; all when left out")
    parser.add_argument("--folder", type=Path, default=Path("data/results"))
    parser.add_argument("--seeds", action="store_true", help="only the values of comparisons over several seeds")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    if len(given.studies) == 1:
        return _one(given.studies[0], given.folder, given.seeds)
    slugs = given.studies or [study.slug for study in studies.catalogue()]
    failed = [
        slug
        for slug in slugs
        if subprocess.run(
            [sys.executable, "-P", "-m", __spec__.name, slug, "--folder", given.folder, *["--seeds"] * given.seeds]
        ).returncode
    ]
    total = sum(path.stat().st_size for path in given.folder.iterdir())
    print(f"{total / 1e6:.1f} MB in {given.folder}" + (f"; failed: {', '.join(failed)}" if failed else ""))
    return bool(failed)


def _one(slug: str, folder: Path, seeds: bool = False) -> int:
    os.environ["LAB_RESULTS"] = ""  # nothing is taken from what shipped before
    start(ready=True)
    print(slug, flush=True)
    study, place = studies.find(slug), folder / comparisons.FILE
    with tempfile.TemporaryDirectory() as home:
        store = Store(Path(home))
        made = {} if seeds else make(study, folder, store)
        found = repeated(study, store, _recorded(place).get(slug, {}))
    write(place, (_lines(_recorded(place) | {slug: found}) + "\n").encode())
    if seeds:
        return 0
    path = folder / shipped.INDEX
    known = json.loads(path.read_text()) if path.exists() else {}
    kept = {asked: places for asked, places in known.items() if not places[0][0].startswith(f"{slug}-")} | made
    named = {place[0] for places in kept.values() for place in places}
    for old in folder.glob(f"{slug}-*{files.SUFFIX}"):
        if old.name not in named:
            old.unlink()
    text = json.dumps(kept, indent=0, sort_keys=True, ensure_ascii=False)
    write(path, (text + "\n").encode())
    return 0


def _recorded(place: Path) -> dict[str, Any]:
    return json.loads(place.read_text()) if place.exists() else {}


def _lines(told: Mapping[str, Any]) -> str:
    """A record of values over seeds as JSON, with each state on a line of its own; studies without states are left out."""
    studies = {
        slug: ",\n".join(
            f"  {json.dumps(name)}: {json.dumps(state, ensure_ascii=False)}" for name, state in states.items()
        )
        for slug, states in sorted(told.items())
        if states
    }
    return "{\n" + ",\n".join(f"{json.dumps(slug)}: {{\n{states}\n}}" for slug, states in studies.items()) + "\n}"


if __name__ == "__main__":
    sys.exit(main())
