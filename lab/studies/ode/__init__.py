"""Studies of diffusion models."""
