"""Studies of the stability of SGD."""
