"""Cut a file of Python at its top-level functions and classes, each piece with the imports and constants that it uses.

Tests that stand in the file (functions `test_*`, top-level `assert`) go with the piece that defines everything that
they name of the file, as text beside it. What needs several pieces goes with none.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from teachable.synthesize.material.blocks import n_words

LONGEST_CONSTANT = 40  # words of an assignment that goes along with every piece that names it


@dataclass(frozen=True)
class Piece:
    """A part of a file of code, and the tests of the same file that need nothing else; "" where there are none."""

    text: str
    tests: str = ""


@dataclass(frozen=True)
class _Part:
    """A top-level statement with the comments above it, what it defines, and what it names."""

    text: str
    defines: frozenset[str]
    names: frozenset[str]
    goes_along: bool
    is_test: bool


def python_pieces(source: str, max_words: int) -> list[Piece]:
    """The file whole where it has at most `max_words` words; else its parts, packed up to as many.

    A function or a class of more words stays whole. Text that is no Python stays whole too.
    """
    if n_words(source) <= max_words:
        return [Piece(source)]
    try:
        parts = _parts(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # what `ast.parse` raises on text that is no Python
        return [Piece(source)]
    along = [part for part in parts if part.goes_along]
    tests = [part for part in parts if part.is_test]
    rest = [part for part in parts if not part.goes_along and not part.is_test]
    return [_piece(group, along, tests, rest) for group in _groups(rest, max_words)] or [Piece(source)]


def _piece(group: Sequence[_Part], along: Sequence[_Part], tests: Sequence[_Part], rest: Sequence[_Part]) -> Piece:
    """The parts with what goes along, and the tests that need no other part of the file."""
    here = frozenset().union(*(part.defines for part in group))
    elsewhere = frozenset().union(*(part.defines for part in rest)) - here
    own = [test for test in tests if test.names & here and not test.names & elsewhere]
    return Piece(_joined(group, along), _joined(own, along) if own else "")


def _joined(parts: Sequence[_Part], along: Sequence[_Part]) -> str:
    """The parts behind the imports and constants that they name, and those that these name."""
    named = set().union(*(part.names for part in parts))
    used: list[str] = []
    for one in reversed(along):
        if one.defines & named or "*" in one.defines or "__future__" in one.text:
            used.insert(0, one.text)
            named |= one.names
    return "\n\n\n".join([*(["\n".join(used)] if used else []), *(part.text for part in parts)]) + "\n"


def _groups(parts: Sequence[_Part], max_words: int) -> list[list[_Part]]:
    groups: list[list[_Part]] = []
    n_held = 0
    for part in parts:
        n = n_words(part.text)
        if not groups or n_held + n > max_words:
            groups.append([])
            n_held = 0
        groups[-1].append(part)
        n_held += n
    return groups


def _parts(source: str) -> list[_Part]:
    lines = source.splitlines()
    parts: list[_Part] = []
    done = 0  # lines that earlier statements have taken
    for node in ast.parse(source).body:
        begin = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))]) - 1
        while begin > done and lines[begin - 1].lstrip().startswith("#"):
            begin -= 1
        end = node.end_lineno or node.lineno
        text = "\n".join(lines[max(begin, done) : end]).strip("\n")
        if not (node.lineno == 1 and isinstance(node, ast.Expr)):  # the file's docstring
            parts.append(_Part(text, _defined(node), _named(node), _goes_along(node, text), _is_test(node)))
        done = end
    return parts


def _goes_along(node: ast.stmt, text: str) -> bool:
    """Whether a statement goes with whatever names it: an import, or a constant that is not long."""
    constant = isinstance(node, ast.Assign | ast.AnnAssign) and n_words(text) <= LONGEST_CONSTANT
    return constant or isinstance(node, ast.Import | ast.ImportFrom)


def _is_test(node: ast.stmt) -> bool:
    named = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    return named or isinstance(node, ast.Assert)


def _defined(node: ast.stmt) -> frozenset[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return frozenset((one.asname or one.name).partition(".")[0] for one in node.names)
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return frozenset({node.name})
    stored = (one for one in ast.walk(node) if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store))
    return frozenset(one.id for one in stored)


def _named(node: ast.stmt) -> frozenset[str]:
    return frozenset(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
