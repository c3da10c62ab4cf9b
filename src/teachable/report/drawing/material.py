"""The sections on what went in: the funnel, the spread of pass rates, and the training curves."""

from __future__ import annotations

from typing import Any

from teachable.records import ZONES
from teachable.report.drawing.charts import Line, Scale, curves, histogram, legend, tone
from teachable.report.drawing.parts import figure, gap, more, section, table
from teachable.report.markup import Html, count, duration, el, join, percent, short

Facts = dict[str, Any]
STACK = ("beyond", "ambiguous", "teachable", "mastered")  # bottom to top
# What `Estimate.stopped` and `Estimate.key_source` say, for people.
ENDS = {
    "decided": "one zone is likely enough",
    "close": "near a threshold: more attempts would hardly tell",
    "max": "as many attempts as allowed",
    "fixed": "as many attempts as asked for",
    "budget": "there was more to learn from other prompts",
    "undecidable": "there is nothing to judge attempts by",
    "failed": "the engine failed",
    "interrupted": "the run was stopped",
}
KEYS = {
    "organic": "the prompt's own answer",
    "program": "the answer of the program that made the prompt",
    "teacher": "the plurality of the reference model's answers",
    "majority": "the plurality of the base model's own answers, which proves nothing",
    "verifier": "none: the verifier decides without",
}


def funnel(facts: Facts) -> Html:
    """From the pool to what was trained on, each step with its share and its losses."""
    steps = facts["funnel"]
    known = [s["count"] for s in steps if s["count"] is not None]
    if not known:
        return section("funnel", "From pool to training set", gap("the prompts", "tasks/prompts.parquet"))
    widest = max(known) or 1
    items = []
    before: int | None = None
    for s in steps:
        n = s["count"]
        share = f"{percent(n / before)} kept" if n is not None and before else ""
        items.append(
            el(
                "li",
                el("span", s["label"], class_="step"),
                el(
                    "span",
                    el("b", count(n)),
                    " ",
                    el("span", share or ("unknown" if n is None else ""), class_="ci"),
                    class_="num",
                ),
                el(
                    "span",
                    el(
                        "span",
                        style=f"width:{100 * (n or 0) / widest:.2f}%",
                        class_=tone("base" if s["step"] in ("pool", "probed") else "teachable"),
                    ),
                    class_="track",
                    aria_hidden="true",
                ),
                el("span", f"left out: {s['lost']}", class_="note") if s.get("lost") else None,
            )
        )
        before = n if n is not None else before
    reasons = [("tasks", r["reason"], count(r["count"])) for r in facts["rejected"]]
    reasons += [("select", r["reason"], count(r["count"])) for r in facts["dropped"]]
    sets = facts["sets"]
    return section(
        "funnel",
        "From pool to training set",
        el("ol", join(items), class_="funnel"),
        more("Why things were dropped", table("Dropped, by reason", ("stage", "reason", "count"), reasons, 2))
        if reasons
        else None,
        more(
            "The training sets",
            table(
                "The training sets of the arms",
                ("arm", "seed", "examples", "different prompts", "tokens", "passes"),
                [
                    (
                        s["arm"],
                        s["seed"],
                        count(s.get("n_examples")),
                        count(s.get("n_unique")),
                        count(s.get("n_tokens")),
                        "" if s.get("n_epochs") is None else f"{s['n_epochs']:.1f}",
                    )
                    for s in sets
                ],
            ),
        )
        if sets
        else None,
        lead="What became of every prompt on the way into the taught set.",
    )


def pass_rates(facts: Facts) -> Html:
    """The histogram of observed pass rates by zone: all prompts, then domain by domain on one scale."""
    rates = facts["pass_rates"]
    if not rates:
        return section(
            "pass-rates", "What the base model can almost do", gap("the estimates", "probe/estimates.parquet")
        )
    labels, total = rates["labels"], rates["total"]
    zones = [z for z in (*STACK, *(z for z in total if z not in STACK)) if any(total[z])]
    top = max(sum(total[z][i] for z in zones) for i in range(len(labels)))
    says = ", ".join(f"{z} {count(sum(total[z]))}" for z in zones)
    small_top = max(sum(d[z][i] for z in d) for d in rates["domains"].values() for i in range(len(labels)))
    small = [
        figure(
            el("b", name.replace("_", " ")),
            histogram(
                labels,
                {z: d[z] for z in zones if z in d},
                height=96,
                top=small_top,
                axis=False,
                label=f"{name}: " + ", ".join(f"{z} {sum(d[z])}" for z in zones if z in d),
            ),
        )
        for name, d in rates["domains"].items()
    ]
    n_all = sum(facts["zones"].values()) or 1
    share = facts["zones"].get("teachable", 0) / n_all
    tried = f"{rates['n_attempts']} attempts each" if rates["n_attempts"] else _tried(facts["probing"])
    if rates["n_without"]:
        tried += f"; {count(rates['n_without'])} without a decided attempt are not drawn"
    rows = [
        (name, *(count(total[z][i]) for z in zones), count(sum(total[z][i] for z in zones)))
        for i, name in enumerate(labels)
    ]
    per_domain = [
        (name.replace("_", " "), *(count(d.get(z, 0)) for z in ZONES), count(sum(d.values())))
        for name, d in facts["zones_by_domain"].items()
    ]
    return section(
        "pass-rates",
        "What the base model can almost do",
        figure(
            f"Prompts by share of right answers, {tried}",
            legend(dict.fromkeys(zones, "square")),
            histogram(labels, {z: total[z] for z in zones}, height=260, top=top, label=f"Prompts by pass rate: {says}"),
        ),
        el("h3", "Domain by domain"),
        el(
            "p",
            f"The same bars, from {labels[0]} right at the left to {labels[-1]} at the right, all on one scale.",
            class_="hint",
        ),
        el("div", join(small), class_="smalls"),
        more(
            "The numbers as tables",
            table("Prompts by pass rate and zone", ("right", *zones, "all"), rows),
            table("Prompts by domain and zone", ("domain", *ZONES, "all"), per_domain),
        ),
        *_probing(facts["probing"]),
        lead=f"{percent(share)} of {count(n_all)} probed prompts are teachable: sometimes right, not always.",
    )


def _tried(probing: Facts) -> str:
    return f"{probing['per_prompt']:.1f} attempts at each on average ({probing['fewest']} to {probing['most']})"


def _probing(probing: Facts) -> list[Html]:
    """Why no more was asked, what attempts were compared with, and how many keys are in doubt."""
    if not probing.get("stopped"):
        return []
    ends = [(name, ENDS.get(name, ""), count(n)) for name, n in probing["stopped"].items()]
    keys = [(name, KEYS.get(name, ""), count(n)) for name, n in probing["keys"].items()]
    doubt = f"The teacher contradicts the answer of {count(probing['n_suspect'])} prompts, which are marked suspect."
    return [
        more(
            f"{count(probing['n_attempts'])} attempts, and why no more",
            table("Prompts by what ended their sampling", ("end", "meaning", "prompts"), ends, 2),
            table("Prompts by where their key came from", ("key", "meaning", "prompts"), keys, 2),
        ),
        *([el("p", doubt, class_="hint")] if probing["n_suspect"] else []),
    ]


def training(facts: Facts) -> Html:
    """Loss against tokens, a panel an arm; the other arms' means stand behind in grey. Nothing without any curve."""
    t = facts["training"]
    parts: list[object] = []
    if t["curves"]:
        points = [p for c in t["curves"] for line in (*c["seeds"].values(), c["mean"]) for p in line]
        x, y = Scale(0.0, max(p[0] for p in points)), Scale.around([p[1] for p in points], pad=0.06)
        panels = []
        for c in t["curves"]:
            lines = [Line(o["mean"], o["arm"], "ghost") for o in t["curves"] if o is not c]
            lines += [Line(p, c["arm"], "seed") for p in c["seeds"].values()]
            lines.append(Line(c["mean"], c["arm"], "mean"))
            last = c["mean"][-1][1] if c["mean"] else None
            end = "" if last is None else f" ends at {last:.2f}"
            caption = el(
                "span", el("span", class_=f"key round {tone(c['arm'])}", aria_hidden="true"), el("b", c["arm"]), end
            )
            panels.append(
                figure(
                    caption,
                    curves(
                        lines,
                        x,
                        y,
                        height=190,
                        write_x=short,
                        label=f"Training loss of {c['arm']} over {short(x.high)} tokens, {len(c['seeds'])} seeds,{end}",
                    ),
                )
            )
        parts.append(el("div", join(panels), class_="panels narrow"))
    elif "sft" in facts["roles"]:
        parts.append(gap("the curves of the arms", "sft/curves.parquet"))
    if t["runs"]:
        parts.append(
            more(
                "Every training run",
                table(
                    "Training runs",
                    ("arm", "seed", "examples", "steps", "tokens", "response tokens", "final loss", "time"),
                    [
                        (
                            r["arm"],
                            r["seed"],
                            count(r["n_examples"]),
                            count(r["n_steps"]),
                            count(r["n_tokens"]),
                            count(r["n_response_tokens"]),
                            "" if r["final_loss"] is None else f"{r['final_loss']:.3f}",
                            duration(r["seconds"]),
                        )
                        for r in t["runs"]
                    ],
                ),
            )
        )
    base = t["pretrain"]
    if base["curve"]:
        x = Scale(0.0, max(p[0] for p in base["curve"]))
        made = [
            f"{short(base['n_params'])} parameters" if base["n_params"] else "",
            f"{short(base['n_tokens'])} tokens" if base["n_tokens"] else "",
            "taken from this machine's cache"
            if base["cached"]
            else duration(base["seconds"])
            if base["seconds"]
            else "",
        ]
        caption = el("span", el("b", "the base model"), " " + ", ".join(m for m in made if m))
        parts.append(
            figure(
                caption,
                curves(
                    [Line(base["curve"], "base", "mean")],
                    x,
                    Scale.around([p[1] for p in base["curve"]]),
                    height=190,
                    write_x=short,
                    label=f"Pretraining loss over {short(x.high)} tokens",
                ),
                class_="alone",
            )
        )
    if not parts:
        return Html("")
    return section(
        "training",
        "Training curves",
        *parts,
        lead="Loss against training tokens: seeds thin, their mean bold, the other arms' means in grey. "
        "Each arm reads its own examples, so a lower curve is not a better model."
        if "sft" in facts["roles"]
        else "Loss against training tokens.",
    )
