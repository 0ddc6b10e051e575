"""Studies of optimal transport."""
