"""Does a text that grows token by token contain a stop string yet? Without reading it again from the start each time.

Only a tail of the tokens is decoded at each step. It begins at a token from which on there was, when it was chosen,
more text than any stop string is long, so a stop string that spans tokens, or whose characters do, lies inside it.
What the tail shows is confirmed on the whole text, so a tail that decodes differently for want of its beginning stops
nothing by mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

# Characters of text kept before the newest token beyond the longest stop string: the last ones may still change, since
# a character's bytes may be spread over tokens, and a tokenizer may drop a space where decoding begins.
SLACK = 8
REACH = 32  # characters more than needed before the tail is shortened


class StopWatch:
    """Watches one sample.

    Args:
        stops: the stop strings; empty ones never stop anything.
        decode: token ids to text.
    """

    def __init__(self, stops: Sequence[str], decode: Callable[[list[int]], str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._decode = decode
        self._need = max(map(len, self._stops), default=0) + SLACK
        self._start = 0

    def stopped(self, tokens: Sequence[int]) -> bool:
        """Whether these tokens, which are the former ones and some more, contain a stop string."""
        if not self._stops:
            return False
        tail = self._decode(list(tokens[self._start :]))
        if cut(tail, self._stops) < len(tail) and cut(whole := self._decode(list(tokens)), self._stops) < len(whole):
            return True
        if len(tail) > self._need + REACH:
            self._shorten(tokens)
        return False

    def _shorten(self, tokens: Sequence[int]) -> None:
        """Begin the tail as late as there is still enough text in it."""
        n = self._need
        while n < len(tokens) - self._start:
            if len(self._decode(list(tokens[-n:]))) >= self._need:
                self._start = len(tokens) - n
                return
            n *= 2


def cut(text: str, stops: Sequence[str]) -> int:
    """Where the first stop string begins in the text; the text's length if there is none."""
    return min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=len(text))
