"""The contract: what a study declares, and what it inherits."""
