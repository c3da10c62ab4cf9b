"""Documents: what is read, what is left out and why, and that nothing depends on where or in which order files lie."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from teachable.errors import TeachableError
from teachable.records import Document, Lineage, content_id
from teachable.store.files import write_records, write_rows
from teachable.synthesize.config import DocumentsConfig
from teachable.synthesize.material import documents as module
from teachable.synthesize.material.documents import (
    BINARY,
    EMPTY,
    HIDDEN,
    NOT_UTF8,
    REPEATED,
    TOO_LARGE,
    TOO_LONG,
    TOO_SHORT,
    UNKNOWN,
    UNREADABLE,
    WITHOUT_TEXT,
    DocumentSet,
    read_documents,
)

CONFIG = DocumentsConfig(max_words=40, min_words=5)
TEXT = "The lock was built by masons from the north, who knew how to cut granite well."


def write(folder: Path, **files: str | bytes) -> Path:
    """Files by name, with `__` for a folder and `_` for the point."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        place = folder / name.replace("__", "/").replace("_", ".")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def read(path: Path, config: DocumentsConfig = CONFIG) -> DocumentSet:
    return read_documents(path, config)


def test_a_folder_is_read_whole_and_in_order(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "docs",
        b_txt=f"Second. {TEXT}",
        a__z_md=f"---\ntitle: x\n---\n# First\n\n{TEXT}",
        c_html=f"<html lang='en-GB'><body><p>Third. {TEXT}</p></body></html>",
        d_tex=f"\\documentclass{{x}}\n\\begin{{document}}\nFourth. {TEXT} % a comment\n\\end{{document}}",
        e_rst=f"Fifth\n=====\n\n{TEXT}",
        f_py=f'def f():\n    """Sixth. {TEXT}"""\n    return 1\n',
        g_jsonl=json.dumps({"text": f"Seventh. {TEXT}", "url": "http://x", "license": "MIT", "lang": "en"}),
    )
    found = read(folder)
    assert not found.left_out
    assert [one.source for one in found.documents] == [
        *("a/z.md", "b.txt", "c.html", "d.tex", "e.rst", "f.py"),
        "http://x",
    ]
    texts = [one.text for one in found.documents]
    assert texts[0] == f"# First\n\n{TEXT}" and texts[2] == f"Third. {TEXT}" and texts[3] == f"Fourth. {TEXT}"
    assert [one.language for one in found.documents] == ["", "", "en", "", "", "", "en"]
    assert [one.meta.get("code") for one in found.documents] == [None] * 5 + ["python", None]
    assert found.documents[-1].licence == "MIT"
    for one in found.documents:
        assert one.id == content_id(one.text)
        assert [step.transform for step in one.lineage] == ["read", "passage"] and one.lineage[1].params == "0"


def test_what_is_left_out_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(
        tmp_path / "docs",
        a_txt=TEXT,
        again_txt=f"\ufeff{TEXT}\r\n",  # a byte order mark and other line ends make no other text
        short_txt="Too short.",
        empty_txt=" \n",
        x_pdf=b"%PDF-1.7",
        y_txt=b"\x00\x01\x02" * 30,
        latin_txt=TEXT.replace("masons", "maçons").encode("latin-1"),
        wide_txt="Wide. ".encode("utf-16") + TEXT.encode("utf-16-le"),
        broken_jsonl="{",
        rows_jsonl='{"title": "no text"}\n{"text": "  "}\n{"text": 7}',
        long_js="let x = 1; " * 200,
    )
    write(folder / ".git", config_txt=TEXT)
    (folder / ".hidden.txt").write_text(TEXT)
    (folder / "large.txt").write_text(f"{TEXT} " * 20)
    monkeypatch.setattr(module, "MAX_BYTES", 1400)
    (folder / "long.js").write_text("let x = 1; " * 110)
    (folder / "dangling.txt").symlink_to(folder / "nowhere.txt")
    found = read(folder)
    assert [one.source for one in found.documents] == ["a.txt", "wide.txt"]
    assert found.left_out == {
        HIDDEN: 2,
        REPEATED: 1,
        TOO_SHORT: 1,
        EMPTY: 1,
        UNKNOWN: 1,
        BINARY: 1,
        NOT_UTF8: 1,
        UNREADABLE: 2,
        WITHOUT_TEXT: 3,
        TOO_LONG: 1,
        TOO_LARGE: 1,
    }


def test_a_document_is_cut_and_its_passages_know_where_they_stand(tmp_path: Path) -> None:
    parts = [f"Part {n}. {TEXT} {TEXT.lower()}" for n in range(4)]
    found = read(write(tmp_path / "docs", a_md="# Locks\n\n" + "\n\n".join(parts)))
    assert [one.text for one in found.documents] == [f"# Locks\n\n{parts[0]}", *parts[1:]]
    assert [one.meta for one in found.documents] == [{}, *[{"headings": ["Locks"]}] * 3]
    parents = {one.lineage[-1].parent for one in found.documents}
    assert len(parents) == 1 and [one.lineage[-1].params for one in found.documents] == ["0", "1", "2", "3"]
    assert found.documents[0].lineage[0] == Lineage("a.md", "read", "")
    limited = read(tmp_path / "docs", CONFIG.model_copy(update={"limit": 2}))
    assert limited.documents == found.documents[:2]


CODE = '''"""A module."""
import math
import os
from sys import path as way


SCALE = 3


# What it does.
def area(r):
    """The area of a circle, in the unit of the radius, squared."""
    return math.pi * r * r * SCALE


@property
def where(x):
    """Where things are looked for, and in which order they are found by whoever looks."""
    return way[x] + os.sep


class Shape:
    """A shape of which nothing is known but its name, and that it has an area."""

    def size(self):
        return area(1)


def test_area():
    assert area(0) == 0


def test_both():
    assert area(0) == 0 and where


assert area(1) > 3
'''


def test_python_is_cut_at_its_functions_with_imports_and_tests(tmp_path: Path) -> None:
    folder = write(tmp_path / "docs", a_py=CODE)
    (whole,) = read(folder, DocumentsConfig(max_words=200, min_words=5)).documents
    assert whole.text == CODE.strip("\n") and whole.meta == {"code": "python"}
    first, second, third = read(folder, DocumentsConfig(max_words=30, min_words=5)).documents
    assert first.text.startswith("import math\nSCALE = 3\n\n\n") and "# What it does.\ndef area(r)" in first.text
    assert second.text.startswith("import os\nfrom sys import path as way\n\n\n@property\ndef where(x)")
    assert third.text.startswith("class Shape:")
    # A test goes with what it needs, and one that needs two pieces with none.
    tests = str(first.meta["tests"])
    assert "def test_area" in tests and "assert area(1) > 3" in tests and "test_both" not in tests
    assert "tests" not in second.meta and "tests" not in third.meta
    for one in (first, second, third):
        compile(one.text, "piece", "exec")


def test_what_is_no_python_stays_whole(tmp_path: Path) -> None:
    text = "def f(:\n    return 1\n" * 20
    (one,) = read(write(tmp_path / "docs", a_py=text)).documents
    assert one.text == text.strip()


def test_rows(tmp_path: Path) -> None:
    rows = [
        {"content": f"One. {TEXT}", "meta": {"year": 1800}},
        {"text": f"def two():\n    return {TEXT!r}", "code": "Python", "path": "two.py"},
        {"text": f"Three \ud800. {TEXT}", "language": "english"},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one, two, three = read(tmp_path / "rows.jsonl").documents
    assert (one.source, one.meta["year"], one.lineage[0].params) == ("rows.jsonl, row 1", 1800, "row 1")
    assert (two.source, two.meta["code"]) == ("two.py", "python")
    assert (three.text, three.language) == (f"Three ?. {TEXT}", "")
    write_rows(tmp_path / "rows.parquet", [{"text": row.get("text") or row["content"]} for row in rows[:2]])
    assert [x.text for x in read(tmp_path / "rows.parquet").documents] == [one.text, two.text]


def test_passages_that_were_written_are_read_back_as_they_are(tmp_path: Path) -> None:
    found = read(write(tmp_path / "docs", a_md="# Locks\n\n" + "\n\n".join(f"{n} {TEXT} {TEXT}" for n in range(3))))
    write_records(tmp_path / "documents.parquet", list(found.documents))
    again = read(tmp_path / "documents.parquet", DocumentsConfig(max_words=20, min_words=5))
    assert again.documents == found.documents and len(again.documents) == 3
    whole = [Document("mine", f"{TEXT} {TEXT.upper()} {TEXT}", "s", licence="CC0", quality=0.5)]
    write_records(tmp_path / "whole.parquet", whole)
    for one in read(tmp_path / "whole.parquet", DocumentsConfig(max_words=20, min_words=5)).documents:
        assert (one.licence, one.quality, one.lineage[-1].parent) == ("CC0", 0.5, "mine")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.pdf", b"%PDF", "documents are not read from such a file"),
        ("a.txt", b"\xff\xfea\x00\xd8", "this document is left out: not UTF-8"),
        ("a.txt", b"a\0b", "this document is left out: binary"),
        ("a.txt", b"one two", "no passage is left (1 shorter than min_words)"),
        ("a.html", b"<![foo[bar]]>", "this document is left out: can't be read"),
        ("a.jsonl", b"{", "this line is no JSON"),
        ("a.jsonl", b'{"prompt": "2+2?"}', "no passage is left (1 a row without text)"),
        ("a.parquet", b"PAR1", "this is no Parquet file"),
    ],
)
def test_a_file_that_can_not_be_read_says_why(tmp_path: Path, name: str, content: bytes, sentence: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TeachableError) as caught:
        read(tmp_path / name)
    assert sentence in str(caught.value) and name in str(caught.value)


def test_an_empty_folder_and_a_missing_one(tmp_path: Path) -> None:
    with pytest.raises(TeachableError, match="no passage is left \\(the folder is empty\\)"):
        read(tmp_path)
    with pytest.raises(TeachableError, match="there are no documents here"):
        read(tmp_path / "nowhere")


def test_nothing_depends_on_place_or_order_or_hashing(tmp_path: Path) -> None:
    names = [f"{name}.txt" for name in "qwertzuiop"]
    for name in names:
        write(tmp_path / "one", **{name.replace(".", "_"): f"{name} {TEXT}"})
    shutil.copytree(tmp_path / "one", tmp_path / "two/deep")
    script = "import sys; from pathlib import Path; from teachable.synthesize.material.documents import *; "
    script += "c = DocumentsConfig(min_words=5); "
    script += "print([(d.id, d.source, d.lineage) for d in read_documents(Path(sys.argv[1]), c).documents])"
    said = [
        subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / place)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout
        for place, seed in (("one", "1"), ("two/deep", "2"))
    ]
    assert said[0] == said[1] != "[]\n"


PAGE = """<!DOCTYPE html><html lang="de"><head><title>T</title><style>p {}</style>
<body><nav><a>Home</a></nav><header><h1>Locks &amp; gates</h1></header>
<p>The   area is <i>r</i><sup>2</sup>, and<br>more.<p>Second.
<ul><li>one<li><p>two</p></ul>
<pre><code class="hljs language-python">def f(x):
    return x &lt; 1</code></pre>
<table><tr><th>a<th>b|c</tr><tr><td>1<td><b>2</b></table>
<p>With <math><semantics><mi>x</mi><annotation encoding="application/x-tex">x^2</annotation></semantics></math> in it,
and <script type="math/tex">y_1</script>.</p><script>if (a < b) { "</p>" }</script><aside>Buy!</aside>
<template><p>no</p></template></body></html>"""


def test_a_page_is_read_as_its_reader_sees_it(tmp_path: Path) -> None:
    (one,) = read(write(tmp_path / "docs", a_html=PAGE), DocumentsConfig(min_words=5)).documents
    assert one.language == "de"
    assert one.text == (
        "# Locks & gates\n\nThe area is r^2, and\nmore.\n\nSecond.\n\n- one\n- two\n\n"
        "```python\ndef f(x):\n    return x < 1\n```\n\n| a | b\\|c |\n| --- | --- |\n| 1 | 2 |\n\n"
        "With $x^2$ in it, and $y_1$."
    )
