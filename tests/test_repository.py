"""House rules that a reader can check by looking, checked here so that nobody has to."""

from __future__ import annotations

import ast
import os
import re
import stat
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src" / "teachable"
MAX_LINES = 450
# Somebody's folder on some machine; the names after `?!` stand for anybody.
PRIVATE_FOLDERS = re.compile(
    r"(?<![\w.:/~-])/(?:(?:home|Users)/(?!somebody|someone|you\b|me\b|user\b)|root/|work/|workspace/|scratch/)\w"
)
TREE_LINE = re.compile(r"^(?P<indent>[ │├└─|`+-]*)(?P<name>[\w.*-]+/?)(?:\s+(?:#\s*)?(?P<phrase>.*))?$")


@cache
def files() -> tuple[Path, ...]:
    """Every file that is or would be committed; in a copy without git, every file outside hidden folders."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        found = [ROOT / name for name in done.stdout.split("\0") if name]
    else:
        found = [path for path in ROOT.rglob("*") if not any(p.startswith(".") for p in path.relative_to(ROOT).parts)]
    return tuple(sorted(path for path in set(found) if path.is_file() and not path.is_symlink()))


def texts() -> Iterator[tuple[str, str]]:
    """The name and text of each of `files()` that is text."""
    for path in files():
        try:
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # a picture


def modules() -> Iterator[tuple[str, str]]:
    """The name and text of every Python file."""
    return ((name, text) for name, text in texts() if name.endswith(".py"))


def silent_handlers(text: str) -> list[int]:
    """The lines of `except` clauses that do nothing at all with what they caught."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler)
        and all(
            isinstance(step, ast.Pass) or (isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant))
            for step in node.body
        )
    ]


def tree_entries(readme: str) -> list[tuple[str, str]]:
    """The path and phrase of each line of the README's file trees.

    A tree is a fenced block whose first line is a folder (`src/teachable/` or `teachable/`, the root of the
    checkout); each further line is one name, deeper by its indent, and a phrase after it.
    """
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```\w*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL):
        lines = [line.rstrip() for line in block.splitlines() if line.strip()]
        if not lines or not re.match(r"^[\w./-]+/(\s|$)", lines[0]):
            continue
        top = lines[0].split()[0]
        above = [(-1, "" if top in ("teachable/", "./") else top)]
        for line in lines[1:]:
            match = TREE_LINE.match(line)
            if match is None:
                found.append((line.strip(), ""))
                continue
            depth, name = len(match["indent"]), match["name"]
            while above[-1][0] >= depth:
                above.pop()
            path = above[-1][1] + name
            found.append((path, match["phrase"] or ""))
            if name.endswith("/"):
                above.append((depth, path))
    return found


def test_every_file_in_the_readmes_tree_exists() -> None:
    entries = tree_entries((ROOT / "README.md").read_text(encoding="utf-8"))
    assert entries, "the README has no file tree (a fenced block that starts with a folder)"
    lost = [path for path, _ in entries if not list(ROOT.glob(path))]
    assert not lost, f"not there: {lost}"
    mute = [path for path, phrase in entries if not phrase]
    assert not mute, f"each entry says in a phrase what it is for: {mute}"


def test_every_room_is_in_the_readmes_tree() -> None:
    named = {path.rstrip("/") for path, _ in tree_entries((ROOT / "README.md").read_text(encoding="utf-8"))}
    rooms = {
        str(path.relative_to(ROOT))
        for path in SOURCE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and not path.name.startswith("__")
    }
    assert not rooms - named, f"give each a line and a phrase: {sorted(rooms - named)}"


def test_the_tree_reader_finds_what_is_missing() -> None:
    readme = "```\nteachable/\n├── src/         code\n│   └── lost.py  gone\n└── LICENSE      terms\n```\n"
    assert tree_entries(readme) == [("src/", "code"), ("src/lost.py", "gone"), ("LICENSE", "terms")]
    assert tree_entries("```\nsrc/\n  a/   room\n    b.py   # noun\n  c.py   other\n```\n") == [
        ("src/a/", "room"),
        ("src/a/b.py", "noun"),
        ("src/c.py", "other"),
    ]


def test_no_file_names_a_private_folder() -> None:
    """A path of the machine that somebody worked on means nothing to anybody else, and may tell too much."""
    here = [str(path) for path in (ROOT, Path.home()) if len(path.parts) > 2]
    found = [
        f"{name} line {number}: {line.strip()}"
        for name, text in texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if PRIVATE_FOLDERS.search(line) or any(path in line for path in here)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("text", ["open('{}ann/x')", "see {}ann", "PATH={}ann/bin"])
def test_a_private_folder_is_recognised(text: str) -> None:
    assert PRIVATE_FOLDERS.search(text.format("/".join(["", "home", ""])))
    assert not PRIVATE_FOLDERS.search("a/work/b, https://example.org/home/page, path/to/root/x, /home/somebody/x")


def test_every_module_says_what_it_is() -> None:
    assert [name for name, text in modules() if text.strip() and not ast.get_docstring(ast.parse(text))] == []


def test_no_module_is_long() -> None:
    assert {name: n for name, text in modules() if (n := len(text.splitlines())) > MAX_LINES} == {}


def test_no_error_is_swallowed() -> None:
    assert {name: lines for name, text in modules() if (lines := silent_handlers(text))} == {}


def test_a_swallowed_error_is_found() -> None:
    assert silent_handlers("try:\n    f()\nexcept ValueError:\n    pass\n") == [3]
    assert silent_handlers("try:\n    f()\nexcept ValueError:\n    '''Never mind.'''\n    ...\n") == [3]
    assert silent_handlers("try:\n    f()\nexcept ValueError:\n    count += 1\n") == []


def test_nothing_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "misc", "common"}
    assert [name for name, _ in modules() if vague.intersection(re.split(r"[/.]", name))] == []


def test_tests_mirror_the_source() -> None:
    """Each folder under tests/ is a room of the package; fixtures' data and shared parts stay in tests/ itself."""
    rooms = {path.stem for path in SOURCE.iterdir()}
    folders = {name.split("/")[1] for name, _ in modules() if name.startswith("tests/") and name.count("/") > 1}
    assert folders - rooms - {"docs", "recipes", "benchmarks", "end_to_end"} == set()


def test_every_direct_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    pinned = set()
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([\w.-]+)==[\w.!]+( ;.*)?", line)
            assert match, f"not an exact version of the public kind: {line}"
            pinned.add(_plain(match[1]))
    assert {_plain(re.split(r"[^\w.-]", one)[0]) for one in wanted} - pinned == set()


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert f'__version__ = "{version}"' in (SOURCE / "__init__.py").read_text(encoding="utf-8")
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_recipes_are_the_packaged_ones() -> None:
    link = ROOT / "recipes"
    assert link.is_symlink() and os.readlink(link) == "src/teachable/recipes"
    assert list(link.glob("*.yaml")) != []


def test_ci_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & stat.S_IXUSR
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0


def test_every_make_target_is_explained() -> None:
    """`make help` reads the targets from the Makefile, and names each that a user may call."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.*)$", text, flags=re.MULTILINE)
    assert phony
    done = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^  make (\w+) ", done.stdout, flags=re.MULTILINE)) == set(phony[1].split())


def _plain(name: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()
