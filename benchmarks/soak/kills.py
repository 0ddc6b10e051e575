"""To come."""

import argparse


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=1000)


def main(options: argparse.Namespace) -> int:
    raise NotImplementedError
