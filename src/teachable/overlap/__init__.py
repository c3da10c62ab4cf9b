"""Texts that overlap: near-duplicates, contamination by n-grams, and splits that respect both."""
