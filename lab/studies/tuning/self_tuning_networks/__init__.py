"""Self-tuning networks (MacKay, Vicol, Lorraine, Duvenaud, Grosse, ICLR 2019) as a study."""

from .study import SelfTuningNetworks

__all__ = ["SelfTuningNetworks"]
