"""The workflow `translate`: prompts into other languages, each proved by the way back.

A prompt goes into each of the languages by itself. `translate` asks for every message, and a translation that lost a
number, a formula or a name, or is not in the language, is asked for again with what is wrong with it. `back` has the
translation translated back by one who does not see the original, and compares the two by chrF (Popović 2015), which
has to reach a stated bar; numbers and names must come back in their order. `answer` keeps what is the same in every
language (numbers, formulas, labels of options) as it is; an answer in words is translated, translated back, and must
come back as it was. With `k`, `solve` has that many solvers answer the translation, most of whom must give the answer:
the one check that sees a denial that got lost.

Translation followed by the way back as the check of its fidelity is an old practice (Brislin 1970, "Back-translation
for cross-cultural research"); what is compared, and how, is ours.

Prompts come out without responses: `answers` and `responses` make those in the new language. The bar on chrF is a
convention: two different questions have 0.1 to 0.3, close paraphrases 0.65 to 0.8, so 0.6 lets a free way back pass and
no other question. It was not measured on a real translator.

What it does not protect against: a translator that errs and undoes its error on the way back, which is likeliest where
one model does both (give the role `reader` another one); a word with two meanings; and, without solvers, a denial that
got lost, which chrF hardly sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from teachable.records import Message, Prompt
from teachable.synthesize.asking import StepContext
from teachable.synthesize.checks.fidelity import chrf
from teachable.synthesize.checks.language import language_of
from teachable.synthesize.checks.voting import voted
from teachable.synthesize.graph import Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Many, Output
from teachable.synthesize.workflows.translate_checks import answer_flaw, back_flaw, flaw, worded
from teachable.synthesize.workflows.translate_languages import LANGUAGES, language_name
from teachable.verify.choosing import chosen
from teachable.verify.judging import JUDGED
from teachable.verify.options import options_in, options_of
from teachable.verify.strings import canonical

HERE, APART, BOUND = (
    "already in that language",
    "its choices stand apart from its question",
    "its verifier is bound to one language",
)
ELSEWHERE, ANSWER = "the way back leads elsewhere", "the answer does not fit the translation"
UNSOLVED, OTHER = "samples disagree", "solvers come to another answer"
MIN_AGREEMENT = 0.5  # share of the k solvers
_TEXTUAL = ("math", "exact", "choice")  # verifiers whose answers can be put into another language


class TranslateOptions(Options):
    """Settings of `translate`."""

    languages: tuple[str, ...] = Field(
        ("de", "fr", "es"), min_length=1, description="ISO 639-1 codes of the languages that prompts go into"
    )
    source: str = Field("", description="the code of the prompts' own language; empty: told by their text, else en")
    min_chrf: float = Field(
        0.6, ge=0, le=1, description="likeness (chrF, 0 to 1) that the way back has to have with the original"
    )
    tries: int = Field(2, ge=1, description="how often a translation is asked for that is not faithful")
    k: int = Field(
        0, ge=0, description="solvers of the translation, half of whom have to give the answer; 0: nobody solves it"
    )
    names: bool = Field(True, description="proper names have to be kept letter by letter; for English prompts")

    @field_validator("languages")
    @classmethod
    def _known(cls, languages: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [code for code in languages if code not in LANGUAGES]
        if unknown:
            raise ValueError(f"there is no language {unknown[0]!r}; the codes: {', '.join(LANGUAGES)}")
        return tuple(dict.fromkeys(languages))


class Translated(BaseModel):
    """A translation."""

    model_config = ConfigDict(frozen=True)

    translation: str = Field(min_length=1, description="the whole text, translated")


@dataclass(frozen=True)
class Way:
    """From which language into which, by their codes."""

    source: str
    target: str


async def languages(item: Item, ctx: StepContext) -> Many:
    """The languages that this prompt goes into, each an item of its own."""
    prompt, options = item.prompt, ctx.options
    text = "\n".join(message["content"] for message in prompt.messages)
    source = options.source or language_of(text) or "en"
    ways = tuple(Way(source, code) for code in options.languages if code != source)
    if not ways:
        raise Drop(HERE, f"it is in {source!r}", text)
    if prompt.meta.get("choices") and list(options_in(prompt.text)) != list(options_of(prompt)):
        raise Drop(APART, "its options are in meta['choices'] and not in its text", text)
    if prompt.answer is not None and prompt.verifier not in (*_TEXTUAL, *JUDGED, "code", "gym"):
        raise Drop(BOUND, f"{prompt.verifier!r} knows the answer in one language", text)
    if prompt.verifier == "gym" and worded(prompt.answer or ""):
        raise Drop(BOUND, f"the answer {prompt.answer!r} has words, and its scorer is English", text)
    return Many(ways)


async def translate(item: Item, ctx: StepContext) -> tuple[str, ...]:
    """The messages in the other language."""
    way: Way = item["languages"]
    return tuple([await _translated(m["content"], way, ctx, place) for place, m in enumerate(item.prompt.messages)])


async def _translated(original: str, way: Way, ctx: StepContext, place: int) -> str:
    """A message's translation that keeps what it has to.

    Raises:
        Drop: none of the tries does.
    """
    fault = ""
    for n_tried in range(ctx.options.tries):
        given = {"original": original, "language": language_name(way.target), "fault": fault}
        reply = await ctx.ask("translate", Translated, given, tag=f"{place}try{n_tried}")
        translated: str = reply.translation.strip()
        found = flaw(original, translated, way.target, names=ctx.options.names and way.source == "en")
        if found is None:
            return translated
        if n_tried + 1 < ctx.options.tries:
            ctx.tools.counted(ctx.step).retried[found.label] += 1
        fault = found.detail
    assert found is not None
    raise Drop(found.label, found.detail, translated)


async def back(item: Item, ctx: StepContext) -> float:
    """The least chrF of a message with its translation translated back, in [0, 1]."""
    way: Way = item["languages"]
    scores = []
    for place, (message, translated) in enumerate(zip(item.prompt.messages, item["translate"], strict=True)):
        given = {"translated": translated, "language": language_name(way.source)}
        reply = await ctx.ask("back", Translated, given, role="reader", tag=f"{place}")
        original = message["content"]
        score = chrf(reply.translation, original)
        fault = back_flaw(original, reply.translation, names=ctx.options.names and way.source == "en")
        if fault or score < ctx.options.min_chrf:
            raise Drop(ELSEWHERE, f"chrF {score:.3f}; {fault or reply.translation[:500]!r}", translated)
        scores.append(score)
    ctx.score("chrf", min(scores))
    return min(scores)


async def answer(item: Item, ctx: StepContext) -> str | None:
    """The answer in the other language: as it is, or translated and proved by the way back."""
    prompt, translated = item.prompt, item["translate"]
    if prompt.answer is None or prompt.verifier not in _TEXTUAL:
        return prompt.answer
    if prompt.verifier == "choice" and (options := options_of(prompt)):
        label = chosen(prompt.answer, options).label
        if label is None:
            raise Drop(ANSWER, "it names none of the options", prompt.answer)
        return label
    if not worded(prompt.answer):
        return prompt.answer
    question, other = prompt.text, _last_user(prompt, translated)
    way: Way = item["languages"]
    there = await _answered(ctx, question, prompt.answer, other, way.target, role="writer")
    fault = answer_flaw(question, prompt.answer, other, there)
    if fault:
        raise Drop(ANSWER, f"{fault}: {there!r}", other)
    again = await _answered(ctx, other, there, question, way.source, role="reader")
    if canonical(again, fold_articles=True) != canonical(prompt.answer, fold_articles=True):
        raise Drop(ANSWER, f"{prompt.answer!r} became {there!r}, and that {again!r}", other)
    return there


async def _answered(ctx: StepContext, question: str, said: str, other: str, code: str, *, role: str) -> str:
    given: dict[str, Any] = {"question": question, "answer": said, "other_question": other}
    reply = await ctx.ask("answer", Translated, {**given, "language": language_name(code)}, role=role, tag=role)
    return str(reply.translation).strip()


async def solve(item: Item, ctx: StepContext) -> None:
    """Have solvers answer the translation, where that is asked for and can be counted."""
    prompt, said, options = item.prompt, item["answer"], ctx.options
    if not options.k or said is None or prompt.verifier not in _TEXTUAL:
        return
    messages = _messages(item)
    there = Prompt(prompt.id, prompt.domain, messages, answer=said, verifier=prompt.verifier)
    votes = await voted(ctx, messages, options.k, prompt.verifier, choices=options_of(there))
    ctx.score("agreement", votes.agreement)
    if votes.answer is None or votes.agreement < MIN_AGREEMENT - 1e-9:
        raise Drop(UNSOLVED, f"{votes.counts}", there.text)
    verdict = await ctx.verify(f"Answer: {votes.answer}", there)
    if not verdict.correct:
        raise Drop(OTHER, f"{votes.answer!r} in place of {said!r}, from {votes.agreement:.0%}", there.text)


def output(item: Item, options: TranslateOptions) -> Output:
    """The prompt in the other language."""
    prompt, said = item.prompt, item["answer"]
    way: Way = item["languages"]
    meta = {key: value for key, value in prompt.meta.items() if key not in ("choices", "content_key", "synthesis")}
    return Output(
        messages=_messages(item),
        proof="fidelity",
        answer=said,
        verifier=prompt.verifier,
        domain=prompt.domain,
        level=prompt.level,
        answer_source=prompt.answer_source if said == prompt.answer or options_of(prompt) else "teacher",
        meta={**meta, "language": way.target, "original": prompt.id},
        language=way.target,
    )


def _messages(item: Item) -> tuple[Message, ...]:
    pairs = zip(item.prompt.messages, item["translate"], strict=True)
    return tuple(Message(role=message["role"], content=text) for message, text in pairs)


def _last_user(prompt: Prompt, translated: tuple[str, ...]) -> str:
    pairs = zip(prompt.messages, translated, strict=True)
    return [text for message, text in pairs if message["role"] == "user"][-1]


def calls(options: TranslateOptions) -> Calls:
    """A translation and its way back for each language, a tenth more of each for second tries, and the solvers."""
    n = len(options.languages)
    solved = n * min(1, options.k)
    return Calls(2.3 * n + solved, 2.3 * n + n * options.k, tokens=200, prompt_tokens=500, outputs=n)


WORKFLOW = Workflow(
    name="translate",
    summary="prompts in other languages, proved by translating them back",
    takes=("prompt",),
    steps=(
        Do("languages", languages),
        Do("translate", translate),
        Do("back", back),
        Do("answer", answer),
        Do("solve", solve),
    ),
    output=output,
    options=TranslateOptions,
    calls=calls,
    roles=("writer", "reader", "solver"),
)
