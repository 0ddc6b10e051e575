"""What a data source is worth: performance of mixtures predicted by transport, and the best of them found."""

from lab.parts import parts

__getattr__, __dir__ = parts(__name__)
