"""What several fields share: the iteration loop, selection, projections."""

from lab.numerics.iterate import Chunked, Loop, Method, NotConverged, Progress, Reason, Report, Run, pure, tell

__all__ = ["Chunked", "Loop", "Method", "NotConverged", "Progress", "Reason", "Report", "Run", "pure", "tell"]
