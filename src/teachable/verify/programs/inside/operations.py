"""The special methods that may be asked for across the bridge, under their names without underscores.

`BINARY` take one operand, `REFLECTED` are the same with the operands exchanged, `COMPARISONS` give a truth value, and
`UNARY` take none. `CALLS` have their own arguments. `RUN[name](object, *operands)` does it.
"""

from __future__ import annotations

import _operator as op

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

COMPARISONS: dict[str, Callable[..., Any]] = {n: getattr(op, n) for n in ("eq", "ne", "lt", "le", "gt", "ge")}
_PLAIN = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor", "lshift", "rshift")
_IN_PLACE = tuple(f"i{name.strip('_')}" for name in _PLAIN)
BINARY: dict[str, Callable[..., Any]] = {n.strip("_"): getattr(op, n) for n in (*_PLAIN, *_IN_PLACE)}
BINARY["divmod"] = divmod


def _reflected(run: Callable[..., Any]) -> Callable[..., Any]:
    return lambda value, other: run(other, value)


REFLECTED = {f"r{name}": _reflected(run) for name, run in BINARY.items() if name not in _IN_PLACE}
CONVERSIONS: dict[str, Callable[..., Any]] = {
    "bool": bool,
    "int": int,
    "float": float,
    "complex": complex,
    "index": op.index,
    "len": len,
    "abs": abs,
    "neg": op.neg,
    "pos": op.pos,
    "invert": op.invert,
    "round": round,
    "hash": hash,
    "floor": lambda value: type(value).__floor__(value),
    "ceil": lambda value: type(value).__ceil__(value),
    "trunc": lambda value: type(value).__trunc__(value),
}
CALLS: dict[str, Callable[..., Any]] = {
    "getitem": op.getitem,
    "setitem": op.setitem,
    "delitem": op.delitem,
    "contains": op.contains,
    "iter": iter,
    "next": next,
    "reversed": reversed,
    "str": str,
    "repr": repr,
    "format": format,
    "bytes": bytes,
    "dir": dir,
    "enter": lambda value: type(value).__enter__(value),
    "exit": lambda value, *error: type(value).__exit__(value, *error),
    "fspath": lambda value: type(value).__fspath__(value),
}
RUN = {**COMPARISONS, **BINARY, **REFLECTED, **CONVERSIONS, **CALLS}
