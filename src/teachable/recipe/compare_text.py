"""A comparison for people: what `compare_runs` found, as headings, sentences and tables.

Lists are cut to what can be read, those that tell most first; the document itself has them at length.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from teachable.recipe.compare import points
from teachable.recipe.differences.parts import Cells, Heading, Paragraph, Part, Table, as_markdown, as_text
from teachable.records import ZONES
from teachable.stats import power_note

SHOWN = 5  # prompts, ids and files of a list
WIDEST, WIDEST_REASON = 48, 72  # characters of a setting and of a reason
NONE = "-"


def text_of(document: Mapping[str, Any]) -> str:
    """The comparison as lines for a terminal."""
    return as_text(parts_of(document))


def markdown_of(document: Mapping[str, Any]) -> str:
    """The comparison as Markdown."""
    return "# What changed between these runs\n\n" + as_markdown(parts_of(document))


def parts_of(document: Mapping[str, Any]) -> Iterator[Part]:
    """Every comparison of the document, part by part."""
    missing = {run["run"]: run["missing"] for run in document["runs"]}
    for one in document["comparisons"]:
        names = one["baseline"], one["other"]
        yield Heading(f"{names[1]} against {names[0]}", level=1)
        yield Paragraph(one["sentence"])
        yield from (
            Paragraph(f"{name} lacks {_some(missing[name])}.", is_warning=True) for name in names if missing[name]
        )
        yield from (Paragraph(_sentence(w["sentence"]), is_warning=True) for w in one["warnings"] if not w["breaks"])
        yield from _settings(one)
        yield from _data(one)
        yield from _scores(one)
        yield from _costs(one)


# ---- settings ----


def _settings(one: Mapping[str, Any]) -> Iterator[Part]:
    settings, names = one["settings"], (one["baseline"], one["other"])
    yield Heading("Settings")
    if not settings["known"]:
        yield Paragraph("The recipe of one of the runs is not there, so settings can't be compared.")
    fields = settings["fields"]
    deciding = [(field["field"], *_values(field)) for field in fields if field["changes_results"] and _in_both(field)]
    if deciding:
        yield Table(("field", *names), deciding, n_text=3)
    elif settings["known"]:
        yield Paragraph("No setting that both recipes have and that changes results differs.")
    for place, side in enumerate(("baseline", "other")):
        lone = [field for field in fields if field["only"] == side and not _in_both(field)]
        if lone:
            told = ", ".join(f"{field['field']} ({_values(field)[place]})" for field in lone)
            yield Paragraph(f"Fields of the recipe of {names[place]} alone: {told}.")
    others = [field for field in fields if not field["changes_results"] and _in_both(field)]
    if others:
        told = ", ".join(f"{field['field']} ({' -> '.join(_values(field))})" for field in others)
        yield Paragraph(f"Of no effect on results: {told}.")
    beside = list(_beside(settings))
    if beside:
        yield Paragraph(f"Beside the recipe there differ: {'; '.join(beside)}.")
    models = [row["stage"] for row in settings["models"] if row["baseline"] and row["other"]]
    if models:
        yield Paragraph(f"Other models came of: {', '.join(models)}.")
    if settings["same_stages"]:
        yield Paragraph(f"The same key, and so the same outputs: {', '.join(settings['same_stages'])}.")


def _beside(settings: Mapping[str, Any]) -> Iterator[str]:
    """What outputs depend on that no recipe says."""
    for row in settings["versions"]:
        yield f"the code of {row['stage']} (version {row['baseline']} -> {row['other']})"
    for row in settings["files"]:
        yield f"the contents of {row['file']}, which {row['stage']} reads"
    for row in settings["packages"]:
        yield f"the package {row['package']} ({row['baseline']} -> {row['other']})"


def _is_stage(field: Mapping[str, Any]) -> bool:
    """The field stands for a whole stage that one side lacks."""
    return bool(field["only"]) and field["field"].startswith("stages.") and field["field"].count(".") == 1


def _in_both(field: Mapping[str, Any]) -> bool:
    """Both recipes have the field; a stage that one side lacks is worth a line of its own all the same."""
    return not field["only"] or _is_stage(field)


def _values(field: Mapping[str, Any]) -> tuple[str, str]:
    """A field's two values in words."""
    stands = ("there", "there") if _is_stage(field) else (_value(field["baseline"]), _value(field["other"]))
    return NONE if field["only"] == "other" else stands[0], NONE if field["only"] == "baseline" else stands[1]


def _value(value: Any) -> str:
    """A setting in words; of a long path its end, which tells more than its beginning."""
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    if isinstance(value, str) and "/" in text and len(text) > WIDEST:
        return f"...{text[3 - WIDEST :]}"
    return _cut(text, WIDEST)


# ---- data ----


def _data(one: Mapping[str, Any]) -> Iterator[Part]:
    data, names = one["data"], (one["baseline"], one["other"])
    counts = list(_counts(data))
    if not counts:
        return
    yield Heading("Data")
    yield Table(("", *names, "in both", f"only {names[0]}", f"only {names[1]}"), counts)
    for what, name in (("pool", "of the pool"), ("heldout", "held out")):
        for changed, words in (("text_changed", "another text"), ("answer_changed", "another reference answer")):
            found = (data[what] or {}).get(changed) or {"n": 0}
            if found["n"]:
                ids = _some(found["ids"], found["n"])
                yield Paragraph(
                    f"Prompts {name} with the same id and {words}: {found['n']:,} ({ids}).", is_warning=True
                )
    answers = sum(row["n_other_response"] for row in data["examples"] or ())
    if answers:
        yield Paragraph(f"In sets of the same name {answers:,} prompts that both have came with another response.")
    if data["estimates"] is not None and data["estimates"]["n_both"]:
        yield from _estimates(data["estimates"], names)
    if data["decisions"] is not None:
        yield from _decisions(data["decisions"])


def _counts(data: Mapping[str, Any]) -> Iterator[Cells]:
    """The rows of the table of counts: what is in both, and in one only."""
    named = [("pool", data["pool"]), ("held-out questions", data["heldout"]), ("probed", data["estimates"])]
    named += [("selected", data["decisions"])]
    named += [(f"examples, {row['set']}", row) for row in data["examples"] or () if row["set"] != "selected pool"]
    named += [(f"pairs of {row['kind']}", row) for row in data["pairs"]]
    for name, row in named:
        counts = (row["n_baseline"], row["n_other"]) if row is not None else (0, 0)
        if row is None or not any(counts):
            continue
        lone = [NONE if n is None else f"{n - row['n_both']:,}" for n in counts]
        yield name, *(NONE if n is None else f"{n:,}" for n in counts), f"{row['n_both']:,}", *lone


def _estimates(estimates: Mapping[str, Any], names: tuple[str, str]) -> Iterator[Part]:
    n = {(row["baseline"], row["other"]): row["n"] for row in estimates["zones"]}
    zones = [zone for zone in ZONES if any(zone in pair for pair in n)]
    yield Paragraph(
        f"Zones of the {estimates['n_both']:,} prompts that both probed, from {names[0]} (rows) to {names[1]} "
        f"(columns); {estimates['n_changed']:,} changed:"
    )
    yield Table(("", *zones), [(zone, *(f"{n.get((zone, other), 0):,}" for other in zones)) for zone in zones])
    rate = estimates["pass_rate"]
    if rate["n"]:
        yield Paragraph(
            f"Their mean pass rate went from {rate['baseline']:.1%} to {rate['other']:.1%}: {points(rate['diff'])} "
            f"points (95% interval {points(rate['low'])} to {points(rate['high'])}, paired by prompt)."
        )


def _decisions(decisions: Mapping[str, Any]) -> Iterator[Part]:
    for change, why, words in (("entered", "new", "new prompts"), ("left", "gone", "no longer in the pool")):
        n, n_lone = decisions[f"n_{change}"], decisions[f"n_{change}_{why}"]
        if not n:
            continue
        lone = f", {n_lone:,} of them {words}" if n_lone else ""
        some = f"; {SHOWN} of them" if n > SHOWN else ""
        yield Paragraph(f"{n:,} {'prompt' if n == 1 else 'prompts'} {change} the selection{lone}{some}:")
        rows = [row for row in decisions["changes"] if row["change"] == change]
        # Those that both runs had tell most: their zone or a setting changed.
        rows.sort(key=lambda row: row["zone_baseline"] is None or row["zone_other"] is None)
        yield Table(("prompt", "domain", "zone", "reason"), [_changed(row) for row in rows[:SHOWN]], n_text=4)


def _changed(row: Mapping[str, Any]) -> Cells:
    zones = f"{row['zone_baseline'] or NONE} -> {row['zone_other'] or NONE}"
    return row["prompt_id"], row["domain"], zones, _cut(row["reason"], WIDEST_REASON)


# ---- scores ----


def _scores(one: Mapping[str, Any]) -> Iterator[Part]:
    scores, names = one["scores"], (one["baseline"], one["other"])
    if scores is None:
        return
    yield Heading("Scores")
    asked, metric, headline = scores["questions"], scores["metric"], scores["headline"]
    yield Paragraph(
        f"{asked['n_both']:,} questions were asked in both, of {asked['n_baseline']:,} and {asked['n_other']:,}. "
        "Paired: over those alone. Unpaired: two independent means, each over all questions of its run. Intervals are "
        "at 95%; p is adjusted for the number of rows with the same metric (Holm)."
    )
    whole = [row for row in scores["rows"] if not row["task"] and not row["domain"]]
    if whole:
        rows = [(_arms(row), row["metric"], *_score(row)) for row in whole]
        yield Table(_header(names, "arm", "metric"), rows, n_text=2)
    if headline and headline["se"]:
        yield Paragraph(f"Of the headline comparison: {power_note(headline['se'], headline['df'])}")
    if scores["gains"]:
        yield Paragraph(f"Gains within each run, {metric}, in points with their 95% intervals:")
        gains = [(row["arm"], row["over"], _gain(row["baseline"]), _gain(row["other"])) for row in scores["gains"]]
        yield Table(("arm", "over", *names), gains, n_text=2)
    yield from _parts_of_scores(scores, names)
    for name, side in zip(names, ("baseline", "other"), strict=True):
        if scores[f"only_{side}_arms"]:
            yield Paragraph(f"Scored in {name} alone: {', '.join(scores[f'only_{side}_arms'])}.")


def _parts_of_scores(scores: Mapping[str, Any], names: tuple[str, str]) -> Iterator[Part]:
    """The main metric by task, of all arms, and by domain, of the headline arm."""
    metric, headline = scores["metric"], scores["headline"]
    main = [row for row in scores["rows"] if row["metric"] == metric]
    by_task = [(row["task"], _arms(row), *_score(row)) for row in main if row["task"]]
    if by_task:
        yield Paragraph(f"By task, {metric}:")
        yield Table(_header(names, "task", "arm"), by_task, n_text=2)
    by_domain = [row for row in main if row["domain"] and headline and _arms(row) == _arms(headline)]
    if by_domain:
        yield Paragraph(f"By domain, {_arms(headline)}, {metric}:")
        yield Table(_header(names, "domain"), [(row["domain"], *_score(row)) for row in by_domain])


def _header(names: tuple[str, str], *first: str) -> Cells:
    return *first, *names, "points", "95% interval", "p (Holm)", "how"


def _arms(row: Mapping[str, Any]) -> str:
    return str(row["arm"]) if row["arm"] == row["arm_baseline"] else f"{row['arm_baseline']} -> {row['arm']}"


def _score(row: Mapping[str, Any]) -> Cells:
    """Both means, the difference, its interval, p and the method."""
    p, same = row["p_holm"], "same model, " if row["same_model"] else ""
    n_questions = "/".join(f"{n:,}" for n in dict.fromkeys(row["n_questions"]))
    return (
        f"{row['baseline']:.1%}",
        f"{row['other']:.1%}",
        points(row["diff"]),
        f"{points(row['low'])} to {points(row['high'])}",
        NONE if p is None else "<0.001" if p < 0.001 else f"{p:.3f}",
        f"{same}{row['method']}, n = {n_questions}",
    )


def _gain(found: Mapping[str, Any]) -> str:
    return f"{points(found['diff'])} ({points(found['low'])} to {points(found['high'])})"


# ---- costs ----


def _costs(one: Mapping[str, Any]) -> Iterator[Part]:
    costs, names = one["costs"], (one["baseline"], one["other"])
    rows = [(row["stage"], row["baseline"], row["other"]) for row in costs["stages"]]
    if not rows:
        return
    rows.append(("total", costs["total"]["baseline"], costs["total"]["other"]))
    yield Heading("Cost and time")
    paid = any(spent and spent["cost_usd"] for _, *both in rows for spent in both)
    measures = [("s", "seconds", ",.1f"), ("tokens", "tokens_out", ",.0f")]
    measures += [("$", "cost_usd", ",.2f")] if paid else []
    header = ["stage", *(f"{name} {title}" for title, _, _ in measures for name in names)]
    yield Table(header, [(stage, *_spent(both, measures)) for stage, *both in rows])
    yield Paragraph(
        "Seconds, and tokens sampled or trained on, are of the work that made the outputs, on the machine that did it."
    )
    for name, title, form in (("tokens", "Tokens sampled", ",.1f"), ("usd", "Dollars", ".5f")):
        found = [row for row in (one["scores"] or {}).get("per_question") or () if any(row[name])]
        if found:
            told = ", ".join(f"{row['arm']} {' -> '.join(_number(n, form) for n in row[name])}" for row in found)
            yield Paragraph(f"{title} for a question: {told}.")


def _number(value: float | None, form: str) -> str:
    return NONE if value is None else format(value, form)


def _spent(both: Sequence[Mapping[str, float] | None], measures: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Each measure of both runs, side by side."""
    for _, key, form in measures:
        yield from (NONE if spent is None else format(spent[key], form) for spent in both)


# ---- words ----


def _some(items: Sequence[str], n: int | None = None) -> str:
    """The first few of a list, and how many more there are."""
    rest = (len(items) if n is None else n) - SHOWN
    return ", ".join(items[:SHOWN]) + (f" and {rest:,} more" if rest > 0 else "")


def _cut(text: str, widest: int) -> str:
    return text if len(text) <= widest else f"{text[: widest - 3]}..."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
