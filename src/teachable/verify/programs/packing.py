"""The code that runs inside the sandboxes, in one compiled file: nothing to find or compile, quick to start."""

from __future__ import annotations

import importlib._bootstrap_external as external
import marshal
from functools import cache, lru_cache
from pathlib import Path

_INSIDE = Path(__file__).resolve().parent / "inside"
_PACKAGE = "teachable.verify.programs.inside"
_SHARED = ("wire", "codec", "operations")
_SIDES = {
    "solution": (*_SHARED, "classes", "solution"),
    "suite": ("record", *_SHARED, "link", "rules", "mirrors", "exports", "marks", "usual", "suite"),
}
_BOOT = """
import marshal, sys, types
for name, code in marshal.loads({packed!r}):
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(code, vars(module))
sys.modules[{main!r}].main(*{arguments!r})
"""


@lru_cache(maxsize=64)
def packed(side: str, arguments: tuple[object, ...]) -> bytes:
    """A `.pyc` file for the running interpreter that starts one side ("solution" or "suite") with those arguments."""
    modules = [(f"{_PACKAGE}.{name}", _compiled(name)) for name in _SIDES[side]]
    source = _BOOT.format(packed=marshal.dumps(modules), main=f"{_PACKAGE}.{side}", arguments=arguments)
    code = compile(source, f"<{side}>", "exec", dont_inherit=True)
    return bytes(external._code_to_timestamp_pyc(code))  # type: ignore[attr-defined]


@cache
def _compiled(name: str) -> object:
    source = (_INSIDE / f"{name}.py").read_text(encoding="utf-8")
    return compile(source, f"<{name}>", "exec", dont_inherit=True, optimize=2)
