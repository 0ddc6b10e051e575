"""Policy gradients with momentum (Fatkhullin et al., ICML 2023) as a study: N-PG-IGT and HARPG beside plain ascent."""

from .study import PolicyGradient

__all__ = ["PolicyGradient"]
