"""Which single tokens make or break a solution? Pivotal token search, and preference pairs from what it finds."""

from teachable.pivot.config import PivotConfig
from teachable.pivot.found import Alternative, Gated, Pivot, Searched, SearchResult
from teachable.pivot.search import search

__all__ = ["Alternative", "Gated", "Pivot", "PivotConfig", "SearchResult", "Searched", "search"]
