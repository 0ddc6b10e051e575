"""Studies of surfaces."""
