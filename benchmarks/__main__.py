"""``make bench``: every side-by-side measurement that needs no browser."""

from benchmarks import sparse_ot

sparse_ot.main()
