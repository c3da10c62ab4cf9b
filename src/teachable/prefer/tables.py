"""What judging writes: `preferences.parquet`, `responses.parquet`, `comparisons.parquet`, and the counts.

Preferences have the conversational shape that trainers read: `prompt`, `chosen` and `rejected` are lists of messages.
Their token ids are null, because the responses are other models' too, and each trainer has to read them with its own
tokenizer. `delta` is null, because nobody has measured what a response does to the probability of success. The tables
hold nothing that tells of time, so the same responses and replies give the same bytes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from teachable.prefer.config import JudgePairsConfig
from teachable.prefer.found import Compared, Judged, JudgedPairs, Pair
from teachable.records import Message
from teachable.store.files import write_rows

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "judged"
PREFERENCES, RESPONSES, COMPARISONS = "preferences.parquet", "responses.parquet", "comparisons.parquet"
_RESPECTS = ("accuracy", "style", "detail")


def write_tables(folder: Path, found: JudgedPairs, *, judge: str) -> None:
    """Write the three tables into a folder; `judge` is the name of the engine that judged."""
    write_rows(folder / PREFERENCES, [_pair_row(pair, judge) for pair in found.pairs], _preferences_schema())
    judged = [one for result in found.results for one in result.responses]
    write_rows(folder / RESPONSES, [_response_row(one) for one in judged], _responses_schema())
    compared = [one for result in found.results for one in result.compared]
    write_rows(folder / COMPARISONS, [_comparison_row(one) for one in compared], _comparisons_schema())


def _pair_row(pair: Pair, judge: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "prompt": [{"role": turn["role"], "content": turn["content"]} for turn in pair.prompt.messages],
        "chosen": [Message(role="assistant", content=pair.chosen.response.text)],
        "rejected": [Message(role="assistant", content=pair.rejected.response.text)],
        "prompt_id": pair.prompt.id,
        "kind": KIND,
        "margin": pair.margin,
        "judge": judge,
        "reason": pair.reason,
    }
    for side, one in (("chosen", pair.chosen), ("rejected", pair.rejected)):
        row[f"score_{side}"] = one.score
        row[f"engine_{side}"] = one.response.engine
        row[f"correct_{side}"] = one.response.correct
        row[f"response_{side}"] = one.response.id
        row |= {f"{name}_{side}": getattr(one.scoring, name, None) for name in _RESPECTS}
    return row


def _response_row(one: Judged) -> dict[str, Any]:
    response, scoring = one.response, one.scoring
    return {
        "id": response.id,
        "prompt_id": response.prompt_id,
        "engine": response.engine,
        "sample": response.sample,
        "seed": response.seed,
        "response": response.text,
        "finish_reason": response.finish_reason,
        "n_tokens": response.n_tokens,
        "correct": response.correct,
        "answer": response.answer,
        "checked": response.checked,
        "score": one.score,
        **{name: getattr(scoring, name, None) for name in _RESPECTS},
        "spread": scoring.spread if scoring is not None else None,
        "n_won": one.n_won,
        "n_tied": one.n_tied,
        "n_lost": one.n_lost,
        "reason": one.reason,
        "like": one.like or None,
        "fault": response.fault or None,
    }


def _comparison_row(one: Compared) -> dict[str, Any]:
    comparison = one.comparison
    return {
        "prompt_id": one.prompt_id,
        "first": one.first,
        "second": one.second,
        "winner": comparison.winner,
        "votes": list(comparison.votes),
        "n_flipped": comparison.n_flipped,
        "n_unreadable": comparison.n_unreadable,
        "position_bias": comparison.position_bias,
        "reason": comparison.reason,
    }


# ---- schemas, so that a column that is null throughout has the same type as in the next run ----


def _preferences_schema() -> pa.Schema:
    import pyarrow as pa

    chat = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    columns = [(name, chat) for name in ("prompt", "chosen", "rejected")]
    columns += [(f"{name}_token_ids", pa.list_(pa.int32())) for name in ("prompt", "chosen", "rejected")]
    columns += [("prompt_id", pa.string()), ("kind", pa.string()), ("delta", pa.float64())]
    columns += [("score_chosen", pa.float64()), ("score_rejected", pa.float64()), ("margin", pa.float64())]
    sides = ("chosen", "rejected")
    columns += [(f"{name}_{side}", pa.float64()) for name in _RESPECTS for side in sides]
    columns += [(f"engine_{side}", pa.string()) for side in sides]
    columns += [(f"correct_{side}", pa.bool_()) for side in sides]
    columns += [(f"response_{side}", pa.string()) for side in sides]
    return pa.schema([*columns, ("judge", pa.string()), ("reason", pa.string())])


def _responses_schema() -> pa.Schema:
    import pyarrow as pa

    types: dict[str, pa.DataType] = {name: pa.float64() for name in ("score", *_RESPECTS, "spread")}
    types |= {name: pa.int64() for name in ("sample", "seed", "n_tokens", "n_won", "n_tied", "n_lost")}
    types["correct"] = pa.bool_()
    names = "id prompt_id engine sample seed response finish_reason n_tokens correct answer checked score accuracy "
    names += "style detail spread n_won n_tied n_lost reason like fault"
    return pa.schema([(name, types.get(name, pa.string())) for name in names.split()])


def _comparisons_schema() -> pa.Schema:
    import pyarrow as pa

    types: dict[str, pa.DataType] = {"votes": pa.list_(pa.string()), "position_bias": pa.float64()}
    types |= {name: pa.int64() for name in ("n_flipped", "n_unreadable")}
    names = "prompt_id first second winner votes n_flipped n_unreadable position_bias reason"
    return pa.schema([(name, types.get(name, pa.string())) for name in names.split()])


# ---- counts ----


def pair_stats(found: JudgedPairs, config: JudgePairsConfig) -> dict[str, Any]:
    """What the results come to, but for what they cost."""
    judged = [one for result in found.results for one in result.responses]
    pairs = found.pairs
    left_out: Counter[str] = Counter()
    for result in found.results:
        left_out.update(result.left_out)
    margins = [pair.margin for pair in pairs]
    judging = _judging(found, config)
    return {
        "complete": found.stopped is None,
        "mode": config.mode,
        "n_prompts": found.n_prompts,
        "n_finished": len(found.results),
        "n_with_pairs": sum(bool(result.pairs) for result in found.results),
        "n_responses": len(judged),
        "n_alike": sum(bool(one.like) for one in judged),
        "responses_left_out": _ordered(Counter(one.response.fault for one in judged if one.response.fault)),
        "n_pairs": len(pairs),
        "pairs_left_out": _ordered(left_out),
        "mean_margin": sum(margins) / len(margins) if margins else None,
        "engines": _by_engine(judged, pairs),
        "wins": _wins(pairs),
        "n_undecided": judging["undecided"],
        "judging": judging,
    }


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _by_engine(judged: Sequence[Judged], pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """What each engine's responses were worth. Of responses that are alike, the first stands in the pairs."""
    groups: defaultdict[str, list[Judged]] = defaultdict(list)
    for one in judged:
        groups[one.response.engine].append(one)
    chosen = Counter(pair.chosen.response.engine for pair in pairs)
    rejected = Counter(pair.rejected.response.engine for pair in pairs)
    found = {}
    for name, ours in groups.items():
        scores = [one.score for one in ours if one.score is not None]
        found[name] = {
            "responses": len(ours),
            "left_out": sum(bool(one.response.fault) for one in ours),
            "right": sum(one.response.correct is True for one in ours),
            "wrong": sum(one.response.correct is False for one in ours),
            "scored": len(scores),
            "mean_score": sum(scores) / len(scores) if scores else None,
            "chosen": chosen[name],
            "rejected": rejected[name],
        }
    return found


def _wins(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """How many pairs prefer which engine to which, the most frequent first."""
    counts = Counter((pair.chosen.response.engine, pair.rejected.response.engine) for pair in pairs)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"chosen": chosen, "rejected": rejected, "pairs": n} for (chosen, rejected), n in ordered]


def _judging(found: JudgedPairs, config: JudgePairsConfig) -> dict[str, Any]:
    """How many questions the judge was asked, how often it could not tell, and how often its place misled it."""
    if config.mode == "pointwise":
        scorings = [one.scoring for r in found.results for one in r.responses if one.scoring and not one.like]
        asked = [scoring for scoring in scorings if scoring.n_votes]
        return {
            "questions": len(asked),
            "undecided": sum(scoring.accuracy is None for scoring in asked),
            "replies": sum(scoring.n_votes for scoring in asked),
            "unreadable": sum(scoring.n_unreadable for scoring in asked),
        }
    comparisons = [one.comparison for result in found.results for one in result.compared if one.comparison.votes]
    biases = [one.position_bias for one in comparisons if one.position_bias is not None]
    n_flipped = sum(one.n_flipped for one in comparisons)
    n_both = n_flipped + sum(vote is not None for one in comparisons for vote in one.votes)
    return {
        "questions": len(comparisons),
        "undecided": sum(one.winner is None for one in comparisons),
        "ties": sum(one.winner == "tie" for one in comparisons),
        "replies": sum(2 * len(one.votes) for one in comparisons),
        "unreadable": sum(one.n_unreadable for one in comparisons),
        "inconsistent_votes": n_flipped,
        "frac_inconsistent": n_flipped / n_both if n_both else None,
        "position_bias": sum(biases) / len(biases) if biases else None,
    }
