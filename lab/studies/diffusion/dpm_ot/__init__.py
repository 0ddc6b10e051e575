"""DPM-OT (Li, Li, Wang, Lei, Luo, Gu, ICCV 2023) as a study."""

from .study import DPMOT

__all__ = ["DPMOT"]
