"""Studies of probability paths."""
