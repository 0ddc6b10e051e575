"""Sweeps: a study over a grid of parameters, as few compiled programs, kept cell by cell."""

from .execute import Filling, Report, complete, run, sweep
from .executors import executor
from .grid import MOST, SYNTAX, split
from .plan import Plan

__all__ = ["MOST", "SYNTAX", "Filling", "Plan", "Report", "complete", "executor", "run", "split", "sweep"]
