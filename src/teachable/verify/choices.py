"""The verifier `choice`: does the answer choose the option that the reference names?

An answer names an option by its letter ("B", "(b)", "B) Paris", "option b"), by its place ("the second one", "2nd") or
by its text ("Paris"); the longest text wins ("Paris, Texas" is not "Paris"). The reference may take any of these forms
too. What commits counts, not what is mentioned: "B because A is wrong" is B. Two choices are none, nor is a letter with
another option's text. "a dog" is not option A, nor the pronoun I option I.

What it does not protect against: a question whose options are neither in `meta["choices"]` nor listed in one of the
ways that `options` reads; then only letters, places and the reference's own text can be compared.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from teachable.records import Prompt, Verdict
from teachable.verify.boxes import unwrapped
from teachable.verify.choosing import Chosen, chosen, form, text_after_label
from teachable.verify.extract import NO_ANSWER, final, spoken
from teachable.verify.options import Options, options_of

# What commits where nothing else marks an answer: "the correct option is ..", "I choose ..", "Choice: ..".
_COMMITS = re.compile(
    r"\b(?:(?:option|choice|letter|alternative)(?:\s{1,3}(?:is|would be|must be|should be))?\s{0,3}:|"
    r"(?:option|choice|letter|alternative)\s{1,3}(?:is|would be|must be|should be)|"
    r"(?:i|we)(?:['’](?:d|ll)| would| will)?\s{1,3}(?:choose|pick|select|go with)|my (?:choice|pick) is)"
    r"\s{1,3}(?P<text>[^\n]{1,300})",
    re.IGNORECASE,
)
_FIRST_CHARS = 300
_SENTENCE_END = re.compile(r"(?<=\w\w)[.!?](?=\s|$)")


@dataclass(frozen=True)
class Choice:
    """Right when the answer chooses the option that the reference answer names, and no other."""

    name = "choice"

    async def verify(self, attempt: str, prompt: Prompt) -> Verdict:
        """Compare the option that `attempt` chooses with that of `prompt.answer`; `answer` is the option's label.

        Without a reference, with one that names none of the options, or where the options are needed and not known, it
        can't be told.
        """
        options = options_of(prompt)
        found = final(attempt)
        text = " | ".join(found.answers) or None
        if prompt.answer is None or not prompt.answer.strip():
            label = chosen(found.answers[0], options).label if len(found.answers) == 1 else None
            return Verdict(None, label or text, "there is no reference answer")
        wanted = chosen(prompt.answer, options)
        if options and wanted.label is None:
            return Verdict(None, text, "the reference answer names none of the options")
        if text is None:
            return Verdict(False, None, found.refused or NO_ANSWER)
        picks = [chosen(each, options) for each in found.answers]
        if len({pick.label for pick in picks}) > 1:
            return Verdict(False, text, "gives several different answers")
        pick = picks[0]
        if found.how == "line" and (pick.label is None or pick.how == "mention"):
            pick = _committed(spoken(attempt), options) or pick
        if found.refused and pick.how != "text":
            return Verdict(False, text, found.refused)
        if not options:
            return _without_options(found.answers[0], prompt.answer, pick, wanted)
        if pick.label is None:
            return Verdict(False, text, pick.reason)
        return _compared(pick.label, wanted.label)


def _committed(said: str, options: Options) -> Chosen | None:
    """The option of the last sentence that says "the correct option is ..", or that stands alone on the first line."""
    sentences = [_SENTENCE_END.split(each["text"], maxsplit=1)[0] for each in _COMMITS.finditer(said)]
    if sentences:
        pick = chosen(sentences[-1], options)
        return pick if pick.n_named else None
    first = said.lstrip()[:_FIRST_CHARS].partition("\n")[0]
    pick = chosen(first, options)
    own = form(text_after_label(first))
    return pick if pick.label and pick.how != "mention" and own in ("", form(options.get(pick.label, ""))) else None


def _compared(label: str, wanted: str | None) -> Verdict:
    right = label == wanted
    return Verdict(right, label, f"chooses {label}" if right else f"chooses {label} instead of {wanted}")


def _without_options(text: str, reference: str, pick: Chosen, wanted: Chosen) -> Verdict:
    """The verdict where the options are not known: letters are compared with letters, and texts with texts."""
    own, theirs = text_after_label(reference), text_after_label(text)
    if form(text) in (form(reference), form(own)):
        return Verdict(True, pick.label or text, "equals the reference answer")
    if pick.n_named > 1:
        return Verdict(False, text, pick.reason)
    if pick.label is None and wanted.label is None:
        return Verdict(False, text, "differs from the reference answer")
    if pick.label is not None and wanted.label is not None:
        if own and theirs and form(own) != form(theirs):
            return Verdict(False, text, "differs from the reference answer")
        return _compared(pick.label, wanted.label)
    if wanted.label is not None and not re.search(r"[A-Za-z]{3}", unwrapped(text)):
        return Verdict(False, text, pick.reason)
    return Verdict(None, text, "a letter and a text can't be compared, as the options are not known")
