"""``lab share``: a study or a kept sweep as one file of HTML."""

from lab.inputs import cut
from lab.studies.contract import option

from .commands import _study, _terminal_report, read
from .outputs import SHARED, target_of
from .parser import Parser, Refusal


def share(name: str, words: list[str]) -> int:
    def options_of(parser: Parser) -> None:
        parser.add_argument("-o", "--output", metavar="FILE", help="where to write it, .html")
        parser.add_argument(
            "--along",
            metavar="PARAMETER",
            action="append",
            help="that of the slider; may be repeated, for more of them",
        )
        parser.add_argument(
            "--values", metavar="VALUES", action="append", help="along it, as for lab sweep; once for each --along"
        )
        parser.add_argument("--pictures", metavar="NAMES", help="with commas between; those that the story shows first")
        parser.add_argument("--sweep", metavar="FILE.nc", help="share a kept sweep: its grid, its parameters")

    study, options = _study("share", name, words, options_of)
    target = target_of(options.output, SHARED)
    if target is None:
        raise Refusal("say where the share goes: -o FILE.html")
    along, values = options.along or [], options.values or []
    if len(values) not in (0, len(along)):
        raise Refusal(f"--values was given {len(values)} times and --along {len(along)} times: give both as often")
    from lab.home import start

    start(ready=True)
    kept = read(options.sweep, study.slug) if options.sweep is not None else None
    if kept is not None and (options.given or options.preset or along):
        others = [*map(option, options.given), *["--preset"] * bool(options.preset), *["--along"] * bool(along)]
        raise Refusal(f"--sweep shares {cut(options.sweep)} as it was computed: leave out {' and '.join(others)}")
    try:
        from lab import app
    except ModuleNotFoundError:
        raise Refusal('a share needs Panel and Bokeh: pip install "transport-lab[app]"') from None
    if kept is None:
        study, moved = study.fitted(study.load(), but=options.given)
        print(*moved, sep="\n", end="\n" if moved else "")
    pictures = None if options.pictures is None else [word.strip() for word in options.pictures.split(",")]
    given = dict(zip(along, values, strict=True)) if values else None
    with _terminal_report() as report:
        app.share(study if kept is None else kept, target, pictures, along or None, given, report)
    print(f"{target.stat().st_size / 1e6:.1f} MB, shared in {target}")
    return 0
