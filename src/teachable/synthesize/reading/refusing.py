"""Does a reply decline to do what was asked?

Told by its beginning, and only in a short reply: "I'm sorry, but I can't help with that." A text that speaks of
declining ("She said she couldn't help"), a solution that says what can't be done ("I cannot factor this, so ..."), and
a reply that goes on to give an answer are none. English in many wordings, the usual sentence in some other languages.

What it does not protect against: a refusal that takes a page, or that is none in its words (an empty promise, a change
of subject); those have no proof to show.
"""

from __future__ import annotations

import re

MAX_CHARS = 700  # of a refusal
_DOING = (
    r"(?:help|assist|aid|comply|fulfi?ll?|satisfy|accommodate|provide|proceed|participate|engage|support|produce"
    r"|generate|create|write|answer|respond|reply|complete|continue|translate|discuss|share|offer|give|do|perform"
    r"|process|take part|carry out|follow|solve|make|supply|creating|writing|providing|helping|answering|discussing)"
)
# What somebody declines: this, not a thing of the task's own.
_THAT = (
    r"(?:that|this|these|those|it|you|your|such|any|the (?:request|question|task|prompt|passage|text|answer|content)"
    r"|requests?|content|instructions?|information|an? (?:answer|response|reply|solution|question|exercise)"
    r"|with|further|harmful|illegal)"
)
_CANNOT = (
    r"(?:can ?not|can't|could not|couldn't|(?:am|'m) (?:unable|not able|not allowed|not permitted) to"
    r"|(?:am|'m) not comfortable|will not|won't|would not|wouldn't|(?:must|have to|need to) decline to"
    r"|(?:do not|don't) feel comfortable)"
    r"(?: \w+ly| in good conscience)?"
)
_SORRY = (
    r"(?:(?:(?:i'm|i am|we're|we are)?(?: (?:very|so|really|truly))? ?sorry|i (?:sincerely )?apologi[sz]e"
    r"|(?:my )?apologies|unfortunately|regrettably|i regret"
    r"|as an? (?:ai|artificial intelligence|large|language|helpful|responsible)\b[^.!?\n]{0,60}?)"
    r"(?: (?:for|about|that)[^,.!?\n]{0,60})?[,.!:;]? (?:but |and |however,? )*)"
)
_REFUSAL = re.compile(
    rf"(?:(?:hello|hi|thank you|thanks)\b[^.!?\n]{{0,60}}[.!,] )?(?:"
    rf"{_SORRY}{{1,3}}i ?{_CANNOT} {_DOING}\b"
    rf"|{_SORRY}{{1,3}}(?:this|that|the) (?:request|task|question|content|prompt)?[^.!?\n]{{0,80}}"
    r"\b(?:against|not allowed|not permitted|violates?|can't be|cannot be)\b"
    rf"|i ?{_CANNOT} (?:{_DOING}(?: \w+ly)? {_THAT}\b|(?:help|assist|comply|proceed)[.!])"
    r"|i (?:(?:must|have to|need to|will have to|respectfully|politely) ){1,3}(?:decline|refuse)\b"
    r"|i refuse to (?:answer|help|assist|do|write|create)\b|(?:i would|i'd) rather not (?:answer|say|help|do)\b"
    r"|(?:this|that|your) (?:(?:request|prompt|question) )?(?:goes against|violates|is not something i can)\b"
    r"|(?:request|reply) (?:denied|refused)\b"
    r"|(?:es tut mir leid|tut mir leid|leider)[,.]?(?: aber)? (?:ich )?(?:kann|darf)\b[^.]{0,80}\bnicht\b"
    r"|(?:lo siento|disculpa|lamento)[,.]?(?: pero)? (?:no puedo|no me es posible)"
    r"|(?:je suis désolée?|désolée?)[,.]?(?: mais)? je ne (?:peux|suis)"
    r"|(?:mi dispiace|spiacente)[,.]?(?: ma)? non posso|(?:desculpe|sinto muito|lamento)[,.]?(?: mas)? não posso"
    r"|(?:对不起|抱歉|很抱歉|非常抱歉)[，,、]?(?:但|我|作为)[^。]{0,20}(?:无法|不能|不便)|申し訳(?:ありません|ございません)"
    r"|作为(?:一个|一名)?(?:ai|人工智能)[^。]{0,20}(?:无法|不能)|我(?:无法|不能)(?:协助|帮助|满足)"
    r"|(?:извините|к сожалению|простите)[,.]?(?: но)? я не (?:могу|имею)"
    r")"
)
# What shows that an answer comes all the same, or that somebody else is speaking.
_CONTENT = re.compile(
    r"\\boxed|\banswer(?:s)?\s*(?:is|:|=)|\btherefore\b|\bso (?:the|we|it)\b|\binstead, (?:we|let)|```"
    r"|\bhelp (?:but|myself|wondering|noticing|feeling|thinking)\b"
)
_APOSTROPHES = str.maketrans("’‘ʼ`", "''''")
_MARKUP = str.maketrans("", "", "*_#>")


def refuses(text: str) -> bool:
    """The text is a short reply that declines; what it thought beforehand is not to be in it."""
    said = text.strip()
    if not said or len(said) > MAX_CHARS:
        return False
    plain = " ".join(said.translate(_APOSTROPHES).lower().translate(_MARKUP).split())
    return _REFUSAL.match(plain) is not None and _CONTENT.search(plain) is None
