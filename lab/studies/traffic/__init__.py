"""Studies of road agents."""
