"""Road agents (Chandra et al., RA-L 2020) as a study: traffic graphs, their spectra, behavior and forecasts."""

from .study import RoadAgents

__all__ = ["RoadAgents"]
