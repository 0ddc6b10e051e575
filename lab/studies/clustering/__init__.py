"""Studies of clustering."""
