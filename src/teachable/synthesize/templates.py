"""Prompt templates: plain files of Jinja, rendered in its sandbox, with what is shown set apart from what is asked.

A file may begin with a system message, which a line of `===` ends; the rest is the user's message. Templates see the
values of their step, and these:

- `shown(label, text)`: the text between two lines that bear a seal, so that nothing in it can pass for a part of the
  prompt (`verify.judging.fence` says how). Whatever comes from seeds or from an engine goes through it.
- `form`: how the reply has to look, made of the step's typed output.

A value is never rendered itself, nor can it end the system message or a fence: both are marked in the template's
source, by marks that no value can know. The sandbox keeps a template to its values: no attribute with an underscore, no
function or method but Jinja's own and those of plain values, nothing drawn at random, no multiplication into millions.
It does not keep a template from burning time in loops within loops. A user's folder goes before the packaged one, file
by file. A template's version is a digest of its text and of what it includes.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.ext import Extension
from jinja2.meta import find_referenced_templates
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel

from teachable.errors import TeachableError
from teachable.records import Message
from teachable.store.digest import digest
from teachable.store.files import write_text
from teachable.verify.judging.fence import fenced, neutral, seal_of

ENDING = ".jinja"
PACKAGED = Path(__file__).parent / "templates"
MAX_CHARS = 4_000_000  # of a rendered template
MAX_BITS = 10_000  # of a power
# Marks of this process: no value can hold them, whoever wrote it.
_NONCE = f"{secrets.randbelow(10**18):018}"
_DIVIDER = f"\0{_NONCE}===\0"
_DIVIDING_LINE = re.compile(r"^===[ \t\r]*$", re.MULTILINE)
_SHOWN = re.compile(rf"[ \t]*\x00{_NONCE}:([0-9]+)\x00[ \t]*\n?")
_PLAIN = (str, int, float, Mapping, Sequence, Set, BaseModel)
_FAULTS = (TemplateError, ArithmeticError, LookupError, AttributeError, TypeError, ValueError, RecursionError)


@dataclass(frozen=True)
class Rendered:
    """A prompt, and of which template, in which version."""

    messages: tuple[Message, ...]
    template: str
    version: str


@dataclass
class _Shown:
    """What `shown` was called with; it gives a mark, which the text replaces when all of them are known."""

    labels: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def __call__(self, label: object, text: object) -> str:
        self.labels.append(" ".join(neutral(str(label)).split()))
        self.texts.append(neutral(_as_text(text)))
        return f"\0{_NONCE}:{len(self.texts) - 1}\0"


class _Dividing(Extension):
    """Marks the line that ends the system message, in the source, where it can't be taken for a line of a value."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        return _DIVIDING_LINE.sub(_DIVIDER, source)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, in which only plain values have methods, and nothing grows without bound by one operator."""

    intercepted_binops = frozenset({"*", "**"})

    def is_safe_callable(self, obj: Any) -> bool:
        owner = getattr(getattr(obj, "__wrapped__", obj), "__self__", None)  # of a bound method
        allowed = obj is dict or isinstance(obj, _Shown) or isinstance(owner, _PLAIN)
        return (allowed or any(map(_of_jinja, (obj, type(obj), type(owner))))) and super().is_safe_callable(obj)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            for many, times in ((left, right), (right, left)):
                if isinstance(many, Sequence) and isinstance(times, int) and len(many) * times > MAX_CHARS:
                    raise OverflowError(f"a text or list over {MAX_CHARS:,} long")
        elif isinstance(left, int) and isinstance(right, int) and left.bit_length() * abs(right) > MAX_BITS:
            raise OverflowError(f"a number of over {MAX_BITS:,} bits")
        return super().call_binop(context, operator, left, right)


def _of_jinja(thing: Any) -> bool:
    return (getattr(thing, "__module__", None) or "").startswith("jinja2.")


class Templates:
    """The templates of a folder, before the packaged ones.

    Args:
        folder: a user's own; None is the packaged ones alone.

    Raises:
        TeachableError: there is no such folder.
    """

    def __init__(self, folder: Path | None = None) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise TeachableError(
                "there is no such folder of templates",
                where=str(folder),
                mend="`teachable synthesize --export-templates DIR` writes one",
            )
        self._folder = None if folder is None else Path(folder)
        self._environment = _environment(self._folder)
        self._versions: dict[str, str] = {}

    def render(self, name: str, values: Mapping[str, Any]) -> Rendered:
        """The prompt that a template makes of values.

        Raises:
            TeachableError: there is no such template, it is no Jinja, it names a value that its step does not give, or
                it does what the sandbox does not let it.
        """
        shown = _Shown()
        try:
            written = _written(self._environment.get_template(name + ENDING), {**values, "shown": shown})
            version = self.version(name)
            messages = _messages(written, shown)
        except TemplateNotFound as error:
            raise TeachableError(f"there is no template {error.name}", where=self._where(name)) from error
        except TemplateSyntaxError as error:
            raise TeachableError(
                f"this template is no Jinja ({error.message})",
                where=f"{error.filename or self._where(name)}:{error.lineno}",
            ) from error
        except UndefinedError as error:
            raise TeachableError(
                f"this template names what its step does not give ({error.message})",
                where=self._where(name),
                mend=f"It may use {', '.join(sorted([*values, 'shown']))}",
            ) from error
        except _FAULTS as error:
            raise TeachableError(f"this template can't be rendered ({error})", where=self._where(name)) from error
        return Rendered(messages, name, version)

    def version(self, name: str) -> str:
        """Twelve hexadecimal digits of a template's text and of what it includes.

        Raises:
            TemplateError: there is none, or it names what it includes by a value.
        """
        if name not in self._versions:
            self._versions[name] = digest(self._sources(name + ENDING, {}))[:12]
        return self._versions[name]

    def _sources(self, file: str, found: dict[str, str]) -> dict[str, str]:
        loader = self._environment.loader
        assert loader is not None
        try:
            source, _, _ = loader.get_source(self._environment, file)
        except TemplateNotFound:
            if not found:
                raise
            source = ""  # `ignore missing`, or a branch that was not taken
        found[file] = source
        for other in find_referenced_templates(self._environment.parse(source)):
            if other is None:
                raise TemplateError(f"{file} includes a template without writing out its name")
            if other not in found:
                self._sources(other, found)
        return found

    def _where(self, name: str) -> str:
        own = self._folder / (name + ENDING) if self._folder is not None else None
        return str(own if own is not None and own.is_file() else PACKAGED / (name + ENDING))


def _environment(folder: Path | None) -> Environment:
    packaged: BaseLoader = PackageLoader("teachable.synthesize", "templates")
    own: list[BaseLoader] = [FileSystemLoader(folder)] if folder is not None else []
    environment = _Sandbox(
        loader=ChoiceLoader([*own, packaged]),
        extensions=[_Dividing],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,  # what follows an included file begins on a line of its own
        autoescape=False,
        auto_reload=False,  # a file that is changed during a run would not be of the version that is noted
    )
    # One prompt must be the same whenever it is rendered.
    del environment.filters["random"], environment.globals["lipsum"]
    return environment


def _written(template: Template, values: Mapping[str, Any]) -> str:
    parts, n_chars = [], 0
    for part in template.generate(values):
        parts.append(part)
        n_chars += len(part)
        if n_chars > MAX_CHARS:
            raise OverflowError(f"it makes over {MAX_CHARS:,} characters")
    return "".join(parts)


def _messages(written: str, shown: _Shown) -> tuple[Message, ...]:
    """The messages, in which texts stand between lines that bear one seal, which depends on all of them."""
    seal = seal_of([*shown.labels, *shown.texts]) if shown.texts else ""
    parts = [_sealed(part, shown, seal) for part in written.split(_DIVIDER)]
    if {int(number) for number in _SHOWN.findall(written)} != set(range(len(shown.texts))):
        raise ValueError("what `shown` gives has to stand in the prompt as it is, without a filter")
    if len(parts) > 2:
        raise ValueError("more than one line of === ends its system message")
    if not parts[-1]:
        raise ValueError("it asks nothing")
    user = Message(role="user", content=parts[-1])
    return (Message(role="system", content=parts[0]), user) if parts[0] and len(parts) == 2 else (user,)


def _sealed(written: str, shown: _Shown, seal: str) -> str:
    made: list[str] = []
    place = 0
    for mark in _SHOWN.finditer(written):
        before = written[place : mark.start()]
        made += [before, "\n"] if before and not before.endswith("\n") else [before]
        number = int(mark[1])
        made += [fenced(shown.labels[number], shown.texts[number], seal), "\n"]
        place = mark.end()
    text = "".join([*made, written[place:]])
    return text.replace("\0", "").encode("utf-8", "replace").decode().strip()


def _as_text(value: object) -> str:
    """What is shown of a value: a text as it is, a list or a typed reply as JSON, nothing of None."""
    if isinstance(value, str):
        return value
    if isinstance(value, BaseModel | Mapping | list | tuple):
        return json.dumps(value, default=_plain, ensure_ascii=False, indent=1)
    return "" if value is None else str(value)


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if isinstance(value, BaseModel) else str(value)


def packaged_templates() -> list[Path]:
    """The packaged files, relative to their folder."""
    return sorted(path.relative_to(PACKAGED) for path in PACKAGED.rglob(f"*{ENDING}"))


def export_templates(folder: Path) -> list[Path]:
    """Write the packaged templates into a folder; files that are there already stay as they are.

    Returns:
        the files that were written, relative to the folder.

    Raises:
        TeachableError: there is a file of the folder's name.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise TeachableError("this is a file, no folder", where=str(folder), mend="Name a folder to write into")
    written = []
    for path in packaged_templates():
        place = folder / path
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        write_text(place, (PACKAGED / path).read_text(encoding="utf-8"))
        written.append(path)
    return written
