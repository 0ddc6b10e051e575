"""``make bench``: the side-by-side measurements that need no browser and take minutes, not hours."""

from benchmarks import sparse_ot, sweep

sparse_ot.main()
sweep.main(128, 256)
