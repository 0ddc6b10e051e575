"""The Monge gap (Uscidda, Cuturi, ICML 2023) as a study."""

from .study import MongeGap

__all__ = ["MongeGap"]
