"""Studies of diverse sampling."""
