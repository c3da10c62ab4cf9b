"""The pieces that every section of the page is made of: sections, figures, tables, and the line for a gap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from teachable.report.markup import Html, el, join

LONG_NAME = 10  # characters of a row's name that its column holds


def section(anchor: str, heading: str, *children: object, lead: object = None) -> Html:
    """A landmark with its heading and the one sentence that it is about."""
    return el(
        "section",
        el("h2", heading, id=f"{anchor}-heading"),
        el("p", lead, class_="lead") if lead else None,
        *children,
        id=anchor,
        aria_labelledby=f"{anchor}-heading",
    )


def gap(what: str, files: str) -> Html:
    """The line that stands where a stage has left nothing."""
    return el(
        "p",
        el("strong", f"Not here yet: {what}. "),
        "It comes from ",
        el("code", files),
        "; ",
        el("code", "teachable run run.yaml"),
        " goes on from where the run stands.",
        class_="gap",
    )


def figure(caption: object, *children: object, class_: str = "") -> Html:
    """A chart with its caption above it."""
    return el("figure", el("figcaption", caption), *children, class_=class_ or None)


def more(summary: str, *children: object, open_: bool = False) -> Html:
    """Something that a reader may open."""
    return el("details", el("summary", summary), *children, class_="more", open=open_)


def table(
    caption: str,
    head: Sequence[str],
    rows: Iterable[Sequence[object]],
    text_columns: int = 1,
    foot: Sequence[object] = (),
) -> Html:
    """A plain table in a box: the first column names the row, columns from `text_columns` on are numbers."""

    def cell(place: int, value: object) -> Html:
        kind = "num" if place >= text_columns else None
        return el("th", value, scope="row") if place == 0 else el("td", value, class_=kind)

    header = join(el("th", h, scope="col", class_="num" if i >= text_columns else None) for i, h in enumerate(head))
    body = join(el("tr", join(cell(i, v) for i, v in enumerate(r))) for r in rows)
    last = el("tfoot", el("tr", join(cell(i, v) for i, v in enumerate(foot)))) if foot else None
    return boxed(caption, header, [el("tbody", body), last])


def boxed(caption: str, header: Html, bodies: Iterable[Html | None], class_: str = "", box: str = "") -> Html:
    """A table in a box of its own, which scrolls sideways on a narrow screen and can be reached by keyboard.

    Args:
        header: the cells of its head.
        bodies: its groups of rows.
        class_: of the table; `box` is one of the box.
    """
    inside = el("table", el("caption", caption), el("thead", el("tr", header)), *bodies, class_=class_ or None)
    return el("div", inside, class_=f"scroll {box}".strip(), tabindex="0", role="region", aria_label=caption)


def plotted(
    caption: object, first: str, axis: Html, value: str, groups: Iterable[Sequence[Sequence[object]]], class_: str = ""
) -> Html:
    """A table whose middle column is a chart, row by row: (name, drawing, number, small print), in groups.

    A row that is nothing but (name,) is the heading of its group.
    """
    groups = [list(group) for group in groups]
    if any(len(row[0]) > LONG_NAME for group in groups for row in group if type(row[0]) is str):
        class_ += " named"
    bodies = [el("tbody", join(_plotted_row(row) for row in group)) for group in groups]
    head = el(
        "tr", el("th", first, scope="col"), el("td", axis, class_="plot"), el("th", value, scope="col", class_="num")
    )
    return el("table", el("caption", caption), el("thead", head), join(bodies), class_=f"plotted {class_}".strip())


def _plotted_row(row: Sequence[object]) -> Html:
    if len(row) == 1:
        return el("tr", el("th", row[0], scope="rowgroup", colspan=3))
    name, drawing, number, small = row
    return el(
        "tr",
        el("th", name, scope="row"),
        el("td", drawing, class_="plot"),
        el("td", el("b", number), " ", el("span", small, class_="ci"), class_="num"),
    )
