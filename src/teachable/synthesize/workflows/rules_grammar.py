"""Sentences by a small grammar: each symbol in braces is replaced by one of its phrasings, until only text is left.

A symbol is chosen once a text: wherever it stands again it reads the same, so that a part of the text (the hypothesis
of a question) can be pointed at afterwards.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

Grammar = Mapping[str, Sequence[str]]

_SYMBOL = re.compile(r"\{([a-z_]+)\}")
_MAX_DEPTH = 20


def expand(
    grammar: Grammar, symbol: str, values: Mapping[str, object], rng: random.Random
) -> tuple[str, dict[str, str]]:
    """A text of the grammar.

    Args:
        grammar: symbol -> its phrasings, equally likely.
        symbol: where to begin.
        values: what other names in braces stand for: numbers, letters.
        rng: decides the phrasings.

    Returns:
        the text, and what each symbol in it became.

    Raises:
        ValueError: a name is neither a symbol nor a value, or a symbol leads back to itself.
    """
    chosen: dict[str, str] = {}

    def text_of(name: str, depth: int) -> str:
        if name in values:
            return str(values[name])
        if name not in grammar:
            raise ValueError(f"the grammar has no {name!r}")
        if depth > _MAX_DEPTH:
            raise ValueError(f"the grammar's {name!r} leads back to itself")
        if name not in chosen:
            phrasing = rng.choice(list(grammar[name]))
            chosen[name] = _SYMBOL.sub(lambda found: text_of(found[1], depth + 1), phrasing)
        return chosen[name]

    return text_of(symbol, 0), chosen
