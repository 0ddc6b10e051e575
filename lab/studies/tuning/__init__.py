"""Studies of tuning hyperparameters."""
