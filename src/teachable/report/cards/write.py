"""Model cards and data cards in the Hugging Face hub's format, each a README.md in the folder that would be uploaded.

A card is rewritten as long as it is ours: its mark holds the digest of its text, so one that somebody has edited, or
written by hand, is told from one that we wrote, and is left alone for good. A card is no result of a stage: nothing
that a stage reads, and no identity of a model, depends on it.

What a card does not say: a licence. Nobody told the run one, and a wrong licence does more harm than none.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teachable.report.cards.data import data_cards
from teachable.report.cards.model import model_cards
from teachable.report.gathering.load import RunReader
from teachable.report.gathering.reproduce import private_words, redacted
from teachable.report.markdown.text import blocks, front_matter
from teachable.store.files import write_text

CARD = "README.md"
_MARK = "<!-- Written from the run by teachable, {}. Edit this file and it is yours: it is not overwritten then. -->"
_FOUND = re.compile(re.escape(_MARK).replace(re.escape("{}"), "([0-9a-f]{64})"))
_UNKNOWN = "0" * 64


@dataclass(frozen=True)
class Cards:
    """The cards that stand as this run makes them, and those that are somebody's own and were left as they are."""

    written: tuple[Path, ...] = ()
    kept: tuple[Path, ...] = ()


def write_cards(reader: RunReader, facts: Mapping[str, Any]) -> Cards:
    """Write a card beside every model that the run has trained, and beside every data set that it has made.

    Args:
        reader: the run.
        facts: what `report.facts.gather` found in it.

    Raises:
        TeachableError: a file of the run is broken, or a folder can't be written.
    """
    words = private_words(reader.run)
    written, kept = [], []
    for folder, head, body in (*model_cards(reader, facts), *data_cards(reader, facts)):
        path = reader.run / folder / CARD
        if not path.parent.is_dir():
            continue
        if not may_write(path):
            kept.append(path)
            continue
        card = marked(redacted(dict(head), words), redacted(body, words))
        if not path.is_file() or path.read_bytes() != card.encode():
            write_text(path, card)
        written.append(path)
    return Cards(tuple(written), tuple(kept))


def marked(head: Mapping[str, Any], body: str) -> str:
    """A card's text, with a mark by which it is known as long as nobody changes it."""
    card = blocks([front_matter(head), _MARK.format(_UNKNOWN), body]) + "\n"
    return card.replace(_MARK.format(_UNKNOWN), _MARK.format(_digest(card)), 1)


def may_write(path: Path) -> bool:
    """Whether nothing is at `path`, or a card that is word for word one of ours."""
    if not path.exists() and not path.is_symlink():
        return True
    if path.is_symlink() or not path.is_file():
        return False
    card = path.read_bytes().decode("utf-8", "replace")
    found = _FOUND.search(card)
    return found is not None and found[1] == _digest(card[: found.start(1)] + _UNKNOWN + card[found.end(1) :])


def _digest(card: str) -> str:
    return hashlib.sha256(card.encode()).hexdigest()
