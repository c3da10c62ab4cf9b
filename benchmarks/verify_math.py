"""The checker of math answers on pairs that we labelled by hand, beside math-verify, sympy and string matches.

    .venv/bin/python benchmarks/verify_math.py [--half dev|held_out|all] [--tools teachable,math-verify,...]
        [--show TOOL [--reveal]] [--generated 400] [--json FILE]

`verify_math/pairs.jsonl` holds a pair a line: a reference, an attempt, and whether the attempt is right. Texts and
labels are our own; labels follow mathematics and, where that is silent, `docs/verifiers.md`; `note` says why where it
is not plain. Within a kind and label, pairs sorted by the SHA-256 of their id go to `dev` and `held_out` in turn: `dev`
is for mending the checker, `held_out` for the figure, and its wrong pairs are shown only with `--reveal`.

- accuracy: share of pairs whose verdict is the label. None (could not tell) counts as wrong; `decided` leaves it out,
  and `none as no` reads it as "this attempt is wrong", as many a reward does.
- false positive: a wrong attempt that is called right; false negative: a right one that is called wrong.
- gaming: attempts that give no single answer (several boxes, "5 or 6", any of 1..100, an empty box); all are wrong.
- against math-verify: McNemar's exact test on the pairs that only one of the two gets right, and a paired bootstrap.

math-verify is run in three settings (`math_baselines.py`), and the one that is right most often on these pairs counts.

Speed is measured on the same run: the tools take turns on chunks of pairs, each pair once a tool, so no cache helps;
the ratio is the median over chunks. "easy" are pairs of `EASY_KINDS` and short responses with numeric answers that are
generated for this (not part of the accuracy); "rest" are all others. "warm" repeats the generated pairs.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from math_baselines import MathVerify, normalised, plain, sympy_verdicts

PAIRS = Path(__file__).parent / "verify_math" / "pairs.jsonl"
HALVES = ("dev", "held_out")
EASY_KINDS = ("integers", "fractions", "decimals", "percentages", "scientific", "thousands")
OURS, RIVAL = "teachable", "math-verify"
SETTINGS = {f"bare answers {how}": MathVerify(how) for how in ("as given", "in dollars", "both")}
TOOLS = (OURS, RIVAL, "sympy", "normalised", "plain")
# Easy and hard ones, none of them among the labelled pairs; the last one takes a computer algebra system.
WARM_UP = (("7", "\\boxed{7}"), ("4\\cos^3 x - 3\\cos x", "\\boxed{\\cos 3x}"), ("\\sum_{k=1}^{5} k^3", "\\boxed{225}"))
N_CHUNKS = 20
N_BOOTSTRAP = 10_000
SEED = 0

Verdict = bool | None
Tool = Callable[[str, str], Verdict]


@dataclass(frozen=True)
class Pair:
    """A reference, an attempt, and whether it is right; see the module's docstring."""

    id: str
    kind: str
    reference: str
    attempt: str
    label: bool
    half: str
    note: str


def load(half: str = "all") -> list[Pair]:
    """The pairs of a half, or all, in the order of the file."""
    pairs = [Pair(**json.loads(line)) for line in PAIRS.read_text(encoding="utf-8").splitlines()]
    return [pair for pair in pairs if half in ("all", pair.half)]


def ours() -> Tool:
    """The checker of this project. It is imported here so that the others can be compared without it."""
    from teachable.verify import check

    return lambda reference, attempt: check(attempt, reference, verifier="math").correct


# ---- pairs for timing ----


def generated(n: int) -> list[Pair]:
    """Short responses with numeric answers, all different, every third wrong; the same ones on every call."""
    draw = random.Random(SEED)
    made: dict[tuple[str, str], Pair] = {}
    while len(made) < n:
        reference, right, wrong = _numbers(draw)
        label = len(made) % 3 > 0
        answer = right if label else wrong
        a, b = draw.randrange(2, 99), draw.randrange(2, 99)
        attempt = draw.choice(
            (
                f"Each of the {a} rows has {b} seats, and some are taken. So there are {answer} left.\n#### {answer}",
                f"Adding up both cases, {a} and {b} at first, we get \\boxed{{{answer}}}.",
                f"From ${a}x = {b}$ and the second condition it follows that the answer is ${answer}$.",
                f"\\boxed{{{answer}}}",
                answer,
            )
        )
        pair = Pair(f"generated-{len(made)}", "generated", reference, attempt, label, half="", note="")
        made.setdefault((reference, attempt), pair)
    return list(made.values())


def _numbers(draw: random.Random) -> tuple[str, str, str]:
    """A numeric reference, the same number written in one of the usual ways, and one close to it."""
    whole, off = draw.randrange(1, 100_000), draw.choice((-10, -1, 1, 10))
    top, bottom = draw.randrange(1, 60), draw.randrange(2, 60)
    kind = draw.choices(("integer", "thousands", "decimal", "fraction", "percent"), (10, 3, 3, 4, 2))[0]
    if kind == "integer":
        return f"{whole}", draw.choice((f"{whole}", f"{whole}.0")), f"{whole + off}"
    if kind == "thousands":
        return f"{whole + 1000}", f"{whole + 1000:,}", f"{whole + 1000 + off:,}"
    if kind == "decimal":
        return f"{whole / 100:.2f}", f"{whole / 100:.3f}", f"{whole / 100 + off / 100:.2f}"
    if kind == "percent":
        return f"{whole / 1000:g}\\%", f"{whole / 1000:g}%", f"{whole / 1000 + off:g}\\%"
    common = math.gcd(top, bottom)
    lowest = f"\\frac{{{top // common}}}{{{bottom // common}}}"
    return lowest, draw.choice((lowest, f"{top}/{bottom}")), f"\\frac{{{top + bottom}}}{{{bottom}}}"


# ---- asking and timing ----


def ask(tools: dict[str, Tool], pairs: Sequence[Pair]) -> tuple[dict[str, list[Verdict]], dict[str, list[float]]]:
    """Each tool's verdicts, in the order of the pairs, and its seconds a pair; tools take turns chunk by chunk."""
    verdicts: dict[str, list[Verdict]] = {name: [] for name in tools}
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    size = max(1, math.ceil(len(pairs) / N_CHUNKS))
    for number, start in enumerate(range(0, len(pairs), size)):
        names = list(tools)
        for name in names if number % 2 else reversed(names):
            for pair in pairs[start : start + size]:
                begun = time.perf_counter()
                verdicts[name].append(tools[name](pair.reference, pair.attempt))
                seconds[name].append(time.perf_counter() - begun)
    return verdicts, seconds


def speed(seconds: dict[str, list[float]], rival: str) -> dict[str, Any]:
    """Pairs a second of both, and how many times as fast ours is: median over chunks, quartiles, and in total."""
    size = max(1, math.ceil(len(seconds[OURS]) / N_CHUNKS))
    chunks = {
        name: [sum(seconds[name][start : start + size]) for start in range(0, len(seconds[name]), size)]
        for name in (OURS, rival)
    }
    ratios = [theirs / mine for mine, theirs in zip(chunks[OURS], chunks[rival], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    found: dict[str, Any] = {"n_pairs": len(seconds[OURS]), "n_chunks": len(ratios), "times_as_fast": middle}
    found |= {"quartiles": [low, high], "in_total": sum(seconds[rival]) / sum(seconds[OURS]), "least": min(ratios)}
    for label, name in ((OURS, OURS), (RIVAL, rival)):
        found[label] = {
            "pairs_per_s": len(seconds[name]) / sum(seconds[name]),
            "median_ms": 1000 * statistics.median(seconds[name]),
            "worst_ms": 1000 * max(seconds[name]),
        }
    return found


def spread(pairs: Sequence[Pair]) -> list[Pair]:
    """The same pairs in an order that puts every kind into every chunk."""
    return random.Random(SEED).sample(list(pairs), len(pairs))


# ---- figures ----


def score(verdicts: Sequence[Verdict], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Accuracy, false positives and negatives, and how often a tool could not tell."""
    told = list(zip(verdicts, pairs, strict=True))
    n_right = sum(verdict is pair.label for verdict, pair in told)
    n_none = sum(verdict is None for verdict, _ in told)
    return {
        "n": len(told),
        "accuracy": n_right / len(told),
        "none_as_no": sum((verdict is True) is pair.label for verdict, pair in told) / len(told),
        "decided": n_right / (len(told) - n_none) if len(told) > n_none else None,
        "false_positives": sum(verdict is True and not pair.label for verdict, pair in told),
        "false_negatives": sum(verdict is False and pair.label for verdict, pair in told),
        "none": n_none,
    }


def against(mine: Sequence[Verdict], theirs: Sequence[Verdict], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Is ours better than the other on these pairs? McNemar's exact p-value, and the difference with its interval."""
    right = np.array([[a is p.label, b is p.label] for a, b, p in zip(mine, theirs, pairs, strict=True)], dtype=float)
    gain = right[:, 0] - right[:, 1]
    n_ours, n_theirs = int((gain > 0).sum()), int((gain < 0).sum())
    n = n_ours + n_theirs
    p_value = min(1.0, 2 * sum(math.comb(n, k) for k in range(min(n_ours, n_theirs) + 1)) / 2**n)
    draws = np.random.default_rng(SEED).integers(0, len(gain), (N_BOOTSTRAP, len(gain)))
    low, high = np.quantile(gain[draws].mean(axis=1), (0.025, 0.975))
    return {
        "only_ours_right": n_ours,
        "only_theirs_right": n_theirs,
        "mcnemar_p": p_value,
        "difference": float(gain.mean()),
        "interval": [float(low), float(high)],
    }


def figures(verdicts: dict[str, list[Verdict]], pairs: Sequence[Pair]) -> dict[str, Any]:
    """All figures of some pairs: by tool, in all and by kind, and ours against each other tool."""
    kinds = [kind for kind in dict.fromkeys(pair.kind for pair in load()) if any(pair.kind == kind for pair in pairs)]
    found: dict[str, Any] = {"n_pairs": len(pairs), "n_true": sum(pair.label for pair in pairs), "tools": {}}
    for name, said in verdicts.items():
        by_kind = {}
        for kind in kinds:
            chosen = [(verdict, pair) for verdict, pair in zip(said, pairs, strict=True) if pair.kind == kind]
            by_kind[kind] = score([verdict for verdict, _ in chosen], [pair for _, pair in chosen])
        found["tools"][name] = {**score(said, pairs), "by_kind": by_kind}
    if OURS in verdicts:
        found["against"] = {
            name: against(verdicts[OURS], said, pairs) for name, said in verdicts.items() if name != OURS
        }
    return found


def measure(half: str, names: Sequence[str], n_generated: int) -> tuple[dict[str, Any], list[Pair], dict[str, Any]]:
    """Everything: the facts, the pairs, and each tool's verdicts on them."""
    timed: dict[str, Tool] = {}
    if OURS in names:
        timed[OURS] = ours()
    if RIVAL in names:
        timed |= SETTINGS
    for tool in timed.values():  # what is imported or started once is not counted
        for reference, attempt in WARM_UP:
            tool(reference, attempt)
    pairs = spread(load(half))
    groups = {
        "easy": [p for p in pairs if p.kind in EASY_KINDS],
        "rest": [p for p in pairs if p.kind not in EASY_KINDS],
    }
    pairs = [*groups["easy"], *groups["rest"]]
    asked = {name: ask(timed, group) for name, group in groups.items()}
    drawn = generated(n_generated)
    more = {turn: ask(timed, drawn) for turn in ("cold", "warm")} if n_generated else {}
    verdicts: dict[str, list[Verdict]] = {name: asked["easy"][0][name] + asked["rest"][0][name] for name in timed}
    facts: dict[str, Any] = {"half": half, "versions": {name: version(name) for name in ("math-verify", "sympy")}}
    if RIVAL in names:
        settings = {name: score(verdicts.pop(name), pairs)["accuracy"] for name in SETTINGS}
        best = max(settings, key=lambda name: settings[name])
        verdicts[RIVAL] = asked["easy"][0][best] + asked["rest"][0][best]
        facts["math_verify"] = {"accuracy": settings, "setting": best}
        if OURS in names:
            cold = {"easy": _joined(asked["easy"][1], *(one[1] for turn, one in more.items() if turn == "cold"))}
            facts["speed"] = {"easy": speed(cold["easy"], best), "rest": speed(asked["rest"][1], best)}
            facts["speed"] |= {"generated, warm": speed(more["warm"][1], best)} if more else {}
    if more:
        facts["generated"] = {name: score(said, drawn) for name, said in more["cold"][0].items()}
    if "sympy" in names:
        verdicts["sympy"] = sympy_verdicts([(pair.reference, pair.attempt) for pair in pairs])
    for name, match in (("normalised", normalised), ("plain", plain)):
        if name in names:
            verdicts[name] = [match(pair.reference, pair.attempt) for pair in pairs]
    return facts, pairs, verdicts


def _joined(*seconds: dict[str, list[float]]) -> dict[str, list[float]]:
    """Seconds of several groups of pairs, one after the other, interleaved so that chunks are alike."""
    names = seconds[0]
    places = list(range(sum(len(group[OURS]) for group in seconds)))
    random.Random(SEED).shuffle(places)
    joined = {name: [second for group in seconds for second in group[name]] for name in names}
    return {name: [joined[name][place] for place in places] for name in names}


# ---- showing ----


def show(found: dict[str, Any]) -> None:
    """The tables of some pairs: a row a tool, and a row a kind."""
    print(f"{found['n_pairs']} pairs, {found['n_true']} of them right\n")
    print("| tool | accuracy | decided | none as no | false positives | false negatives | none | gaming called right |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, of in found["tools"].items():
        gaming = of["by_kind"].get("gaming", {"false_positives": 0, "n": 0})
        cells = [
            f"{of['accuracy']:.1%}",
            "" if of["decided"] is None else f"{of['decided']:.1%}",
            f"{of['none_as_no']:.1%}",
        ]
        cells += [str(of[what]) for what in ("false_positives", "false_negatives", "none")]
        print(f"| {name} | {' | '.join(cells)} | {gaming['false_positives']} of {gaming['n']} |")
    for name, of in found.get("against", {}).items():
        low, high = of["interval"]
        print(f"\n{OURS} - {name}: {of['difference']:+.1%} [{low:+.1%}, {high:+.1%}]", end="; ")
        print(
            f"right alone {of['only_ours_right']} to {of['only_theirs_right']}, McNemar p = {of['mcnemar_p']:.2g}",
            end="",
        )
    names = list(found["tools"])
    print(f"\n\nAccuracy by kind (false positives, false negatives, none)\n\n| kind | pairs | {' | '.join(names)} |")
    print("| --- " * (len(names) + 2) + "|")
    for kind, first in found["tools"][names[0]]["by_kind"].items():
        cells = [_cell(found["tools"][name]["by_kind"][kind]) for name in names]
        print(f"| {kind} | {first['n']} | {' | '.join(cells)} |")


def _cell(of: dict[str, Any]) -> str:
    wrong = f" ({of['false_positives']}, {of['false_negatives']}, {of['none']})" if of["accuracy"] < 1 else ""
    return f"{of['accuracy']:.0%}{wrong}"


def show_speed(facts: dict[str, Any]) -> None:
    """Which setting of math-verify counts, and the ratios."""
    if "math_verify" in facts:
        each = "; ".join(f"{name} {accuracy:.1%}" for name, accuracy in facts["math_verify"]["accuracy"].items())
        print(f"\n{RIVAL}: {each}; what counts here is '{facts['math_verify']['setting']}'")
    for name, of in facts.get("speed", {}).items():
        low, high = of["quartiles"]
        rates = [f"{of[tool]['pairs_per_s']:,.0f}" for tool in (OURS, RIVAL)]
        worst = [f"{of[tool]['worst_ms']:.0f} ms" for tool in (OURS, RIVAL)]
        print(
            f"{name}: {of['n_pairs']} pairs, {' to '.join(rates)} pairs/s; {of['times_as_fast']:.2f} times as fast",
            end=" ",
        )
        print(f"(quartiles {low:.2f} to {high:.2f}; in total {of['in_total']:.2f}; worst pair {' to '.join(worst)})")
    for name, of in facts.get("generated", {}).items():
        print(f"generated pairs, {name}: {of['accuracy']:.1%} of {of['n']}")


def show_wrong(tool: str, verdicts: Sequence[Verdict], pairs: Sequence[Pair]) -> None:
    """The pairs on which a tool is wrong."""
    for verdict, pair in sorted(zip(verdicts, pairs, strict=True), key=lambda told: told[1].id):
        if verdict is not pair.label:
            print(f"\n{pair.id} ({pair.half}): {tool} says {verdict}, the label is {pair.label}. {pair.note}")
            print(f"    reference {pair.reference!r}\n    attempt   {pair.attempt!r}")


def rounded(value: Any) -> Any:
    """The same with numbers of five significant digits."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Run what is asked for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=(*HALVES, "all"), default="dev")
    parser.add_argument("--tools", default=",".join(TOOLS), help=f"of {', '.join(TOOLS)}")
    parser.add_argument("--show", metavar="TOOL", help="print the pairs on which this tool is wrong")
    parser.add_argument("--reveal", action="store_true", help="with --show: those of the held-out half too")
    parser.add_argument("--generated", type=int, default=400, help="numeric pairs for timing; 0 for none")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    names = args.tools.split(",")
    if unknown := sorted({*names, args.show or OURS} - {*TOOLS}):
        parser.error(f"no tool is called {', '.join(unknown)}; the tools are {', '.join(TOOLS)}")
    if args.show and args.show not in names:
        parser.error(f"--show {args.show}: --tools leaves it out")
    facts, pairs, verdicts = measure(args.half, names, args.generated)
    verdicts = {name: verdicts[name] for name in names}
    for half in HALVES if args.half == "all" else (args.half,):
        places = [place for place, pair in enumerate(pairs) if pair.half == half]
        chosen = {name: [said[place] for place in places] for name, said in verdicts.items()}
        facts[half] = figures(chosen, [pairs[place] for place in places])
        print(f"## {half}\n")
        show(facts[half])
        if args.show and (half == "dev" or args.reveal):
            show_wrong(args.show, chosen[args.show], [pairs[place] for place in places])
    show_speed(facts)
    if args.json:
        args.json.write_text(json.dumps(rounded(facts), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
