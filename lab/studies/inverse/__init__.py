"""Studies of inverse problems."""
