"""Model cards and data cards in the hub's format, filled in from the run."""
