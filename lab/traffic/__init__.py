"""Road agents: graphs of who is near whom, their spectra, behaviour, and where everyone will be."""

from lab.parts import parts

__getattr__, __dir__ = parts(__name__)
