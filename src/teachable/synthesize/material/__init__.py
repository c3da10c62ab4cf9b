"""Organic material: documents of the user's own, cut into passages and pieces of code."""
