"""The text of an HTML page, as Markdown: headings, paragraphs, lists, fenced code, tables, formulas.

It keeps what a reader sees of a page that was written as a document. It does not tell an article from what stands
around it beyond the elements that say so (`nav`, `footer`, `aside`), nor does it run scripts or read style sheets:
pages from the open web want a real extractor before they come here, which is the work of curation.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_LEFT_OUT = {"script", "style", "template", "noscript", "nav", "footer", "aside", "form", "button", "svg", "iframe"}
_LEFT_OUT |= {"select", "textarea", "object", "head", "dialog", "menu"}
_PARAGRAPHS = {"p", "div", "section", "article", "main", "ul", "ol", "dl", "dt", "dd", "blockquote", "figure", "body"}
_PARAGRAPHS |= {"figcaption", "address", "details", "summary", "header", "html", "caption", "fieldset"}
_VOID = {"br", "hr", "img", "input", "meta", "link", "source", "wbr", "col", "area", "base", "embed", "track", "param"}
_HEADINGS = {f"h{level}": "#" * level for level in range(1, 7)}
_SPACES = re.compile(r"[ \t\r\f\v\n\u00a0]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_CODE_LANGUAGE = re.compile(r"(?:language|lang|highlight-source)-([\w+#-]{1,20})")


def text_of_page(html: str) -> tuple[str, str]:
    """The text of a page, and the language that it names (ISO 639-1); "" where it names none.

    Raises:
        ValueError: it holds a declaration that the standard library's parser gives up on.
    """
    parser = _Parser()
    try:
        parser.feed(html)
        parser.close()
    except AssertionError as error:
        raise ValueError(f"this is no HTML that can be read ({error})") from error
    return parser.text(), parser.language


class _Parser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.language = ""
        self._parts: list[str] = []
        self._skipped: list[str] = []  # open elements that are left out, and what is open in them
        self._pre = 0
        self._row: list[str] | None = None  # the cells of the table row that is open
        self._cell: list[str] | None = None
        self._n_rows = 0
        self._formula: list[str] | None = None  # of a `math` element: its source, where it has one
        self._in_source = False

    def text(self) -> str:
        """All of it. Lines have no spaces at their ends, and no two empty lines follow each other."""
        lines = "".join(self._parts).split("\n")
        return _EMPTY_LINES.sub("\n\n", "\n".join(line.rstrip() for line in lines)).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "html":
            self.language = given.get("lang", "").split("-")[0].strip().lower()[:3]
        if tag == "body":
            self._skipped.clear()  # a head need not be closed
        if self._skipped:
            if tag not in _VOID:
                self._skipped.append(tag)
        elif tag in _LEFT_OUT:
            if tag == "script" and given.get("type", "").startswith("math/tex"):
                self._open_formula(given)
            else:
                self._skipped.append(tag)
        elif self._formula is not None:
            self._in_source = tag == "annotation" and "tex" in given.get("encoding", "")
        elif tag == "math":
            self._open_formula(given)
        else:
            self._open(tag, given)

    def _open_formula(self, given: dict[str, str]) -> None:
        self._formula = [given["alttext"]] if given.get("alttext") else []
        self._in_source = "type" in given

    def _open(self, tag: str, given: dict[str, str]) -> None:
        if tag == "pre":
            self._pre += 1
            self._add("\n\n```\n")
        elif tag == "code" and self._pre:
            found = _CODE_LANGUAGE.search(given.get("class", ""))
            if found and self._parts and self._parts[-1].endswith("```\n"):
                self._parts[-1] = f"{self._parts[-1][:-1]}{found[1]}\n"
        elif tag == "br":
            self._add("\n")
        elif tag in _HEADINGS:
            self._add(f"\n\n{_HEADINGS[tag]} ")
        elif tag == "li":
            self._add("\n- ")
        elif tag == "sup":
            self._add("^")
        elif tag == "table":
            self._n_rows = 0
            self._add("\n\n")
        elif tag == "tr":
            self._end_row()
            self._row = []
        elif tag in ("td", "th"):
            self._end_cell()
            self._cell = []
        elif tag in _PARAGRAPHS and not (self._parts and self._parts[-1] == "\n- "):
            self._add("\n\n")

    def handle_endtag(self, tag: str) -> None:
        if self._skipped:
            if tag in self._skipped:  # what was left open in it ends with it
                del self._skipped[len(self._skipped) - 1 - self._skipped[::-1].index(tag) :]
        elif self._formula is not None:
            self._in_source = False
            if tag in ("math", "script"):
                source = " ".join(" ".join(self._formula).split())
                self._formula = None
                self._add(f"${source}$" if source else "")
        elif tag == "pre" and self._pre:
            self._pre -= 1
            self._add("\n```\n\n")
        elif tag in ("td", "th"):
            self._end_cell()
        elif tag in ("tr", "table"):
            self._end_row()
            self._add("\n\n" if tag == "table" else "")
        elif tag in _HEADINGS or tag in _PARAGRAPHS:
            self._add("\n\n")

    def handle_data(self, data: str) -> None:
        if self._skipped:
            return
        if self._formula is not None:
            if self._in_source:
                self._formula[:] = [data] if not self._formula else self._formula
            return
        if self._pre:
            self._add(data)
            return
        plain = _SPACES.sub(" ", data)
        if plain.startswith(" ") and self._parts and self._parts[-1].endswith(("\n", " ")):
            plain = plain[1:]
        self._add(plain)

    def _add(self, text: str) -> None:
        if self._cell is not None:
            self._cell.append(" ".join(text.split()) + (" " if text.endswith(" ") else ""))
        elif text:
            self._parts.append(text)

    def _end_cell(self) -> None:
        if self._cell is not None and self._row is not None:
            self._row.append(" ".join("".join(self._cell).split()).replace("|", "\\|"))
        self._cell = None

    def _end_row(self) -> None:
        """Write the row as a line of a Markdown table; the first one is its head."""
        self._end_cell()
        row, self._row = self._row, None
        if not row:
            return
        self._parts.append(f"\n| {' | '.join(row)} |")
        self._n_rows += 1
        if self._n_rows == 1:
            self._parts.append(f"\n|{' --- |' * len(row)}")
