"""Runs of tokens inside and outside brackets."""

from __future__ import annotations

from collections.abc import Sequence as Several

from teachable.verify.maths.limits import Unread
from teachable.verify.maths.tokens import Token


def split(
    tokens: list[Token], kinds: Several[str], texts: Several[str] | None = None
) -> tuple[list[list[Token]], list[str]]:
    """The runs of tokens between those of the kinds (and texts) that stand outside brackets, and what stood there.

    Raises:
        Unread: brackets that do not match.
    """
    parts: list[list[Token]] = [[]]
    joints: list[str] = []
    depth = 0
    for token in tokens:
        if token.kind == "open":
            depth += 1
        elif token.kind == "close":
            depth -= 1
            if depth < 0:
                raise Unread("a bracket that was not opened")
        elif depth == 0 and token.kind in kinds and (texts is None or token.text in texts):
            parts.append([])
            joints.append(token.text if token.kind in ("relation", "sign") else token.kind)
            continue
        parts[-1].append(token)
    if depth:
        raise Unread("a bracket that is not closed")
    return parts, joints


def closing(tokens: list[Token], start: int) -> int:
    """Where the bracket that opens at `start` is closed; -1 where it is not."""
    depth = 0
    for at in range(start, len(tokens)):
        depth += {"open": 1, "close": -1}.get(tokens[at].kind, 0)
        if depth == 0:
            return at
    return -1


def matched(tokens: list[Token]) -> list[Token]:
    """Without one bracket at an end that has no partner, as "(5" and "5)" are left over from the text around them."""
    depth = [0]
    for token in tokens:
        depth.append(depth[-1] + {"open": 1, "close": -1}.get(token.kind, 0))
    if depth[-1] == 1 and tokens[0].kind == "open" and min(depth[1:]) == 1:
        return tokens[1:]
    if depth[-1] == -1 and tokens[-1].kind == "close" and min(depth[:-1]) == 0:
        return tokens[:-1]
    return tokens


def with_unions(tokens: list[Token]) -> list[Token]:
    """With the letter U between two brackets as the sign of a union."""
    return [
        Token("sign", "cup")
        if token.kind == "letter" and token.text == "U" and 0 < i < len(tokens) - 1 and tokens[i - 1].kind == "close"
        and tokens[i + 1].kind == "open"
        else token
        for i, token in enumerate(tokens)
    ]  # fmt: skip
