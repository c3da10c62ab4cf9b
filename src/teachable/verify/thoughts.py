"""What a response says, as against what it thinks.

Thoughts stand between tags: <think>, <thinking>, <thought>, <reasoning>, <reflection>, <scratchpad> (attributes or
not), [THINK], ◁think▷, <|begin_of_thought|>, and in harmony's channels. A thought that is never closed goes to the end;
one that is closed without having been opened began before the text (chat templates put the opening tag into prompts).
Time is linear in the text's length.

What it does not protect against: thoughts that nothing marks, and a response that speaks of such tags in its own words.
"""

from __future__ import annotations

import re
from collections import Counter

_ANGLED = r"think|thinking|thoughts?|reasoning|reflection|scratchpad|seed:think"
_THOUGHT = re.compile(
    rf"<(?P<close>/)?(?P<angled>{_ANGLED})(?:\s[^<>]{{0,200}})?>"
    r"|\[(?P<close2>/)?(?P<square>THINK)\]|◁(?P<close3>/)?(?P<turned>think)▷"
    r"|<\|(?:begin|(?P<close4>end))_of_(?P<piped>thought)\|>",
    re.IGNORECASE,
)
_CHANNEL = re.compile(r"<\|channel\|>[ \t]{0,9}([a-z]{1,20})[^<]{0,99}<\|message\|>")
_ENDINGS = re.compile(r"<\|[A-Za-z_]{1,30}\|>|</s>|<eos>|<end_of_turn>")


def spoken(text: str) -> str:
    """The text without thoughts: nested, never closed, or opened before the text began (by a chat template)."""
    kept: list[str] = []
    open_tags: list[str] = []
    n_open: Counter[str] = Counter()
    place = doubled_until = 0
    for tag in _THOUGHT.finditer(text):
        name = next(filter(None, tag.group("angled", "square", "turned", "piped"))).lower()
        closes = any(tag.group("close", "close2", "close3", "close4"))
        if not open_tags:
            kept.append(text[place : tag.start()])
        if not closes:
            # A template's opening tag that the model repeats at once is one tag, not two.
            if not (open_tags and open_tags[-1] == name and not text[doubled_until : tag.start()].strip()):
                open_tags.append(name)
                n_open[name] += 1
            doubled_until = tag.end()
        elif n_open[name]:
            while (inner := open_tags.pop()) != name:
                n_open[inner] -= 1
            n_open[name] -= 1
        elif not open_tags:
            kept.clear()
        place = tag.end()
    if not open_tags:
        kept.append(text[place:])
    return _said_finally("".join(kept))


def _said_finally(text: str) -> str:
    """Of a response in channels (harmony's format) the last one named final; and no end-of-turn tokens."""
    channels = list(_CHANNEL.finditer(text))
    if channels:
        last = channels[-1]
        text = text[last.end() :] if last[1] == "final" else text[: channels[0].start()]
    return _ENDINGS.sub("", text) if "<" in text else text
