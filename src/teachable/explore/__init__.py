"""Exploring: which mix of data and which settings are worth a long run, found on short ones."""
