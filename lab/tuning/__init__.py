"""Hyperparameters by gradient: descent on what a minimiser returns, with its errors, and tuning while one trains."""

from lab.parts import parts

__getattr__, __dir__ = parts(__name__)
