"""A user's own documents as passages: a folder, one document, or JSONL or Parquet whose rows have a `text`.

Text (`.txt`, `.md`, `.rst`, `.tex`, `.html`) is cut at its structure (`passages.py`). Code is known by the file's
ending and stays whole; Python that is longer than a passage is cut at its functions and classes (`code_pieces.py`).
What is not read, and what is too short, is left out and counted by its reason. The text of an HTML page is taken by a
small parser (`page_text.py`); pages from the open web want a real extractor, which is the work of curation.

Ids are hashes of the content, so equal passages are one, wherever they stand. Nothing depends on the order in which a
file system lists its files, nor on where the folder lies.
"""

from __future__ import annotations

import codecs
import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from teachable.errors import TeachableError
from teachable.records import Document, Lineage, content_id, from_row
from teachable.store.files import ROW_FORMATS, read_rows
from teachable.synthesize.config import DocumentsConfig
from teachable.synthesize.material.blocks import Markup, n_words
from teachable.synthesize.material.code_pieces import python_pieces
from teachable.synthesize.material.page_text import text_of_page
from teachable.synthesize.material.passages import passages

MAX_BYTES = 32 * 2**20  # of a file; a longer one is no document but a data set
LONGEST_CODE = 10  # times the words of a passage: code that can't be cut and is longer is left out

HIDDEN = "hidden"
UNKNOWN = "not a known kind of document"
BINARY = "binary"
NOT_UTF8 = "not UTF-8"
TOO_LARGE = f"larger than {MAX_BYTES // 2**20} MB"
UNREADABLE = "can't be read"
WITHOUT_TEXT = "a row without text"
EMPTY = "empty"
TOO_SHORT = "shorter than min_words"
TOO_LONG = "code that is too long for a passage"
REPEATED = "says the same as an earlier passage"

MARKUPS: Mapping[str, Markup] = {
    ".txt": "plain",
    ".text": "plain",
    ".md": "markdown",
    ".markdown": "markdown",
    ".rst": "rst",
    ".tex": "tex",
    ".html": "markdown",  # what the parser of pages makes
    ".htm": "markdown",
    ".xhtml": "markdown",
}
PAGES = (".html", ".htm", ".xhtml")
CODE: Mapping[str, str] = {
    ".py": "python",
    ".js": "javascript",
    ".mjs": "javascript",
    ".jsx": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".java": "java",
    ".kt": "kotlin",
    ".scala": "scala",
    ".c": "c",
    ".h": "c",
    ".cc": "c++",
    ".cpp": "c++",
    ".cxx": "c++",
    ".hpp": "c++",
    ".cs": "c#",
    ".go": "go",
    ".rs": "rust",
    ".rb": "ruby",
    ".php": "php",
    ".swift": "swift",
    ".r": "r",
    ".jl": "julia",
    ".hs": "haskell",
    ".lua": "lua",
    ".pl": "perl",
    ".sh": "bash",
    ".sql": "sql",
}
_READ = "A folder, or a file that ends in " + ", ".join([*MARKUPS, ".py and other code", *ROW_FORMATS])

# Column names of public sets; the first that a row has counts.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "content"),
    "source": ("source", "url", "path"),
    "licence": ("licence", "license"),
    "language": ("language", "lang"),
}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CONTROLS = dict.fromkeys([*range(32), 127, 0xFEFF], None)
del _CONTROLS[9], _CONTROLS[10]
_FRONT_MATTER = re.compile(r"---\n(?:(?!---\n).*\n){0,200}?---\n")
_TEX_COMMENT = re.compile(r"(?<!\\)%[^\n]*")


@dataclass(frozen=True)
class DocumentSet:
    """The passages, in the order of the files and in each of the text; and reason -> how much was left out for it."""

    documents: tuple[Document, ...]
    left_out: Mapping[str, int]


class _LeftOut(Exception):
    """Raised for what is not read; the reason is counted."""


def read_documents(path: Path, config: DocumentsConfig) -> DocumentSet:
    """The passages of a folder, a document, or a JSONL or Parquet file whose rows have a `text`.

    Each passage's lineage names the document that it was cut from (its id, and the passage's number), and before that
    the file. `meta["headings"]` are the headings that it stands under, `meta["code"]` the programming language of code,
    `meta["tests"]` tests that stood in the same file. A row may bring `source`, `licence`, `language`, and `meta`.

    Args:
        path: files in hidden folders, and hidden files, are left out.
        config: `source` is not looked at.

    Raises:
        TeachableError: there is no such path, it is a single file that can't be read, or nothing is left.
    """
    path = Path(path)
    if not path.exists():
        raise TeachableError("there are no documents here", where=str(path), mend="Correct the path")
    left_out: Counter[str] = Counter()
    found = _folder(path, left_out) if path.is_dir() else _single(path, left_out)
    seen: dict[str, Document] = {}
    for document in found:
        for passage in _cut(document, config, left_out):
            if passage.id in seen:
                left_out[REPEATED] += 1
            elif config.limit is None or len(seen) < config.limit:
                seen[passage.id] = passage
        if config.limit is not None and len(seen) >= config.limit:
            break
    if not seen:
        said = ", ".join(f"{n} {reason}" for reason, n in left_out.most_common()) or "the folder is empty"
        raise TeachableError(f"no passage is left ({said})", where=str(path), mend=_READ)
    return DocumentSet(tuple(seen.values()), dict(sorted(left_out.items())))


def _single(path: Path, left_out: Counter[str]) -> Iterator[Document]:
    """A file that the user has named: what keeps it from being read is said."""
    if path.suffix.lower() not in (*MARKUPS, *CODE, *ROW_FORMATS):
        raise TeachableError("documents are not read from such a file", where=str(path), mend=_READ)
    try:
        yield from _file(path, path.name, left_out)
    except _LeftOut as error:
        raise TeachableError(
            f"this document is left out: {error}", where=str(path), mend="Save it as plain text in UTF-8"
        ) from error


def _folder(folder: Path, left_out: Counter[str]) -> Iterator[Document]:
    """The documents of a folder, in the order of their relative paths. Links to folders are not followed."""
    for path in _paths(folder, left_out):
        try:
            yield from _file(path, path.relative_to(folder).as_posix(), left_out)
        except _LeftOut as error:
            left_out[str(error)] += 1
        except TeachableError:  # a JSONL or Parquet file that is none
            left_out[UNREADABLE] += 1


def _paths(folder: Path, left_out: Counter[str]) -> list[Path]:
    found: list[Path] = []
    for place, folders, files in os.walk(folder):
        hidden = [name for name in (*folders, *files) if name.startswith(".")]
        left_out.update([HIDDEN] * len(hidden))
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place) / name for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _file(path: Path, name: str, left_out: Counter[str]) -> Iterator[Document]:
    """The documents of one file: itself, or one a row. `name` is what they call their source."""
    suffix = path.suffix.lower()
    if suffix in ROW_FORMATS:
        yield from _rows(path, name, left_out)
        return
    if suffix not in MARKUPS and suffix not in CODE:
        raise _LeftOut(UNKNOWN)
    text = _decoded(path)
    meta: dict[str, Any] = {"code": CODE[suffix]} if suffix in CODE else {}
    language = ""
    if suffix in PAGES:
        try:
            text, language = text_of_page(text)
        except ValueError as error:
            raise _LeftOut(UNREADABLE) from error
    elif suffix == ".tex":
        text = _tex_body(text)
    elif suffix in (".md", ".markdown"):
        text = text[front.end() :] if (front := _FRONT_MATTER.match(text)) else text
    lineage = (Lineage(parent=name, transform="read", params=""),)
    yield Document(content_id(text), text, name, language=language, meta=meta, lineage=lineage)


def _decoded(path: Path) -> str:
    """A file's text with plain line ends and without control characters."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _LeftOut(TOO_LARGE)
        raw = path.read_bytes()
    except OSError as error:
        raise _LeftOut(UNREADABLE) from error
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in raw:
        raise _LeftOut(BINARY)
    try:
        return _plain(raw.decode(encoding))
    except UnicodeDecodeError as error:
        raise _LeftOut(NOT_UTF8) from error


def _plain(text: str) -> str:
    """Text with plain line ends, without control characters, lone surrogates as question marks."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")
    return lines.translate(_CONTROLS).encode("utf-8", "replace").decode()


def _tex_body(text: str) -> str:
    """What stands in the document environment, where there is one, without comments."""
    body = text.partition("\\begin{document}")[2] or text
    return _TEX_COMMENT.sub("", body.partition("\\end{document}")[0])


def _rows(path: Path, name: str, left_out: Counter[str]) -> Iterator[Document]:
    for number, row in enumerate(read_rows(path), start=1):
        document = _row(row, name, number)
        if document is None:
            left_out[WITHOUT_TEXT] += 1
        else:
            yield document


def _row(row: Mapping[str, Any], name: str, number: int) -> Document | None:
    """A row as a document; one that this project wrote keeps its id and its history."""
    given = {field: _cell(row, columns) for field, columns in _COLUMNS.items()}
    text = _plain(given["text"])
    if not text.strip():
        return None
    if {"id", "text", "source", "lineage", "meta"} <= row.keys():
        return from_row(Document, row)
    meta = dict(row["meta"]) if isinstance(row.get("meta"), Mapping) else {}
    if isinstance(row.get("code"), str) and row["code"]:
        meta["code"] = row["code"].lower()
    lineage = (Lineage(parent=name, transform="read", params=f"row {number}"),)
    source = given["source"] or f"{name}, row {number}"
    language = given["language"][:2].lower() if len(given["language"]) in (2, 5) else ""
    return Document(content_id(text), text, source, given["licence"], language, meta=meta, lineage=lineage)


def _cell(row: Mapping[str, Any], columns: tuple[str, ...]) -> str:
    return next((row[name] for name in columns if isinstance(row.get(name), str)), "")


def _cut(document: Document, config: DocumentsConfig, left_out: Counter[str]) -> Iterator[Document]:
    """The passages of a document that are long enough."""
    if not document.text.strip():
        left_out[EMPTY] += 1
        return
    if any(step.transform == "passage" for step in document.lineage):
        yield document  # one that was cut before
        return
    for number, (text, meta) in enumerate(_parts(document, config, left_out)):
        if n_words(text) < config.min_words:
            left_out[TOO_SHORT] += 1
            continue
        step = Lineage(parent=document.id, transform="passage", params=str(number))
        lineage = (*document.lineage, step)
        yield replace(document, id=content_id(text), text=text, meta={**document.meta, **meta}, lineage=lineage)


def _parts(document: Document, config: DocumentsConfig, left_out: Counter[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each part's text, and what is to be known of it."""
    code = document.meta.get("code")
    if not code:
        markup = MARKUPS.get(Path(document.source).suffix.lower(), "markdown")
        for passage in passages(document.text, markup, config):
            yield passage.text, {"headings": list(passage.headings)} if passage.headings else {}
        return
    pieces = python_pieces(document.text, config.max_words) if code == "python" else None
    for text, tests in [(one.text, one.tests) for one in pieces] if pieces else [(document.text, "")]:
        if n_words(text) > LONGEST_CODE * config.max_words:
            left_out[TOO_LONG] += 1
        else:
            yield text.strip("\n"), {"tests": tests} if tests else {}
