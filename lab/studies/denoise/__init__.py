"""Studies of denoisers."""
