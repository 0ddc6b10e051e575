"""Studies of survival."""
