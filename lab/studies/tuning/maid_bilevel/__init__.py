"""MAID (Salehi, Mukherjee, Roberts, Ehrhardt, 2025) as a study: hyperparameters by gradients of adaptive accuracy."""

from .study import MaidBilevel

__all__ = ["MaidBilevel"]
