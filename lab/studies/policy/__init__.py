"""Studies of learning a policy."""
