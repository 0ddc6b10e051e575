"""``python -m benchmarks.soak PART [options]``; exit status 1 where a part found a fault. The last line is one of JSON."""

import argparse
import sys
import time
from importlib import import_module

from . import PARTS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    asked = sys.argv[1] if len(sys.argv) > 1 else ""
    for name, says in PARTS.items():
        part = parts.add_parser(name, help=says)
        if name == asked:  # only this one is imported
            module = import_module(f"{__package__}.{name}")
            part.description = module.__doc__
            module.options(part)
            part.set_defaults(main=module.main)
    options = parser.parse_args()
    run, part = options.__dict__.pop("main"), options.__dict__.pop("part")
    began = time.perf_counter()
    faults = run(options)
    seconds = time.perf_counter() - began
    from benchmarks.report import Report  # imports JAX, which the processes that kills forks do not have

    report = Report(f"soak {part}", options)
    report.row({}, {"lab": seconds}, faults=faults)
    report.end(failed=faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
