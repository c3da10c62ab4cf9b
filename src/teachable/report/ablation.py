"""The page of an ablation: what a sceptic wants to see of it, in one file, and its plot as an SVG of its own.

The page is made like the run's report: no request, no script but ours (by its hash), whole without JavaScript. The SVG
brings its own colours, so that it stands in a README or a talk; both follow the reader's theme.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from teachable.report.drawing import ablation
from teachable.report.drawing.ablation import BASE, HEADLINE
from teachable.report.drawing.charts import curves, swatch, tone
from teachable.report.drawing.parts import section
from teachable.report.markup import Html, count, el, esc, interval, join, percent, points, short
from teachable.store.files import read_json, read_rows, write_text

Facts = Mapping[str, Any]
OUTCOMES = {
    "better": ("Better", "better"),
    "better than some": ("Better than some", "no-difference"),
    "no difference": ("No difference", "no-difference"),
    "worse": ("Worse", "worse"),
}
WIDTH_PX, HEAD_PX = 760, 84  # of the SVG, and of what stands above its plot
# Light and dark colours of the page's own palette (templates/style.css), for an SVG without the page.
COLOURS = {
    "teachable": ("#d1540a", "#f29047"),
    "mastered": ("#0a6fb0", "#5fb2ea"),
    "random": ("#0b8467", "#3fc39f"),
    "beyond": ("#8a4f86", "#cb8fc7"),
    "other": ("#8a6d1d", "#cfae55"),
}


@dataclass(frozen=True)
class AblationFiles:
    """What was written."""

    page: Path
    plot: Path


def write_ablation(run: Path, stage: str = "ablate") -> AblationFiles:
    """Write RUN/STAGE.html and RUN/STAGE.svg of a finished ablation, each whole or not at all.

    Raises:
        TeachableError: a table is missing or broken, or there is no room to write.
    """
    folder = Path(run) / stage
    stats = read_json(folder / "stats.json")
    seeds = [row for row in read_rows(folder / "points.parquet") if row["arm"] != BASE]
    files = AblationFiles(Path(run) / f"{stage}.html", Path(run) / f"{stage}.svg")
    write_text(files.page, page_of(stats, read_rows(folder / "runs.parquet"), seeds))
    write_text(files.plot, plot_of(stats))
    return files


def page_of(stats: Facts, runs: Sequence[Facts], seeds: Sequence[Facts]) -> str:
    """The document.

    Args:
        stats: an ablation's stats.json.
        runs, seeds: rows of its runs.parquet, and of its points.parquet without the base's.
    """
    style, script = _template("style.css"), _template("script.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    sections = {
        "course": ("Plot", ablation.course(stats, seeds)),
        "differences": ("Differences", ablation.differences(stats)),
        "arms": ("Arms", ablation.arms(stats, runs, seeds)),
        "again": ("Run it again", _again(stats)),
    }
    contents = join(el("li", el("a", name, href=f"#{anchor}")) for anchor, (name, _) in sections.items())
    return Template(_template("page.html")).substitute(
        title=esc(f"Ablation of {stats['run']} \u00b7 teachable"),
        policy=esc(
            f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
            "base-uri 'none'; form-action 'none'"
        ),
        style=Html(style + STYLE),
        script=Html(script),
        header=_header(stats),
        contents=el("nav", el("ul", contents), aria_label="Contents"),
        sections=join(drawn for _, drawn in sections.values()),
        footer=el("footer", el("p", "Made by teachable ablate.")),
    )


def _header(stats: Facts) -> Html:
    """What came of it in one line, the verdict with its numbers, and a number an arm."""
    outcome, class_ = OUTCOMES[stats["verdict"]["outcome"]]
    place = ["teachable ablate", stats["run"], f"base {stats['base_model']}"]
    return el(
        "header",
        el(
            "div",
            el("p", join((el("span", part) for part in place), " "), class_="eyebrow"),
            el("button", "Theme: auto", type="button", id="theme", class_="theme", hidden=True),
            class_="bar",
        ),
        el("p", el("span", class_="dot", aria_hidden="true"), outcome, class_=f"outcome {class_}"),
        el("h1", headline(stats)),
        _keys(stats),
        el("p", stats["verdict"]["sentence"], class_="measured"),
    )


def headline(stats: Facts) -> str:
    """The verdict without its numbers."""
    sides: dict[str, list[str]] = {"better": [], "worse": [], "no difference": []}
    for row in stats["comparisons"]:
        if row["number"] == "end" and row["baseline"] != BASE:
            sides[row["outcome"]].append(row["baseline"])
    parts = [f"did better than {_listed(sides['better'])}"] if sides["better"] else []
    parts += [f"did worse than {_listed(sides['worse'])}"] if sides["worse"] else []
    parts += [f"could not be told from {_listed(sides['no difference'])}"] if sides["no difference"] else []
    return f"At the same tokens and steps, teachable {'; it '.join(parts)}."


def _listed(names: Sequence[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _keys(stats: Facts) -> Html:
    gains = {row["baseline"]: row for row in stats["comparisons"] if row["number"] == "end"}
    start = {"arm": BASE, "end": stats[BASE]}
    items = []
    for arm in [start, *stats["arms"]]:
        name, end = arm["arm"], arm["end"]
        if name in (BASE, HEADLINE):
            note = "before training" if name == BASE else f"{points(gains[BASE]['diff'])} over the base"
        else:
            note = f"teachable less it: {points(gains[name]['diff'])}"
        items.append(
            el(
                "div",
                el("dt", swatch(name) or el("span", class_=f"key square {tone(name)}", aria_hidden="true"), name),
                el(
                    "dd",
                    el("span", percent(end["mean"]), class_="big"),
                    el("span", note, class_="note"),
                    el("span", interval(end["low"], end["high"]), class_="note"),
                ),
                class_="lead-arm" if name == HEADLINE else None,
            )
        )
    return el("dl", join(items), class_="keys", aria_label="Accuracy at the end")


def _again(stats: Facts) -> Html:
    settings = stats["settings"]
    command = f"teachable ablate --recipe {stats['run']}/run.yaml --out again"
    told = (el("div", el("dt", name), el("dd", str(value))) for name, value in settings.items())
    return section(
        "again",
        "Run it again",
        el("pre", el("code", command)),
        el(
            "p",
            "The same seeds on the same machine give the same numbers. Tables beside this page: ",
            join((el("code", f"{stats['stage']}/{name}.parquet") for name in TABLES), ", "),
            ".",
            class_="hint",
        ),
        el("h3", "Settings of the training and the asking"),
        el("dl", join(told), class_="environment"),
        el("h3", "What this does not show"),
        el("ul", join(el("li", limit) for limit in LIMITS)),
        lead="The recipe in the run folder has every setting; --seeds N trains more of each arm.",
    )


STYLE = """
ul.arms { margin: 0 0 1.5rem; padding: 0; list-style: none; font-size: .9375rem; }
ul.arms li { padding: .15rem 0; }
#again ul { max-width: 44rem; }
#course .band { opacity: .13; }
#course .panels { grid-template-columns: repeat(auto-fit, minmax(min(100%, 10rem), 1fr)); }
"""
TABLES = ("points", "questions", "scores", "comparisons", "runs", "curves")
LIMITS = (
    "Equal tokens are not equal examples: an arm with longer answers sees fewer of them.",
    "A small arm repeats its prompts within the budget; its rounds are in the table of the arms.",
    "The learning rate is the same for all arms and was tuned for none of them.",
    "Zones are estimates from a limited number of attempts; some prompts are in the wrong one.",
    "It speaks of this base, this pool and these questions, and of no others.",
)


def plot_of(stats: Facts) -> str:
    """The plot as an SVG document of its own."""
    x, y = ablation.scales(stats)
    lines, bands = ablation.lines_and_bands(stats)
    drawn = curves(
        lines, x, y, height=ablation.PLOT_PX, bands=bands, write_x=short, write_y=ablation.percent_tick,
        label=ablation.told(stats),
    )  # fmt: skip
    n_seeds = len(stats["seeds"])
    told = f"{count(stats['n_questions'])} held-out questions, {n_seeds} seed{'s' if n_seeds > 1 else ''} an arm"
    names = [
        el(
            "g",
            el("circle", cx="0", cy="-4", r="5", class_=f"point {tone(arm['arm'])}"),
            el("text", f"{arm['arm']} {percent(arm['end']['mean'])}", x="10", y="0", class_="name"),
            transform=f"translate({61 + 138 * place} 68)",
        )
        for place, arm in enumerate(stats["arms"])
    ]
    height = HEAD_PX + ablation.PLOT_PX + 28
    return el(
        "svg",
        el("title", ablation.told(stats)),
        el("style", Html(_svg_style())),
        el("rect", width=WIDTH_PX, height=height, class_="page"),
        el("text", "Accuracy against training tokens", x="16", y="26", class_="head"),
        el("text", f"{told}; bands: 95% intervals of the gain over the base", x="16", y="44"),
        *names,
        el("svg", drawn, x="56", y=HEAD_PX, width=WIDTH_PX - 80, height=ablation.PLOT_PX + 4, overflow="visible"),
        el("text", "training tokens", x=WIDTH_PX - 24, y=height - 8, text_anchor="end"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH_PX} {height}",
        width=WIDTH_PX,
        height=height,
        font_family="system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif",
        font_size="12",
    )


def _svg_style() -> str:
    light, dark = (_colours(place) for place in (0, 1))
    return (
        "svg{overflow:visible}.page{fill:#fcfbf9}text{fill:#595a5f}.head{fill:#1a1b1e;font-size:15px;font-weight:600}"
        ".name{fill:#1a1b1e}.grid{stroke:#e6e3dc}.band{fill:var(--c);opacity:.14}.point{fill:var(--c)}"
        ".curve{fill:none;stroke:var(--c);stroke-width:2.5;stroke-linejoin:round;vector-effect:non-scaling-stroke}"
        f"{light}@media (prefers-color-scheme:dark){{.page{{fill:#141517}}text{{fill:#a9a9ad}}"
        f".head,.name{{fill:#ecebe8}}.grid{{stroke:#2a2c30}}{dark}}}"
    )


def _colours(place: int) -> str:
    return "".join(f".c-{name}{{--c:{colours[place]}}}" for name, colours in COLOURS.items())


def _template(name: str) -> str:
    return resources.files("teachable.report").joinpath("templates", name).read_text(encoding="utf-8")
