"""The program in a response: the last fenced block with code in it, or the whole response where there is no fence.

Text inside `<think>` never counts. A fence that is never closed holds what follows it (the token limit may have cut the
closing one off). Blocks in the language asked for come before blocks without a language; blocks of other languages
(a shell session, sample output) never count. Where the last block defines nothing and an earlier one does, as with
usage examples after the solution, the last block that defines something is taken.
"""

from __future__ import annotations

import re
import textwrap

from teachable.verify.extract import spoken

_PYTHON = {"python", "py", "python3", "py3", "pycon"}
_PROSE = {"text", "txt", "output", "console", "bash", "sh", "shell", "json", "plaintext", "markdown", "md", "diff"}
_FENCE = re.compile(r"[ ]{0,3}(`{3,}|~{3,})[ ]*([^\s`{]*)")
_DEFINES = re.compile(r"^(?:async +def|def|class) ", re.MULTILINE)


def program_in(attempt: str, python: bool = True) -> str | None:
    """The program of a response, or None if there is none.

    Args:
        attempt: the response.
        python: whether a Python program is asked for; else a block in any language of programs counts.
    """
    text = spoken(attempt)
    blocks = _blocks(text)
    if not blocks:
        bare = text.strip("\n")
        return bare if bare.strip() else None
    tagged = [body for language, body in blocks if (language in _PYTHON if python else language not in _PROSE)]
    untagged = [body for language, body in blocks if not language]
    candidates = [body for body in (tagged or untagged) if body.strip()]
    if python and candidates:
        return next((body for body in reversed(candidates) if _DEFINES.search(body)), candidates[-1])
    return candidates[-1] if candidates else None


def _blocks(text: str) -> list[tuple[str, str]]:
    """The fenced blocks as (language, content), in order; one pass over the lines."""
    found: list[tuple[str, str]] = []
    mark, language, lines = "", "", [""]
    for line in text.split("\n"):
        fence = _FENCE.match(line)
        if not mark and fence is not None:
            mark, language, lines = fence[1], fence[2].lower(), []
        elif mark and line.strip() and not line.strip().strip(mark[0]) and len(line.strip()) >= len(mark):
            found.append((language, textwrap.dedent("\n".join(lines) + "\n")))
            mark = ""
        elif mark:
            lines.append(line)
    if mark:
        found.append((language, textwrap.dedent("\n".join(lines))))
    return found
