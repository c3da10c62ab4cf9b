"""From an engine's reply to a typed value."""
