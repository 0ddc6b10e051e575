"""Probability paths from a source to data: schedules, exact fields, sampling, likelihood, training."""
