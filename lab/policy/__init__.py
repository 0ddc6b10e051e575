"""Gradients of what a policy earns: environments, estimators, and ascent with few trajectories."""

from lab.parts import parts

__getattr__, __dir__ = parts(__name__)
