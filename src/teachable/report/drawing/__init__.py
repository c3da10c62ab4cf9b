"""The sections of the page, drawn from facts."""
