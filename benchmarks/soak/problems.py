"""Random transport problems, solved and judged by what their plans say of themselves; see ``benchmarks.fuzz``."""

import argparse
from importlib import import_module

from lab.home import start


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)


def main(options: argparse.Namespace) -> int:
    start()
    counted = import_module("benchmarks.fuzz").run(options.count, options.seed)
    return sum(door["wrong"] for door in counted.values())
