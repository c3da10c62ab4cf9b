"""Whether tests count on sharing a process with the program: its files, environment, clock or random numbers.

The two are in different sandboxes, so what tests set up in their own (a file, a patched `time.time`, an environment
variable) is not there for the program. Such tests may pass all the same; where they fail, it can't be told why.
What is carried over the bridge is not in here: `input`, `sys.stdin`, `sys.stdout`, the program's own names,
`random.seed`.
"""

from __future__ import annotations

import ast

_CARRIED = {"builtins.input", "sys.stdin", "sys.stdout"}
_MODULES = {"tempfile", "pathlib", "shutil", "subprocess", "glob", "sqlite3", "signal", "gc", "tracemalloc", "resource"}
_NAMES = {"open", "Path", "monkeypatch", "tmp_path", "mock_open", "freeze_time", "caplog", "capfd"}
_ATTRIBUTES = {"environ", "chdir", "setrecursionlimit", "getrefcount", "makedirs", "mkdir", "setlocale", "getsource"}


def shares_a_process(tree: ast.Module, modules: tuple[str, ...]) -> str:
    """What of the process tests count on, in words, or an empty string; `modules` are the program's names."""
    imported = {
        alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported -= set(modules)
    for node in ast.walk(tree):
        found = _in_node(node, modules, imported)
        if found:
            return found
    return ""


def _in_node(node: ast.AST, modules: tuple[str, ...], imported: set[str]) -> str:
    if isinstance(node, ast.Import):
        return next((alias.name for alias in node.names if alias.name in _MODULES), "")
    if isinstance(node, ast.ImportFrom):
        return node.module if node.module in _MODULES else ""
    if isinstance(node, ast.Name):
        return node.id if node.id in _NAMES else ""
    if isinstance(node, ast.arg):
        return node.arg if node.arg in _NAMES else ""
    if isinstance(node, ast.Attribute):
        dotted = ast.unparse(node)
        if node.attr in _ATTRIBUTES or (dotted.endswith("random.seed") and dotted != "random.seed"):
            return dotted
        assigned = isinstance(node.ctx, ast.Store) and isinstance(node.value, ast.Name)
        return dotted if assigned and dotted.partition(".")[0] in imported and dotted not in _CARRIED else ""
    return _in_patch(node, modules, imported) if isinstance(node, ast.Call) else ""


def _in_patch(node: ast.Call, modules: tuple[str, ...], imported: set[str]) -> str:
    """The target of `patch(...)` or `patch.object(...)` where it is not the program's or carried over."""
    called = ast.unparse(node.func)
    if called.rpartition("patch")[1] != "patch" or not node.args:
        return ""
    target = node.args[0]
    if isinstance(target, ast.Constant) and isinstance(target.value, str):
        own = target.value.partition(".")[0] in modules
        return "" if own or target.value in _CARRIED else target.value
    return ast.unparse(target) if isinstance(target, ast.Name) and target.id in imported else ""
