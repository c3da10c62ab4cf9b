"""Organic and synthetic texts in one set, and how diverse each is."""
