"""Can the answer be read off the prompt? Then solving it teaches nothing, and so it is dropped.

Models that are asked for a question and its answer like to let the one slip into the other. A prompt leaks its answer
where that is near certain, which is so in these cases only:

- it is marked: "the answer is 4", "(Answer: 4)", "Hint: it is 4", "#### 4", a box with it, "(correct)" at an option;
- what is asked for is set equal to it: "f(3) = 7. Find f(3)", "The capital of France is Paris. What is the capital of
  France?";
- it is text (two words, or four letters) and stands in the sentence that asks;
- a sentence states it in the words of the question; of a number only where the prompt names no other.

Text that is offered to choose from, quoted, listed, or to be worked on ("sort", "rewrite", "which of") leaks nothing,
nor do the examples of a prompt. Where the answer is a rubric or tests, there is nothing to leak.

What it does not protect against: answers that follow at once without being stated, paraphrases of them, languages other
than English but for the marks that need no words, and reading exercises: an answer that stands in a passage is found
there only in the question's own words. Control by experiment where that matters (`Output.leak_checked`): ask without
the decisive condition, or look whether a small model solves it at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence

from teachable.overlap.near import normalise
from teachable.verify.boxes import unwrapped
from teachable.verify.strings import as_number, canonical

MARKED, EQUATED, ASKED, STATED = (
    "the prompt gives it as the answer",
    "the prompt sets what is asked equal to it",
    "the question itself says it",
    "a sentence of the prompt states it in the question's words",
)
NOT_GOLD = frozenset({"code", "judge", "graded", "duel"})  # verifiers whose reference is a rubric or tests
MIN_LETTERS = 4  # of one word that counts as a textual answer
MAX_ANSWER_CHARS = 200  # of an answer that is looked for in sentences
MIN_SHARED = 0.8  # least share of a question's telling words in a sentence that states its answer
MAX_ASKED = 20  # things that a prompt asks for, the last ones
_EXAMPLE_CHARS = 400  # before a mark: as far as an example reaches

_GIVES = r"(?:is|was|=|:|equals|would be|will be|must be|should be|->|→)"
_MARK = re.compile(
    rf"\b(?:answer|ans)\b\.?(?:\s(?:here|to this(?: question| problem)?|key))?\s?{_GIVES}"
    rf"|\bsolution\s?:|\b(?:hint|spoiler)\s?:(?:\s(?:it is|it's|the answer is|think of))?"
    rf"|\bcorrect (?:option|choice|value|result)\s?{_GIVES}|####|\\f?box(?:ed)?\{{|<answer>"
)
_EXAMPLE = re.compile(r"\b(?:examples?|e\.g\.|for instance|demonstrations?|sample (?:in|out)put|like this)\b")
# What shows that a value is not what a mark gives: it goes on, or is a condition ("yes if", "3 or 4", "3 digits").
_NO_MORE = re.compile(
    r"(?!\s?[-+*/^×÷<>=|]\s?[\w(\\])(?![\w%°])(?![.,:]\d)"
    r"(?!['\"”’`*_]*,?\s(?:or|and|if|when|unless|otherwise|followed|more|less|fewer|greater|times|plus|minus|percent|"
    r"digits?|decimals?|words?|letters?|characters?|sentences?|lines?|significant|to|through)\b)"
    r"(?!['\"”’`*_]*\s?/)"
)
_OPENING = re.compile(
    r"[\s$\"'“‘`*_(\[{:~≈=£€]{0,9}(?:\\[(\[]\s?|\\text\{)?(?:the (?:number|word|letter|value|option) )?"
)
_ALONE = re.compile(r"\s?(?:[.,;:!)\]}*'\"”’`]|\Z)")  # after a single letter, which else may be an article
_CORRECT = re.compile(r"\((?:the )?correct(?: answer| one| option)?\)|\[correct\]|[✓✔✅]|<-+|←")
_OPTION = re.compile(r"[>*-]?\s?(?:[(\[]?(?P<label>\w)[)\].:]\s?)?(?P<text>.*)")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:/\d+)?")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_SENTENCE = re.compile(r"(?<=[.!?])[\"')\]”]*\s+|\n+")
_ASKS = re.compile(
    r"\b(?:what|find|compute|calculate|determine|evaluate|solve for|give|state|name|how (?:many|much))\b"
    r"(?:\s(?:is|are|was|were|does|do))?(?:\s(?:the value of|equal to))?\s?:?\s?(?P<what>[^?!;\n]{1,120})"
)
_IS = re.compile(r"[$\s)\\]{0,3}(?:=|equals|is|was|:)[$\s(\\]{0,3}(?:the |equal to )?")
_PART = re.compile(r"(?:[\w^*/+.\\-]|[-+*/^=]\s)\Z")  # before something that is only a part of an expression
_JOINED_BEFORE, _JOINED_AFTER = re.compile(r"[\w.-]"), re.compile(r"\w|[.,]\d")
_CALLED = re.compile(r"['\"”’`*$)]{0,2},? (?:which )?(?:is|was) (?:the|its) (?:\w+ )?answer\b")
_CONDITION = re.compile(r",|\.(?!\d)|\s(?:if|when|given|where|such that|provided|knowing|in terms)\s")
# Words of questions in which an answer may stand without being given: something is chosen, or text is worked on.
_WORKS_ON = re.compile(
    r"\b(?:which|who|whose|whom|choose|select|pick|identify|classify|true|false|yes|no|either|whether|between|among|"
    r"sort|order|arrange|rearrange|reverse|rewrite|rephrase|translate|paraphrase|summari[sz]e|correct|fix|edit|convert|"
    r"transform|replace|remove|extract|spell|unscramble|decode|decrypt|encode|encrypt|count|complete|continue|repeat|"
    r"capitali[sz]e|word|words|letters?|string|list|sentence|sequence|anagram|palindrome|rhymes?|options?|following|"
    r"written|print|prints|output|return|returns)\b"
)
_WORKS_OUT = re.compile(
    r"\b(?:round|rounded|absolute|simplif\w*|evaluate|compute|calculate|value|power|roots?|factorial|convert|express|"
    r"write|written|mod\w*|digits?|ceil\w*|floor|log\w*|divis\w*|factors?|multiples?|prime|square|cube|nearest|product|"
    r"sum|ratio|reduce|mean|median|average|percent\w*|sqrt|remainder|quotient|numeral|binary|decimal|hexadecimal)\b|[|\\^]"
)
_LISTS = re.compile(r"[,;/&|]|\b(?:or|and|nor|not|vs)\b")
_PLAIN_TEXT = """
a an the is are was were be been do does did have has had can could would will of in on at to for from by with and or as
it its this that these those there their his her your our my what which who whom whose when where why how many much name
find give state tell called please answer question following determine compute calculate
"""
_PLAIN_WORDS = frozenset(_PLAIN_TEXT.split())
_TELLING = re.compile(r"[^\W\d_]+")


def leak(question: str, answer: str, verifier: str = "math", choices: Collection[str] = ()) -> str | None:
    """Why the answer can be read off the question; None where it is not near certain.

    Args:
        question: the whole prompt.
        answer: the reference answer, as its verifier takes it.
        verifier: its name.
        choices: what the question offers to choose from, beside what it lists itself.
    """
    answer = unwrapped(answer).strip()
    if verifier in NOT_GOLD or not answer:
        return None
    plain = _THOUSANDS.sub("", normalise(question))
    form = _form(answer)
    if not form or form not in plain:
        return None
    if _marked(plain, form):
        return MARKED
    if len(form) > MAX_ANSWER_CHARS:
        return None
    if choices or verifier == "choice":
        return MARKED if _ticked(question, form) else None
    if _equated(plain, form):
        return EQUATED
    sentences = [_THOUSANDS.sub("", one) for one in map(normalise, _SENTENCE.split(question)) if one]
    return _stated(sentences, plain, form)


def _form(answer: str) -> str:
    """An answer as it stands in a normalised text: a number without thousands' commas, text without its wrapping."""
    plain = normalise(answer)
    bare = _THOUSANDS.sub("", plain.strip("$€£ .,;:!?\"'`*"))
    return as_number(bare) or canonical(bare)


def _marked(plain: str, form: str) -> bool:
    """Whether the text gives this as the answer, outside its examples."""
    for mark in _MARK.finditer(plain):
        opening = _OPENING.match(plain, mark.end())
        last = opening.end() if opening else mark.end()
        is_given = any(_ends(plain, begin, form) for begin in range(mark.end(), last + 1))
        if is_given and not _in_example(plain, mark.start()):
            return True
    return any(_CALLED.match(plain, end) and not _in_example(plain, begin) for begin, end in _whole(plain, form))


def _ends(plain: str, begin: int, form: str) -> bool:
    """Whether the answer stands at a place, and ends there."""
    if not plain.startswith(form, begin):
        return False
    end = begin + len(form)
    is_letter = len(form) == 1 and form.isalpha()
    return _NO_MORE.match(plain, end) is not None and (not is_letter or _ALONE.match(plain, end) is not None)


def _in_example(plain: str, place: int) -> bool:
    return _EXAMPLE.search(plain, max(0, place - _EXAMPLE_CHARS), place) is not None


def _ticked(question: str, form: str) -> bool:
    """Whether one option alone is marked as the correct one, and it is the answer."""
    lines = [line for line in map(normalise, question.splitlines()) if _CORRECT.search(line)]
    if len(lines) != 1:
        return False
    option = _OPTION.match(_CORRECT.sub("", lines[0]).strip())
    return option is not None and form in (option["label"], canonical(option["text"]))


def _equated(plain: str, form: str) -> bool:
    """Whether what is asked for is set equal to the answer: both as they are written, white space aside."""
    asked = (_CONDITION.split(ask["what"], maxsplit=1)[0].strip(" .:$`*\"'\\()") for ask in _ASKS.finditer(plain))
    whats = dict.fromkeys(what.removeprefix("the ").removeprefix("value of ") for what in asked)
    for what in list(whats)[-MAX_ASKED:]:
        if not what or what == form:
            continue
        for begin, end in _found(plain, what):
            set_equal = _IS.match(plain, end)
            if set_equal and not _PART.search(plain[max(0, begin - 2) : begin]) and _ends(plain, set_equal.end(), form):
                return True
    return False


def _stated(sentences: Sequence[str], plain: str, form: str) -> str | None:
    """Whether the sentence that asks names the answer, or another one states it in the same words."""
    is_number = _NUMBER.fullmatch(form) is not None
    if is_number:
        if len(_NUMBER.findall(plain)) != 1:
            return None
    elif len(form.split()) < 2 and sum(map(str.isalpha, form)) < MIN_LETTERS:
        return None
    place = next((i for i in reversed(range(len(sentences))) if "?" in sentences[i]), len(sentences) - 1)
    asks = sentences[place]
    if "?" not in asks and not _ASKS.search(asks):
        return None
    if (_WORKS_OUT if is_number else _WORKS_ON).search(asks):
        return None
    if _names(asks, form):
        return ASKED if is_number or not _LISTS.search(asks) else None
    telling = _telling(asks)
    if len(telling) < 2:
        return None
    others = [one for i, one in enumerate(sentences) if i != place and _names(one, form) and not _LISTS.search(one)]
    shared = max((len(telling & _telling(one)) for one in others), default=0)
    return STATED if shared >= MIN_SHARED * len(telling) else None


def _telling(sentence: str) -> set[str]:
    """The words of a sentence that tell something, without their plural's s."""
    return {word.rstrip("s") for word in _TELLING.findall(sentence) if len(word) > 1 and word not in _PLAIN_WORDS}


def _names(sentence: str, form: str) -> bool:
    """Whether a sentence holds the answer in whole words, and not in quotes."""
    for begin, _ in _whole(sentence, form):
        if sentence[:begin].count('"') % 2 == 0 and sentence[max(0, begin - 1)] not in "'‘“`":
            return True
    return False


def _whole(text: str, form: str) -> Iterator[tuple[int, int]]:
    """Where an answer stands in whole words, and is not part of a number."""
    for begin, end in _found(text, form):
        if not _JOINED_BEFORE.search(text[max(0, begin - 1) : begin]) and not _JOINED_AFTER.match(text, end):
            yield begin, end


def _found(text: str, part: str) -> Iterator[tuple[int, int]]:
    begin = text.find(part)
    while begin >= 0:
        yield begin, begin + len(part)
        begin = text.find(part, begin + len(part))
