"""The commands that compute."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from os.path import exists, expanduser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from lab import datasets, memory, studies
from lab.home import start
from lab.inputs import Exceeded, cut, shown
from lab.numerics import Progress, Report
from lab.studies import Claim, Picture, Result, Study, Verdict, kind_of
from lab.studies.contract import as_text, option, sweeping
from lab.watch import interruptible

from .outputs import FORMATS, is_object, save, target_of
from .parser import COMMANDS, Parser, Refusal, printable
from .told import print_table

if TYPE_CHECKING:
    from lab.store import Store


def run(name: str, words: list[str]) -> int:
    def options_of(parser: Parser) -> None:
        _output_option(".nc or .zarr")(parser)
        parser.add_argument("--again", action="store_true", help="compute it even if the store holds it")

    study, options = _study("run", name, words, options_of)
    target = target_of(options.output, {".nc", ".zarr"})
    start(ready=True)
    from lab.store import Store

    data = study.load()
    study, moved = study.fitted(data, but=options.given)
    store, recipe = Store(), study.recipe(data)
    with _terminal_report() as report:
        result, computed = _fetched(store, study, recipe, report, options.again)
    told = study.attributes(data)  # a kept run may be of the same arrays in another file
    result.attrs |= {name: told[name] for name in ("title", "data_name", "data_title", "data_notices", "command")}
    if target:
        save(result, target)
    _print_scalars(study, result)
    print(*filter(None, (*moved, data.said)), sep="\n", end="\n" if moved or data.said else "")
    for given, value in options.given.items():
        if why := study.idle(given):
            print(f"{option(given)} {as_text(value)} changed nothing: it {why}")
    entry = None if computed else store.entry(store.key(recipe))
    if shipped := result.attrs.get("shipped"):
        print(
            f"ships with the lab, computed by {shipped} in {_seconds(result.attrs['run_seconds'])}; --again computes it anew"
        )
    elif entry:
        when = entry.created.astimezone().strftime("%Y-%m-%d %H:%M")
        print(
            f"from the store, computed on {when} in {_seconds(result.attrs['run_seconds'])}; --again computes it anew"
        )
    if result.attrs["advice"]:
        print(result.attrs["advice"])
    if target:
        print(f"kept in {target}")
    return 0


def _fetched(
    store: "Store", study: Study, recipe: Mapping[str, Any], report: Report, again: bool = False
) -> tuple[xr.Dataset, bool]:
    """The run of that recipe, and whether it had to be computed."""
    computed = False

    def make() -> xr.Dataset:
        nonlocal computed
        computed = True
        return study.run(report)

    def wanted() -> bool:
        return not report(Progress(0, 0, {}, None, 0.0))

    return store.fetch(recipe, make, wanted=wanted, again=again), computed


def figure(name: str, words: list[str]) -> int:
    slug, _, picture_name = name.rpartition(":")
    if not slug and not {"-h", "--help"} & {*words}:
        listed = ", ".join(p.name for p in studies.find(name).pictures)
        raise Refusal(f"name the picture: lab figure {name}:PICTURE, where PICTURE is one of {listed}, or several: a,b")

    def options_of(parser: Parser) -> None:
        _output_option(".pdf, .svg, .png, .eps, .pgf, or of a picture that moves .gif, .mp4")(parser)
        parser.add_argument(
            "--from",
            dest="source",
            metavar="FILE.nc",
            help="draw a kept result instead of computing; of a sweep, a cell: give its swept parameters",
        )
        parser.add_argument("--width", default="column", help="column (3.25 in), text (6.75 in), or inches")
        parser.add_argument("--height", help="inches; the picture's own when left out")
        parser.add_argument("--style", default="paper", help="a style by name")
        parser.add_argument("--at", type=float, help="of a picture that moves: the place of one frame")
        parser.add_argument(
            "--frames", type=int, help="of a picture that moves: so many frames beside each other, 3 when left out"
        )
        parser.add_argument("--columns", type=int, help="of several pictures: how many stand side by side")
        parser.add_argument(
            "--caption", action="store_true", help="print LaTeX for the figure, and the paper as BibTeX"
        )
        parser.add_argument(
            "--camera", metavar="AZIMUTH,ELEVATION", help="of a picture that turns: degrees, as --camera=-30,20"
        )

    study, options = _study("figure", slug or name, words, options_of)
    target = target_of(options.output, FORMATS)
    if target is None:
        raise Refusal("say where the figure goes: -o FILE.pdf, .svg, .png, .eps or .pgf")
    names = picture_name.split(",")
    picture = study.pictures[names[0]]
    start(ready=True)
    from lab import figures

    # refuse before computing
    if len(names) > 1 or options.columns is not None:
        _check_panels(study, names, options)
    kept = read(options.source, study.slug) if options.source is not None else None
    cell = {} if kept is None else _chosen_cell(kept, picture, options)
    figures.check(width=options.width, height=options.height, style=options.style)
    moves = picture.plays and len(names) == 1 and target.suffix[1:].lower() not in figures.MOVING
    if moves and options.at is None and options.frames is None:
        options.frames = 3  # one frame would not show that it moves
    figures.check_motion(picture, target.suffix[1:].lower(), options.at, options.frames)
    picture.camera(options.camera)
    with _terminal_report() as report:
        if kept is not None and (cell or picture.along):
            data = None if "data" in cell else options.given.get("data")
            _check_data(kept, cell, str(options.source), study.kind)
            study = type(study).from_recipe(json.loads(kept.attrs["recipe"]), data).but(**cell)
            kept = _cell_run(kept, study, cell, str(options.source), report) if cell else kept
        if kept is None:
            study, moved = study.fitted(study.load(), but=options.given)
            print(*moved, sep="\n", end="\n" if moved else "")
        result = study.picture_result(picture, kept, report)
    setting = {name: getattr(options, name) for name in ("width", "height", "style", "at", "frames", "camera")}
    with _terminal_report() as report:
        if len(names) > 1:
            size = {name: setting[name] for name in ("width", "height", "style")}
            figures.export_panels(study, names, result, target, columns=options.columns, report=report, **size)
        else:
            figures.export_picture(picture, result, target, report=report, **setting)
    if options.caption:
        print(figures.caption(study, names, result, target.name), study.paper.bibtex, sep="\n")
    for said in filter(None, (result.attrs["data_notices"], result.attrs["advice"])):
        print(said)
    print(f"drawn to {target}")
    return 0


def _check_panels(study: Study, names: list[str], options: argparse.Namespace) -> None:
    from lab import figures

    figures.check_panels(study, names)
    alone = [name for name in ("at", "frames", "camera") if getattr(options, name) is not None]
    if alone or Path(options.output).suffix.lower() in (".gif", ".mp4"):
        what = f"--{alone[0]}" if alone else Path(options.output).suffix
        raise Refusal(f"{what} is for one picture, and {len(names)} are asked for: leave out one of them")
    if study.pictures[names[0]].along:
        raise Refusal(f"{names[0]} shows several runs: name first a picture that shows one")


def _chosen_cell(kept: xr.Dataset, picture: Picture, options: argparse.Namespace) -> dict[str, Any]:
    """The cell that the options choose from a kept sweep, by its swept parameters; none from a run, or where the picture
    shows the sweep."""
    source, given = options.source, options.given
    swept: dict[str, list[Any]] = json.loads(kept.attrs.get("swept", "{}"))
    # other data than those swept are what the file can't hold of its own
    given = {name: value for name, value in given.items() if name != "data" or name in swept}
    others = [option(name) for name in given if name not in swept] + ["--preset"] * bool(options.preset)
    if others:
        raise Refusal(
            f"--from draws {cut(source)} as it was computed: leave out {' and '.join(others)}, or compute another by "
            "leaving out --from"
        )
    there = {name: sweeping.values_text(values) for name, values in swept.items()}
    if swept and not given and (picture.along or not picture.applies(kept)):
        return {}
    if set(given) != set(swept):
        listed = "; ".join(f"{option(name)} {values}" for name, values in there.items())
        raise Refusal(f"{cut(source)} holds a sweep: say which of its cells to draw, with a value for each of {listed}")
    cell = {}
    for name, value in given.items():
        alike = [v for v in swept[name] if as_text(v) == as_text(value)]
        if not alike:
            text = as_text(value)
            raise Refusal(f"{option(name)} {text} is not in the sweep of {cut(source)}: give one of {there[name]}")
        cell[name] = value if value in alike else alike[0]
    return cell


def _check_data(kept: xr.Dataset, cell: Mapping[str, Any], source: str, kind: str) -> None:
    """Refuse a cell of a sweep along data whose data are not at hand as they were."""
    name, hashes = cell.get("data"), kept.attrs["data_sha256"].split("; ")
    if name is None:
        return
    names = json.loads(kept.attrs["swept"])["data"]
    try:
        found = datasets.resolve(name, kind).sha256 if datasets.entry_of(name) is None else None
    except ValueError as problem:
        raise Refusal(
            f"the data {shown(name)} of {cut(source)} are not at hand: {problem}; draw the cell where they are, in Python"
        ) from None
    if found is not None and len(hashes) == len(names) and hashes[names.index(name)] != found:
        raise Refusal(
            f"{cut(name)} is not the file that made {cut(source)}: give it as it was then, or run the sweep anew"
        )


def _cell_run(kept: xr.Dataset, study: Study, cell: Mapping[str, Any], source: str, report: Report) -> xr.Dataset:
    """The whole run of a sweep's cell: a file may have been kept without the arrays that a picture needs, and has them padded
    to the largest cell, so the run is taken from the store, or computed again, and checked against the file."""
    from lab.store import Store

    swept = json.loads(kept.attrs["swept"])
    here = kept.isel({name: swept[name].index(value) for name, value in cell.items()})
    if sweeping.CELL_ERROR in here and here[sweeping.CELL_ERROR].item():
        raise Refusal(f"the cell {sweeping.cell_text(cell)} of {source} is empty: {here[sweeping.CELL_ERROR].item()}")
    result, computed = _fetched(Store(), study, study.recipe(), report)
    _clear_line()
    if computed:
        print(f"{sweeping.cell_text(cell)} is not in the store: it was computed again")
    for declared in study.results:
        if not declared.dims and declared.name in here and declared.name in result:
            before, now = here[declared.name].item(), result[declared.name].item()
            if not np.isclose(before, now, rtol=1e-6, atol=1e-9, equal_nan=True):
                print(f"{declared.name} was {before} in {source}, made by another version or machine, and is {now} now")
    return result


def reproduce(arguments: argparse.Namespace) -> int:
    given = studies.load_file(arguments.study) if arguments.study else ()
    start(ready=True)
    from lab import figures

    with _terminal_report() as report:
        comparison = figures.reproduce(arguments.file, report, given=given, data=arguments.data)
    for sentence in comparison.sentences:
        print(printable(sentence))
    return 0 if comparison.data_agrees and comparison.picture_agrees else 1


def verify(arguments: argparse.Namespace) -> int:
    start(ready=True)
    verdicts: dict[str, list[Verdict]] = {}
    for study in _chosen(arguments):
        verdicts[study.slug] = []
        if not arguments.json:
            print(f"{study.title} ({study.slug})")
        place = _Place([claim for claim in study.claims if claim.quick or not arguments.quick])
        with _terminal_report(place) as report:
            for verdict in studies.verify(study, quick=arguments.quick, report=report, begin=place.begin):
                verdicts[study.slug].append(verdict)
                if not arguments.json:
                    _clear_line()
                    print(_verdict_line(verdict), flush=True)
                memory.release(3 * 2**29)  # else the process holds all that a hundred runs compiled
    flat = [verdict for group in verdicts.values() for verdict in group]
    surprising = [verdict for verdict in flat if verdict.surprising]
    if arguments.json:
        rows = [{"study": slug} | verdict.as_dict() for slug, group in verdicts.items() for verdict in group]
        print(json.dumps(_finite(rows), indent=2, ensure_ascii=False))
    else:
        print(
            f"{sum(v.holds for v in flat)} of {len(flat)} hold"
            + (f"; {len(surprising)} should but do not" if surprising else "")
        )
    return 1 if surprising else 0


class _Place:
    """Which of some claims is being measured, in words."""

    def __init__(self, claims: list[Claim]):
        self._claims, self._now = claims, claims[:1]

    def begin(self, claim: Claim) -> None:
        self._now = [claim]

    def __call__(self) -> str:
        return "".join(f"claim {self._claims.index(claim) + 1} of {len(self._claims)}: " for claim in self._now)


def _chosen(arguments: argparse.Namespace) -> list[type[Study]]:
    return [studies.find(arguments.study)] if arguments.study is not None else studies.catalogue()


def doctor(arguments: argparse.Namespace) -> int:
    start(ready=True)
    import jax
    import numpy as np

    from lab import home
    from lab.studies.contract.clock import clocked
    from lab.studies.contract.recipe import device, versions

    everything = studies.catalogue()
    chosen = _chosen(arguments) if arguments.whole or arguments.study else everything[:1]
    what = chosen[0].slug if len(chosen) == 1 else f"all {len(chosen)} studies, which takes minutes"
    more = "" if arguments.whole or arguments.study else f"; --whole runs all {len(everything)}"
    print(f"runs {what}, compilation included{more}", file=sys.stderr, flush=True)
    rows = [(name, version) for name, version in versions().items()]
    rows += [("device", device()), ("devices", ", ".join(map(str, jax.devices())))]
    rows.append(
        ("memory", f"{memory.machine() / 2**30:.3g} GiB; a server keeps to {memory.served() / 2**30:.3g}, or --memory")
    )
    wide = jax.numpy.ones(()).dtype == np.float64
    rows.append(("precision", "float64" if wide else "float32: the lab needs float64"))
    sound = bool(wide)
    for number, study in enumerate(chosen, 1):
        place = f"{study.slug} ({number} of {len(chosen)}): "
        if sys.stderr.isatty():
            print(f"\r\033[K{place}compiling", end="", file=sys.stderr, flush=True)
        try:
            with clocked() as clock, _terminal_report(lambda place=place: place) as report:
                result = study().run(report)
            rows.append(
                (study.slug, f"default run ended ({study.ended(result)[0]}) in {_times(clock.run, clock.compile)}")
            )
        except Exception as problem:
            sound = False
            rows.append((study.slug, f"default run failed: {problem}"))
    try:
        place = home.cache()
        rows.append(("LAB_HOME", f"{home.home()}, {'writable' if os.access(place, os.W_OK) else 'NOT writable'}"))
        kept = [path.stat().st_size for name in ("xla", "ready") for path in (place / name).glob("*")]
        rows.append(("programs kept", f"{len(kept)}, {sum(kept) / 2**20:,.0f} MiB"))
    except OSError as problem:
        sound = False
        rows.append(("LAB_HOME", f"can't be used: {problem}; set the variable LAB_HOME to a folder of yours"))
    print_table(("what", "state"), rows)
    return 0 if sound else 1


def read(path: str | Path, slug: str) -> xr.Dataset:
    """A kept result, loaded whole; raises ValueError when the file is no result of that study."""
    path = Path(expanduser(path))
    if not exists(path):
        raise Refusal(f"there is no file {cut(path)}")
    try:
        result = datasets.kept(path)
    except Exceeded:
        raise
    except Exception as problem:
        raise Refusal(
            f"{cut(path)} can't be read as a result: give a .nc or .zarr that lab run, lab sweep or lab open wrote; your data "
            "go in with --data"
        ) from problem
    if result.attrs.get("study") != slug:
        raise Refusal(f"{cut(path)} holds a result of {cut(result.attrs.get('study', 'no study'), 40)}, not of {slug}")
    if not is_object(result.attrs.get("recipe")) or not is_object(result.attrs.get("swept", "{}")):
        raise Refusal(
            f"{cut(path)} holds no recipe that can be read: give a file as lab run, lab sweep or lab open wrote it"
        )
    return result


def presets_told(study: type[Study]) -> str:
    """What the help says of ``--preset``."""
    names = ", ".join(preset.name for preset in study.presets)
    return f"start from one of {names}" if names else "this study has none"


def _study(
    command: str, name: str, words: list[str], more: Callable[[Parser], None]
) -> tuple[Study, argparse.Namespace]:
    """The study that the words of a command line describe, and the command's own options; ``given`` of them are the
    parameters among the words."""
    study = studies.find(name)
    parser = Parser(f"{command} {name}", description=f"{COMMANDS[command]}: {study.title}")
    parser.add_argument("--preset", metavar="NAME", help=presets_told(study))
    more(parser)
    for parameter, declared in study.parameters().items():
        flags = {option(parameter), f"--{parameter}"}
        parser.add_argument(
            *sorted(flags),
            dest=f"parameter {parameter}",
            metavar="NAME|PATH" if kind_of(declared) == "data" else "VALUE",
            help=f"{declared.doc} (default {declared.default}; {declared.allowed()})".replace("%", "%%"),
        )
    options = parser.parse_args(words)
    values: Mapping[str, Any] = study.preset(options.preset).values() if options.preset is not None else {}
    given = {
        key.removeprefix("parameter "): text
        for key, text in vars(options).items()
        if key.startswith("parameter ") and text is not None
    }
    options.given = {key: study.parameters()[key].parse(text) for key, text in given.items()}
    return study(**(dict(values) | options.given)), options


def _output_option(formats: str) -> Callable[[Parser], None]:
    def add(parser: Parser) -> None:
        parser.add_argument("-o", "--output", metavar="FILE", help=f"where to keep it, {formats}")

    return add


@contextmanager
def _terminal_report(place: Callable[[], str] = str) -> Iterator[Report]:
    """Progress on a terminal, after what ``place`` says.

    The first Ctrl-C ends the run and keeps what it has, the second one abandons it.
    """
    shown = sys.stderr.isatty()
    with interruptible() as asked:

        def report(progress: Progress) -> bool:
            if shown:
                part = f"part {progress.part}: " if progress.part > 1 else ""
                told = f"{place()}{part}{progress.iteration} of at most {progress.max_iterations}"
                print(f"\r\033[K{told}", end="", file=sys.stderr, flush=True)
            return asked()

        try:
            yield report
        finally:
            _clear_line()


def _clear_line() -> None:
    """Take away the progress that stands on the terminal."""
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def _print_scalars(study: Study, result: xr.Dataset) -> None:
    rows = [
        (declared.label, _with_interval(declared, result), declared.unit)
        for declared in study.results
        if declared.headline and declared.name in result and not declared.dims and declared.name != "converged"
    ]
    ended, mood = study.ended(result)
    if "iterations" in result or mood == "warn":
        steps = f" after {int(result.iterations):,} iterations" if "iterations" in result else ""
        rows.append(("ended", f"{ended}{steps}", ""))
    times = _times(result.attrs["run_seconds"], result.attrs["compile_seconds"])
    print_table((study.title, result.attrs["data_title"], ""), [*rows, ("time", times, "")])


def _times(run: float, compile: float) -> str:
    compiled = f", after {compile:.2g} s of compiling" if compile >= 0.01 else ""
    return f"{_seconds(run)}{compiled}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds >= 0.001 else "under 0.001 s"


def _with_interval(declared: Result, result: xr.Dataset) -> str:
    half = f" ± {result[declared.half].item():.2g}" if declared.half in result else ""
    value = result[declared.name].item()
    return declared.undefined_at(value) or _number(value) + half


def _number(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.7g}"  # as on the pages
    return str(value)


def _verdict_line(verdict: Verdict) -> str:
    mark = "holds" if verdict.holds else "FAILS" if verdict.claim.should_hold else "fails, as known"
    expected = f"{verdict.claim.relation} {verdict.expected:.9g} ± {verdict.tolerance:.2g}"
    interval = " ({}: {:.4g} to {:.4g})".format(verdict.basis, *verdict.interval) if verdict.interval else ""
    tie = ", a tie with the bound" if verdict.tie else ""
    numbers = f"measured {verdict.measured:.9g}{interval}, expected {expected}{tie}"
    note = f" [{verdict.claim.note}]" if verdict.claim.note and not verdict.holds else ""
    return f"  {mark:<6} {verdict.claim.statement}\n         {verdict.error or numbers}; {verdict.claim.source}{note}"


def _finite(value: Any) -> Any:
    """NaN as null, since JSON has none."""
    if isinstance(value, float):
        return value if abs(value) < float("inf") else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list) else value
