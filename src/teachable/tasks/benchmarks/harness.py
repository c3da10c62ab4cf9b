"""lm-evaluation-harness's tasks as benchmarks: its prompts to the letter, its stops, its scoring (verifier `lm_eval`).

`lm_eval:NAME` asks as `lm_eval --tasks NAME` does, and `lm_eval:NAME+chat` as with `--apply_chat_template`;
`+Nshot` puts N worked examples before each question in place of the task's own number. NAME may be a group, a tag, or
a YAML file of the user's own. Data comes from where the task says, or from `PATH` (see `harness_files.py`).

Worked examples are drawn with the library's default seed and in its order over the whole set, whatever `seed` and
`limit` are: a question's prompt is the one that the library writes when it is asked for everything.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Lineage, Message, Prompt, content_id
from teachable.store.digest import digest, file_digest
from teachable.tasks.benchmarks.harness_files import LocalFiles
from teachable.tasks.benchmarks.making import make_benchmark
from teachable.tasks.benchmarks.spec import Benchmark
from teachable.verify.harness import Leaf, NoRows, Scorer, Splits, Tasks, build, find, resolved, version
from teachable.verify.harness.library import OTHER_SEED, building

PREFIX = "lm_eval:"
VERIFIER = "lm_eval"
VERSION = 1  # raised whenever the same task and data give other prompts
DEFAULT_MAX_TOKENS = 256  # lm_eval.defaults.DEFAULT_MAX_GEN_TOKS
YAML = (".yaml", ".yml")
_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # the library's names, by rank
_OPTION = re.compile(r"\+(chat|(?P<shots>\d{1,3})shot)\Z")


@dataclass(frozen=True)
class Form:
    """How a task is asked: as a chat or as plain text, and with how many worked examples (None: as the task says)."""

    name: str
    chat: bool = False
    n_shots: int | None = None


@dataclass(frozen=True)
class _Built:
    """One task, built, and how it is asked and scored."""

    leaf: Leaf
    task: Any
    scorer: Scorer
    metric: str
    n_shots: int


def load(name: str, path: Path | None = None, *, seed: int = 0, limit: int | None = None) -> Benchmark:
    """The questions of one of lm-evaluation-harness's tasks, groups or tags.

    Args:
        name: the task's name, or a YAML file; with `+chat` and `+Nshot` behind it.
        path: its data: a file or a folder; or a YAML file that holds the task itself.
        seed: for the sake of one signature: worked examples are drawn with the library's own seed.
        limit: at most so many questions, those whose content hashes lowest.

    Raises:
        TeachableError: the library is missing, there is no such task, it can't be asked or scored here, or its data
            can't be had.
    """
    form = read_form(name.removeprefix(PREFIX))
    source, data = (str(path), None) if path is not None and path.suffix in YAML else (form.name, path)
    tasks = find(source)
    label = f"{PREFIX}{tasks.name if form.name.endswith(YAML) else form.name}{_suffix(form)}"
    with TemporaryDirectory(prefix="teachable-lm-eval-") as cache:
        built, skipped = _build(tasks, form, data, Path(cache))
        origin = str(data) if data is not None else _hub(built)
        prompts = tuple(_unique(prompt for one in built for prompt in _prompts(one, label, form, tasks, origin)))
        facts = _facts(form, built)
    return make_benchmark(
        label,
        prompts,
        title=f"{tasks.name} of lm-evaluation-harness",
        source="Gao et al. (2024), The Language Model Evaluation Harness, doi:10.5281/zenodo.12608602",
        data=origin,
        asked=facts.pop("template"),
        metric=facts.pop("metric"),
        version=VERSION,
        notes=_notes(tasks, built, skipped),
        n_rows=len(prompts),
        limit=limit,
        more=facts,
    )


def read_form(text: str) -> Form:
    """A task's name and what stands behind it: "gsm8k+chat+0shot"."""
    form = Form(text)
    while found := _OPTION.search(form.name):
        rest = form.name[: found.start()]
        shots = found["shots"]
        form = replace(form, name=rest, chat=True) if shots is None else replace(form, name=rest, n_shots=int(shots))
    return form


def _suffix(form: Form) -> str:
    return ("+chat" if form.chat else "") + (f"+{form.n_shots}shot" if form.n_shots is not None else "")


def _build(tasks: Tasks, form: Form, data: Path | None, cache: Path) -> tuple[list[_Built], list[str]]:
    """Every task with rows, and the names of those without."""
    asked = [(leaf, _settings(leaf, form, tasks.name)) for leaf in tasks.leaves]
    several = len({str(settings.get("dataset_name")) for _, settings in asked}) > 1
    files = LocalFiles(data, cache, several=several) if data is not None else None
    splits: Splits | None = files.splits if files is not None else None
    built: list[_Built] = []
    skipped: list[str] = []
    reason: NoRows | None = None
    for leaf, settings in asked:
        try:
            task = build(leaf, settings, splits)
        except NoRows as error:
            skipped.append(leaf.name)
            reason = error
            continue
        task.set_fewshot_seed(OTHER_SEED)
        scorer = Scorer(task, leaf.name)
        built.append(_Built(leaf, task, scorer, scorer.metric(task.eval_docs[0]), int(settings["num_fewshot"] or 0)))
    if not built:
        raise reason or TeachableError(f"{tasks.name} has no questions")
    return built, skipped


def _settings(leaf: Leaf, form: Form, asked_as: str) -> dict[str, Any]:
    """A task's settings with the number of worked examples that is wanted."""
    settings = resolved(leaf, asked_as)
    own = settings.get("num_fewshot")
    if form.n_shots is not None:
        if own == 0 and form.n_shots:
            raise TeachableError(
                f"lm-evaluation-harness's {leaf.name} is asked without worked examples by its author's choice",
                mend=f"Leave out +{form.n_shots}shot",
            )
        settings["num_fewshot"] = form.n_shots
    settings["num_fewshot"] = settings.get("num_fewshot") or 0
    return settings


def _prompts(one: _Built, label: str, form: Form, tasks: Tasks, origin: str) -> Iterator[Prompt]:
    stop, max_tokens = generation(one.task.config.generation_kwargs or {})
    with building():
        for number, doc in enumerate(one.task.eval_docs):
            where = f"lm-evaluation-harness's {one.leaf.name}, question {number}"
            row = _as_json(doc, where)
            one.scorer.metric(row)
            messages = _messages(one, doc, form, where)
            meta: dict[str, Any] = {
                "benchmark": label,
                "bare_question": str(one.task.doc_to_text(doc)),  # without the worked examples before it
                "stop": list(stop),
                "max_tokens": max_tokens,
                "lm_eval": {
                    "task": one.leaf.name,
                    "file": one.leaf.file,
                    "overrides": dict(one.leaf.overrides),
                    "doc": row,
                    "doc_id": number,
                    "filter": one.scorer.filter,
                    "metric": one.metric,
                    "n_targets": int(one.task.multiple_target or 0),
                },
            }
            if not form.chat:
                meta["plain_text"] = True
            if subject := _subject(one, row, tasks):
                meta["subject"] = subject
            yield Prompt(
                id=content_id(label, one.leaf.name, messages, row),
                domain=label,
                messages=messages,
                answer=_target(one.task, row, where),
                verifier=VERIFIER,
                meta=meta,
                lineage=(
                    Lineage(parent=Path(origin).name, transform="read", params=f"row {number} of {one.leaf.name}"),
                ),
            )


def _unique(prompts: Iterator[Prompt]) -> Iterator[Prompt]:
    """Rows that a data set holds twice stay two questions, as in the library's mean; the later gets its own id."""
    seen: Counter[str] = Counter()
    for prompt in prompts:
        seen[prompt.id] += 1
        times = seen[prompt.id]
        yield prompt if times == 1 else replace(prompt, id=content_id(prompt.id, times))


def _messages(one: _Built, doc: Mapping[str, Any], form: Form, where: str) -> tuple[Message, ...]:
    """What the library would give its model for a row, before a template is applied."""
    prefix = one.task.doc_to_prefix(doc)
    if form.chat and prefix:
        raise TeachableError(
            f"it begins the answer itself ({prefix!r}), which a chat with an engine can't",
            where=where,
            mend="Ask it as plain text, without +chat",
        )
    try:
        found = one.task.fewshot_context(
            doc,
            num_fewshot=one.n_shots,
            apply_chat_template=form.chat,
            fewshot_as_multiturn=form.chat,
            chat_template=_written if form.chat else None,
            gen_prefix=prefix,
        )
    except Exception as error:
        raise TeachableError(
            f"the prompt can't be written ({type(error).__name__}: {str(error)[:300]})",
            where=where,
            mend="Check the data's columns",
        ) from error
    if not isinstance(found, str):
        raise TeachableError("it has several prompts to a question", where=where, mend="Take another task")
    if not form.chat:
        return (Message(role="user", content=found),)
    return tuple(Message(role=turn["role"], content=turn["content"]) for turn in json.loads(found))


def _written(turns: Sequence[Mapping[str, str]], **_: Any) -> str:
    """In the place of a chat template: the turns themselves."""
    return json.dumps(list(turns))


def generation(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], int]:
    """The stop strings and the greatest number of tokens that a task's `generation_kwargs` ask for."""
    until = settings.get("until") or ()
    stop = (until,) if isinstance(until, str) else tuple(str(text) for text in until)
    given = [settings[name] for name in _LENGTHS if settings.get(name) is not None]
    return tuple(text for text in stop if text), int(given[0]) if given else DEFAULT_MAX_TOKENS


def _as_json(doc: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A row as a JSON object, which is how it travels to the verifier."""
    try:
        row: dict[str, Any] = json.loads(json.dumps(dict(doc)))
        json.dumps(row, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        raise TeachableError(
            f"a row has no JSON form ({error})", where=where, mend="Write dates, bytes and the like as text"
        ) from error
    return row


def _target(task: Any, row: Mapping[str, Any], where: str) -> str | None:
    """The reference answer as text, for readers: the verifier scores with the row itself."""
    try:
        target = task.doc_to_target(row)
        if task.config.doc_to_choice is not None and isinstance(target, int):
            target = task.doc_to_choice(row)[target]
    except Exception as error:
        raise TeachableError(
            f"the reference answer can't be read ({type(error).__name__}: {str(error)[:300]})",
            where=where,
            mend="Check the data's columns",
        ) from error
    if isinstance(target, list | tuple):
        target = target[0] if len(target) == 1 else json.dumps(target, ensure_ascii=False)
    return str(target) if target not in (None, "") else None


def _subject(one: _Built, row: Mapping[str, Any], tasks: Tasks) -> str:
    if tasks.is_group:
        return str(one.task.config.task_alias or one.leaf.name)
    return next((row[name] for name in ("subject", "category") if isinstance(row.get(name), str)), "")


def _hub(built: Sequence[_Built]) -> str:
    """Where the tasks' own data is published."""
    config = built[0].task.config
    named = (config.dataset_path, config.dataset_name if len(built) == 1 else None)
    return "/".join(str(part) for part in named if part)


def _facts(form: Form, built: Sequence[_Built]) -> dict[str, Any]:
    """What determines a score beside the data, as JSON."""
    config = built[0].task.config
    stop, max_tokens = generation(config.generation_kwargs or {})
    return {
        "template": config.doc_to_text if isinstance(config.doc_to_text, str) else _function(config.doc_to_text),
        "metric": "; ".join(dict.fromkeys(f"{one.metric} after {one.scorer.filter}" for one in built)),
        "adapter": "lm_eval",
        "lm_eval": {
            "version": version(),
            "task_version": str((config.metadata or {}).get("version", "")),
            "task_digest": digest([file_digest(one.leaf.path) for one in built]),
            "form": "chat" if form.chat else "plain text",
            "n_shots": built[0].n_shots,
            "fewshot_seed": OTHER_SEED,
            "stop": list(stop),
            "max_tokens": max_tokens,
        },
    }


def _function(value: Any) -> str:
    """A prompt's template that is a function: its name."""
    named = getattr(value, "func", value)  # of a partial
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', type(named).__name__)}".strip(".")


def _notes(tasks: Tasks, built: Sequence[_Built], skipped: Sequence[str]) -> str:
    notes = []
    if tasks.is_group:
        rule = {
            "size": "lm-evaluation-harness's own score of the group is this mean too",
            "equal": "lm-evaluation-harness's own score of the group is the mean of its tasks' means, which differs",
        }.get(tasks.weights, "lm-evaluation-harness gives the group no score of its own")
        notes.append(f"The mean over the questions of {len(built)} tasks; {rule}")
    if skipped:
        shown = ", ".join(skipped[:5]) + (f" and {len(skipped) - 5} more" if len(skipped) > 5 else "")
        notes.append(f"No rows for {shown}")
    return ". ".join(notes)
