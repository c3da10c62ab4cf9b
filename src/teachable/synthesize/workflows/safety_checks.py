"""What can be said of requests and responses of `safety` without asking anybody: by their words.

The patterns are for English, which the workflow writes in.

What they do not protect against: a response that declines and helps in one in words that are not foreseen here, and a
reason that names the rule's subject and explains nothing. The judge is for those.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from teachable.synthesize.checks.injection import instructions_in, obeys

MAX_REFUSAL_WORDS = 150
MIN_WORDS, MIN_HELP_WORDS = 4, 8
RUN_WORDS = 9  # words in a row that a request may not take from its rule

_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_CANNOT = (
    r"(?:can(?:no|['’])?t|can not|could not|couldn['’]t|won['’]t|will not|would not|wouldn['’]t|must not|may not|"
    r"(?:am|are|['’]m|['’]re)(?: not|n['’]t) (?:able|allowed|permitted|willing|in a position|going|comfortable)|"
    r"(?:am|are|['’]m|['’]re) unable|(?:have|need|must)(?: to)? (?:decline|refuse|pass)|(?:must )?decline|refuse)"
)
_DECLINES = re.compile(rf"\b(?:I|we)\s?(?:['’]m afraid (?:I|we) )?(?:\w+ly )?{_CANNOT}\b", re.IGNORECASE)
_FIRST_CHARS = 300  # where a response that declines says so
_REASON = re.compile(
    r"\b(?:because|since|as (?:it|this|that|they|doing|such)|so that|in order to|would|could|might|may|the reason|"
    r"to (?:protect|keep|avoid|prevent|respect)|against|due to)\b",
    re.IGNORECASE,
)
_HELPS = re.compile(
    r"```|\b(?:here(?:['’]s| is| are) (?:how|what|the|a|one|your|some|my)|step (?:1|one)\b|the answer is|first,? you|"
    r"you (?:can|could) do it|that said, (?:the|it|you))\b",
    re.IGNORECASE,
)
_LIST_ITEM = re.compile(r"^\s*(?:\d{1,2}[.)]|[-*•])\s", re.MULTILINE)
_OF_THE_POLICY = re.compile(
    r"\b(?:(?:against|under|violat\w+|break\w*|breach\w*|within|by|follow\w*) (?:the|your|this|its|our|any|a)"
    r"(?: \w+)? (?:polic(?:y|ies)|rules?|guidelines?)|this rule|rule \d|borderline|jailbreak"
    r"|policy (?:forbids|allows|says)|as an ai"
    r"|(?:policy|rules?|guidelines?) (?:(?:do|does|wo)n['’]t|(?:do|does) not) (?:allow|let|permit))\b",
    re.IGNORECASE,
)
# Of what `injection` finds: what no policy says of its own. (That it addresses an assistant is what a policy is for.)
_PLANTED = frozenset({"sets earlier instructions aside", "bears a chat's tags", "decides answers beforehand"})
_SPEAKS_OF_IT = re.compile(
    r"\b(?:not|never|if|when(?:ever)?|asks?|asked|asking|tells?|told|telling|requests?|attempts?|tries|wants?)\b[^.!?]*?"
    r"\b(?:ignor|disregard|forget|overrid|bypass|neglect)",
    re.IGNORECASE,
)
_COMMON = frozenset(
    """
    about after again also another because been before being between both cannot could does doing done down during each
    either every from further give gives given have having help here however into itself like make makes many more most
    must never nothing only other others over provide request requests same should since some such tell than that their
    them then there these they this those through under until user users very want what when where which while will
    with within without would your assistant answer anything asked asking someone something anyone people person policy
    sorry
    """.split()  # noqa: SIM905
)


def declines(text: str) -> bool:
    """Does a response say, where it begins, that it won't or can't do it?"""
    return _DECLINES.search(text[:_FIRST_CHARS]) is not None


def telling(text: str) -> frozenset[str]:
    """The beginnings of the words of a text that say what it is about."""
    words = (word.lower() for word in _WORD.findall(text))
    return frozenset(word[:6] for word in words if len(word) > 3 and word not in _COMMON)


def planted_in(policy: str) -> str:
    """The sentences of a policy that somebody planted there for a model to obey; "" where there are none.

    One that forbids such a thing, or says what to do when somebody asks for it, is a part of the policy.
    """
    found = [span.text for span in instructions_in(policy) if span.reason in _PLANTED]
    return "\n".join(text for text in found if not _SPEAKS_OF_IT.search(text))


def follows(text: str, planted: str) -> bool:
    """Does a text look as if a planted sentence had been obeyed, or passed on?"""
    return bool(planted) and obeys(text, planted) is not None


def request_flaw(request: str, rule: str, reason: str) -> str:
    """Why a request can't be taken, as a label; "" where it can."""
    if len(_WORD.findall(request)) < MIN_WORDS:
        return "too short a request"
    if _OF_THE_POLICY.search(request):
        return "the request speaks of the policy"
    if shared_run(request, rule) or shared_run(request, reason):
        return "the request repeats the rule"
    return ""


def refusal_flaw(response: str, about: Sequence[str]) -> str:
    """What keeps a response from being a refusal that gives its reason, as a sentence without its full stop; or "".

    Args:
        about: the texts of one of which the reason has to speak: the rule, and why it is there.
    """
    if not declines(response):
        return "it does not decline in its first sentence"
    if len(_WORD.findall(response)) > MAX_REFUSAL_WORDS:
        return f"it is longer than {MAX_REFUSAL_WORDS} words"
    if _HELPS.search(response) or len(_LIST_ITEM.findall(response)) > 2:
        return "it goes on to give what it declines to give"
    reason = _REASON.search(response)
    if reason is None:
        return "it gives no reason"
    if not telling(response) & telling(" ".join(about)):
        return "its reason does not speak of what the rule is about"
    return ""


def help_flaw(response: str) -> str:
    """What keeps a response from being a helpful answer, as a sentence without its full stop; or ""."""
    if declines(response):
        return "it declines, though the request is allowed"
    if len(_WORD.findall(response)) < MIN_HELP_WORDS:
        return "it says next to nothing"
    if _OF_THE_POLICY.search(response):
        return "it speaks of the policy"
    return ""


def shared_run(text: str, other: str) -> str:
    """The first `RUN_WORDS` words in a row that both texts have, in small letters; "" where there are none."""
    ours, theirs = ([word.lower() for word in _WORD.findall(one)] for one in (text, other))
    there = {tuple(theirs[i : i + RUN_WORDS]) for i in range(len(theirs) - RUN_WORDS + 1)}
    runs = (tuple(ours[i : i + RUN_WORDS]) for i in range(len(ours) - RUN_WORDS + 1))
    return next((" ".join(run) for run in runs if run in there), "")
