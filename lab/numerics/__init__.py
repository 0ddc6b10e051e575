"""What several fields share: the iteration loop, selection, projections."""

from lab.numerics.iterate import Chunked, Loop, Method, Progress, Reason, Report, Run, pure

__all__ = ["Chunked", "Loop", "Method", "Progress", "Reason", "Report", "Run", "pure"]
