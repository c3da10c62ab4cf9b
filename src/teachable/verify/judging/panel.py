"""What all verifiers that ask a language model share: the settings, the sealed question, the votes.

A question goes to the engine `votes` times. A reply that can't be read, is cut off, refuses, or never came because the
engine failed, is a reading with a fault: no vote, and never a verdict. The seeds depend on the prompt and on the role
of the question alone, so a ledger before the engine answers a second run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Generic

from teachable.errors import TeachableError
from teachable.records import Completion, Engine, Message, Prompt, Request
from teachable.verify.judging.fence import fenced, neutral, seal_of
from teachable.verify.judging.replies import Read, Reply, read_reply
from teachable.verify.judging.votes import one_line

NO_ANSWER_FOUND = "no answer found"


@dataclass(frozen=True)
class Shown(Generic[Reply]):
    """A question as it is put to the judge, the seal that its verdict has to bear, and the shape of that."""

    text: str
    seal: str
    schema: type[Reply]


@dataclass(frozen=True)
class Panel:
    """The settings of a verifier that asks a language model, and the asking.

    Args:
        engine: who judges; it is asked with messages (one user turn). None: whatever has to ask raises.
        rubric: how to judge, as text; "" for the packaged one.
        votes: replies to a question (to each order of a comparison), at least 1.
        max_tokens: of a reply, in tokens; one that reaches it is no vote.
        temperature: of the replies; 0 is greedy, which makes all votes the same and so takes `votes` 1.
        seed: with the prompt's id, fixes the replies as far as the engine honours seeds.
        max_chars: the longest answer that is shown, in characters; a longer one is not cut but undecided.

    Raises:
        TeachableError: a value is out of its range.
    """

    engine: Engine | None = None
    rubric: str = ""
    votes: int = 3
    max_tokens: int = 2048
    temperature: float = 0.7
    seed: int = 0
    max_chars: int = 20_000
    name = "panel"
    answer_is_gold = False

    def __post_init__(self) -> None:
        for field, least in (("votes", 1), ("max_tokens", 1), ("temperature", 0), ("max_chars", 1)):
            if not getattr(self, field) >= least:
                found = getattr(self, field)
                raise TeachableError(f"{field} is {found}", where=self.name, mend=f"Choose {least} or more")
        if self.temperature == 0 and self.votes > 1:
            raise TeachableError(
                f"at temperature 0 all {self.votes} votes would be the same reply",
                where=self.name,
                mend="Set votes to 1, or the temperature above 0",
            )

    def ready(self) -> None:
        """Nothing to do.

        Raises:
            TeachableError: there is no engine.
        """
        self._engine()

    def _engine(self) -> Engine:
        if self.engine is None:
            who = "the judge" if self.name == "judge" else f"the judge of the verifier '{self.name}'"
            call = f"{type(self).__name__}(engine=make_engine(...))"
            mend = f"Give it one, as in {call}, or name a model with --engine on the command line"
            raise TeachableError(f"{who} has no engine to ask", mend=mend)
        return self.engine

    def _too_long(self, *candidates: str) -> str:
        """Why these answers are not put to the judge; empty if they are."""
        longest = max(map(len, candidates))
        if longest > self.max_chars:
            return f"an answer of {longest} characters is longer than the {self.max_chars} that the judge reads"
        return ""

    def _shown(self, texts: Mapping[str, str], kind: str, schema: type[Reply]) -> Shown[Reply]:
        """The message to the judge, with everything that it is shown behind one seal.

        Args:
            texts: what is shown, by label, in this order.
            kind: of the packaged template and its rubric.
            schema: of the verdict.
        """
        rubric = self.rubric.strip() or template(f"{kind}_rubric.txt").strip()
        parts = [(label, neutral(text)) for label, text in texts.items()]
        seal = seal_of([*(part for _, part in parts), rubric])
        blocks = "\n\n".join(fenced(label, part, seal) for label, part in parts)
        whole = Template(template(f"{kind}.txt")).substitute(seal=seal, blocks=blocks, rubric=rubric)
        return Shown(whole.strip(), seal, schema)

    async def _ask(self, engine: Engine, shown: Shown[Reply], prompt: Prompt, role: str) -> list[Read[Reply]]:
        """`votes` readings of the judge's replies, whatever became of them; `role` tells a prompt's questions apart.

        Raises:
            TeachableError: the engine's own, which is a mistake that the user must mend.
        """
        request = Request(
            prompt=(Message(role="user", content=shown.text),),
            n=self.votes,
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            seed=_seed(self.seed, prompt.id, role),
        )
        fault = "missing from what the engine returned"
        completions: list[Completion] = []
        try:
            completions = list(await engine.sample(request))[: self.votes]
        except TeachableError:
            raise
        except Exception as error:  # an engine that fails says nothing about the attempt
            completions = list(getattr(error, "completions", ()))[: self.votes]  # what it brought before
            fault = f"lost to the engine's failure ({type(error).__name__}: {one_line(str(error))})"
        reads = [read_reply(completion, shown.seal, shown.schema) for completion in completions]
        return reads + [Read(None, fault)] * (self.votes - len(reads))


def question_of(prompt: Prompt) -> str:
    """What was asked: the one user message, or the whole chat with its roles; empty where the prompt has none."""
    if [message["role"] for message in prompt.messages] == ["user"]:
        return prompt.messages[0]["content"]
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in prompt.messages)


@cache
def template(name: str) -> str:
    """A packaged text by its file's name."""
    return resources.files("teachable.verify.judging").joinpath("templates", name).read_text(encoding="utf-8")


def _seed(seed: int, prompt_id: str, role: str) -> int:
    """The seed of a request to the judge, 63 bits, the same on every machine."""
    named = f"{seed}\x1f{prompt_id}\x1f{role}".encode(errors="surrogatepass")
    return int.from_bytes(hashlib.sha256(named).digest()[:8], "big") >> 1
