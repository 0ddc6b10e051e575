"""Random transport problems, solved and judged by what their plans say of themselves; see ``benchmarks.fuzz``."""

import argparse
from importlib import import_module


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)


def main(options: argparse.Namespace) -> int:
    return import_module("benchmarks.fuzz").main(options.count, options.seed)
