"""Studies of what data are worth."""
