"""``make bench``: the side-by-side measurements that need no browser and take minutes, not hours."""

from benchmarks import compile, sparse_ot, sweep

sparse_ot.main([])
sweep.main([])
compile.main(["draws"])
compile.main(["loops"])
