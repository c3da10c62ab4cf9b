"""The gates that every output has to pass, whatever workflow made it.

In this order: proof, length, language, leak, verifier, held out, near-duplicate. The first five look at an output alone
(`alone`); the last two at what is held out and at everything accepted before (`together`), so they are asked in the
order of the seeds. An output that one gate refuses does not come to the next.

- proof: it says what proves it, and is a chat that ends with the user, in which nothing is empty.
- length: prompt and response lie within the bounds.
- language: prompt and response are in the output's language, or in the run's; what can't be told passes.
- leak: the answer can't be read off the prompt (`leaks`).
- verifier: it accepts the response; without one, it accepts the reference answer as an attempt and refuses a near miss
  and an empty one. Judges are not asked again: their verdict is the proof of what they judged. Tests need a response.
- held out: neither prompt nor response overlaps a held-out question (`overlap.guard`).
- near-duplicate: it repeats neither what was accepted before (`overlap.seen`) nor the prompt that it was made of.

What they do not protect against: an answer that is wrong and that the response gives too. That is for the workflow's
own proof.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from teachable import verify
from teachable.overlap.guard import Finding, Guard, TrainingRow, asked, content_key
from teachable.overlap.seen import Seen
from teachable.records import Message, Prompt, Verifier
from teachable.synthesize.asking import StepCounts
from teachable.synthesize.checks.language import differs
from teachable.synthesize.checks.leaks import NOT_GOLD, leak
from teachable.synthesize.config import GatesConfig
from teachable.synthesize.items import PROOFS, Made

GATES = ("proof", "length", "language", "leak", "verifier", "held out", "near-duplicate")
JUDGES = NOT_GOLD - {"code"}  # verifiers whose verdict is an opinion, bought when the output was made
_ROLES = frozenset({"system", "user", "assistant"})
_SHOWN_CHARS = 200  # of what an output repeats, in its detail


@dataclass(frozen=True)
class Refusal:
    """Why an output does not pass: the gate, a short label that is counted, and what was wrong with this one."""

    gate: str
    reason: str
    detail: str = ""


class Gates:
    """The gates of one run.

    Args:
        config: see there.
        heldout: questions that nothing may overlap.
        against: prompts that were accepted before, which nothing may repeat.
        verifiers: by name, before those that `verify.get` knows.
    """

    def __init__(
        self,
        config: GatesConfig,
        *,
        heldout: Sequence[Prompt] = (),
        against: Iterable[Prompt] = (),
        verifiers: Mapping[str, Verifier] | None = None,
    ) -> None:
        self._config = config
        self._heldout = () if config.allow_overlap else tuple(heldout)
        self._guard: Guard | None = None
        self._verifiers = verifiers or {}
        self._seen = Seen(config.near_duplicate)
        for prompt in against:
            self._seen.add(prompt.id, _compared(prompt.messages), content_key(prompt))
        self.counts: dict[str, StepCounts] = {gate: StepCounts() for gate in GATES}

    async def alone(self, made: Made) -> Refusal | None:
        """What the gates that look at one output alone say of it.

        Raises:
            TeachableError: no verifier has the name that the output gives, or it lacks what it needs (a sandbox).
        """
        return (
            self._passed("proof", _proof(made))
            or self._passed("length", self._length(made))
            or self._passed("language", self._language(made))
            or self._passed("leak", self._leak(made))
            or self._passed("verifier", await self._verifier(made))
        )

    def together(self, batch: Sequence[Made]) -> list[Refusal | None]:
        """What the other gates say of outputs that passed those; in the order of the seeds."""
        overlaps = self._overlaps(batch)
        refusals: list[Refusal | None] = []
        for made, overlap in zip(batch, overlaps, strict=True):
            refusal = self._passed("held out", overlap)
            refusals.append(refusal or self._passed("near-duplicate", self._repeat(made)))
        return refusals

    def _passed(self, gate: str, refusal: Refusal | None) -> Refusal | None:
        """The same, counted."""
        counts = self.counts[gate]
        counts.entered += 1
        if refusal is None:
            counts.left += 1
        else:
            counts.dropped[refusal.reason] += 1
        return refusal

    def _length(self, made: Made) -> Refusal | None:
        config = self._config
        n_prompt = sum(len(message["content"].strip()) for message in made.output.messages)
        n_response = len(made.output.response)
        if n_prompt < config.min_chars:
            return Refusal("length", "prompt too short", f"{n_prompt:,} characters, at least {config.min_chars:,}")
        if n_prompt > config.max_chars:
            return Refusal("length", "prompt too long", f"{n_prompt:,} characters, at most {config.max_chars:,}")
        if n_response > config.max_response_chars:
            most = config.max_response_chars
            return Refusal("length", "response too long", f"{n_response:,} characters, at most {most:,}")
        return None

    def _language(self, made: Made) -> Refusal | None:
        expected = made.output.language or self._config.language
        if not expected:
            return None
        for name, text in (("prompt", _compared(made.output.messages)), ("response", made.output.response)):
            if (found := differs(text, expected)) is not None:
                return Refusal("language", "another language", f"the {name} is in {found}, not in {expected}")
        return None

    def _leak(self, made: Made) -> Refusal | None:
        output = made.output
        if not self._config.leaks or output.leak_checked or output.answer is None:
            return None
        text = "\n".join(message["content"] for message in output.messages)
        how = leak(text, output.answer, output.verifier, output.meta.get("choices") or ())
        return Refusal("leak", "the answer can be read off the prompt", how) if how is not None else None

    async def _verifier(self, made: Made) -> Refusal | None:
        output, prompt = made.output, made.prompt
        if output.answer is None or output.verifier in JUDGES:
            return None
        name = output.verifier
        chosen = self._verifiers[name] if name in self._verifiers else verify.get(name)
        if not output.response:
            return await _proves_itself(chosen, prompt)
        verdict = await verify.verdict_of(chosen, output.response, prompt)
        if verdict.correct is None:
            return Refusal("verifier", "the response could not be verified", verdict.reason)
        return None if verdict.correct else Refusal("verifier", "the response is wrong", verdict.reason)

    def _overlaps(self, batch: Sequence[Made]) -> list[Refusal | None]:
        """What the guard finds; for telling templates it sees the first batch."""
        if not self._heldout or not batch:
            return [None for _ in batch]
        if self._guard is None:
            self._guard = Guard(self._heldout, [text for made in batch for text in asked(made.output.messages)])
        first: dict[str, Finding] = {}
        for finding in self._guard.check([_row(place, made) for place, made in enumerate(batch)]):
            first.setdefault(finding.row, finding)
        return [
            Refusal("held out", "overlaps a held-out question", first[str(place)].sentence.partition(": ")[2])
            if str(place) in first
            else None
            for place in range(len(batch))
        ]

    def _repeat(self, made: Made) -> Refusal | None:
        output, seed = made.output, made.item.seed
        text, allowed = _compared(output.messages), output.allowed
        if seed.prompt is not None:
            before = _compared(seed.prompt.messages)
            if seed.text in allowed or before in allowed:
                allowed = (*allowed, before)
            elif (similarity := self._like(made, text, seed.prompt, before)) is not None:
                return Refusal("near-duplicate", "repeats its seed", f"similarity {similarity:.2f}: {_cut(before)}")
        found = self._seen.take(made.prompt.id, text, output.content_key, allowed)
        if found is None:
            return None
        detail = f"{found.how}, similarity {found.similarity:.2f}: {found.id}"
        return Refusal("near-duplicate", "repeats another prompt", detail)

    def _like(self, made: Made, text: str, seed: Prompt, before: str) -> float | None:
        """How similar an output is to its seed, where it repeats it; of two content keys, the keys decide."""
        if made.output.content_key and (key := content_key(seed)):
            return 1.0 if key == made.output.content_key else None
        return self._seen.similarity(text, before)


def _proof(made: Made) -> Refusal | None:
    output = made.output
    if output.proof not in PROOFS:
        return Refusal("proof", "nothing proves it", f"{output.proof!r} is none of: {', '.join(PROOFS)}")
    if not output.messages or output.messages[-1]["role"] != "user":
        return Refusal("proof", "no question", "the chat does not end with a message of the user")
    for message in output.messages:
        if message["role"] not in _ROLES or not message["content"].strip():
            return Refusal(
                "proof", "malformed chat", f"a message of the role {message['role']!r}, or one that is empty"
            )
    if output.answer is not None and not output.answer.strip():
        return Refusal("proof", "the answer is empty")
    if output.response and not output.response.strip():
        return Refusal("proof", "the response is empty")
    return None


async def _proves_itself(verifier: Verifier, prompt: Prompt) -> Refusal | None:
    """Whether a verifier accepts the prompt's answer as an attempt, and neither a near miss nor none."""
    fault = await verify.gold_fault(verifier, prompt)
    if fault is None:
        return None
    own = fault.tried == verify.OWN_ANSWER
    reason = "the verifier refuses the reference" if own else "the verifier accepts what is wrong"
    return Refusal("verifier", reason, f"tried: {fault.tried}: {fault.reason}".rstrip(": "))


def _compared(messages: Sequence[Message]) -> str:
    """What tells a prompt from others: all that is said in it, but for the system's part."""
    return "\n".join(message["content"] for message in messages if message["role"] != "system")


def _row(place: int, made: Made) -> TrainingRow:
    """What the guard looks at of an output; earlier turns of the model count as responses."""
    output = made.output
    said = "\n".join(message["content"] for message in output.messages if message["role"] == "assistant")
    responses = {name: text for name, text in (("response", output.response), ("earlier turns", said)) if text}
    return TrainingRow(str(place), asked(output.messages), responses, output.content_key)


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 3] + "..."
