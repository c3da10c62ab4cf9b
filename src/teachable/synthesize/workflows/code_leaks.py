"""Whether a task gives away the program that it asks for, or a description the text that it describes."""

from __future__ import annotations

import ast
import re

from teachable.synthesize.checks.mutants import parsed
from teachable.synthesize.workflows.code_tests import definitions
from teachable.verify.programs.program import program_in

RUN_TOKENS = 12  # of code that two texts do not share by chance
RUN_WORDS = 10  # of prose
_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD = re.compile(r"\w+")
_DEF = re.compile(r"\s*(?:async +)?def +(?!__)\w+ *\(")
_DOES = frozenset(("=", "return", "while", "lambda", "yield"))


def gives_away(text: str, program: str = "") -> str:
    """Why a task holds a solution, or "": a function with a body, or a long piece of the program.

    Args:
        text: of the task. A signature, an empty body and a docstring give nothing away.
        program: what it asks for, where it is known.
    """
    for body in _functions_in(text):
        if any(not _is_empty(node) for node in body):
            return "it holds a function with its body"
    tokens = _TOKEN.findall(_bodies(program)) if program else []
    runs = {tuple(tokens[i : i + RUN_TOKENS]) for i in range(len(tokens) - RUN_TOKENS + 1)}
    runs = {run for run in runs if _DOES & set(run)}
    ours = _TOKEN.findall(text) if runs else []
    for i in range(len(ours) - RUN_TOKENS + 1):
        if tuple(ours[i : i + RUN_TOKENS]) in runs:
            return f"it repeats the code {' '.join(ours[i : i + RUN_TOKENS])!r}"
    return ""


def repeats_words(text: str, other: str, run: int = RUN_WORDS) -> str:
    """A run of words that two texts share, or ""."""
    words, others = (_WORD.findall(one.lower()) for one in (text, other))
    runs = {tuple(others[i : i + run]) for i in range(len(others) - run + 1)}
    for i in range(len(words) - run + 1):
        if tuple(words[i : i + run]) in runs:
            return " ".join(words[i : i + run])
    return ""


def _functions_in(text: str) -> list[list[ast.stmt]]:
    """The bodies of the functions in a text: those of its last code block, and those that begin on a line of it.

    Special methods do not count: a problem may give its reader a class to work with.
    """
    block = definitions(program_in(text) or "").values()
    found = [list(node.body) for node in block if isinstance(node, ast.FunctionDef)]
    lines = text.split("\n")
    for begin, line in enumerate(lines):
        if not _DEF.match(line):
            continue
        indent = len(line) - len(line.lstrip())
        end = begin + 1
        while end < len(lines) and (not lines[end].strip() or len(lines[end]) - len(lines[end].lstrip()) > indent):
            end += 1
        tree = parsed("\n".join(one[indent:] for one in lines[begin:end]))
        if tree is not None and tree.body and isinstance(tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(list(tree.body[0].body))
    return found


def _is_empty(node: ast.stmt) -> bool:
    if isinstance(node, ast.Pass | ast.Raise):
        return True
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _bodies(program: str) -> str:
    """The statements of a program's functions, without signatures and docstrings."""
    tree = parsed(program)
    if tree is None:
        return program
    parts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts.append("\n".join(ast.unparse(one) for one in node.body if not _is_empty(one)))
    return "\n".join(parts)
