"""Names that tests use without defining or importing them, and who may say what they are.

Data sets lean on what the program usually imports (`math`, `List`, `np`): those names are ours, whatever the program
has under them, or it could bring a `math.isclose` of its own. The rest are the program's: what else should tests ask it
for? A helper that tests use and leave to the program is in the program's hands.
A name that is both (a class `Counter` of the program's beside other names) can't be told, and neither can a builtin,
unless it is the only thing that the tests can be about.
"""

from __future__ import annotations

import sys

from teachable.verify.programs.inside.codec import imported
from teachable.verify.programs.inside.mirrors import Mirrors
from teachable.verify.programs.inside.record import Record, Untold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_ALIASES = {"np": "numpy", "pd": "pandas", "nx": "networkx", "plt": "matplotlib.pyplot", "tf": "tensorflow"}
_LIBRARIES = ("numpy", "pandas", "scipy", "torch", "sympy", "networkx", "sklearn", "pytest")
_OTHERS = {
    "typing": ("List", "Dict", "Tuple", "Set", "Optional", "Union", "Any", "Callable", "Iterable", "Iterator"),
    "collections": ("Counter", "deque", "defaultdict", "OrderedDict", "namedtuple"),
    "fractions": ("Fraction",),
    "decimal": ("Decimal",),
    "math": ("isclose", "inf", "nan", "pi", "sqrt", "isnan", "ceil", "floor", "gcd"),
    "io": ("StringIO",),
    "contextlib": ("redirect_stdout", "suppress"),
    "unittest.mock": ("patch", "Mock", "MagicMock", "ANY"),
    "unittest": ("TestCase",),
    "copy": ("deepcopy",),
    "functools": ("reduce", "partial"),
    "operator": ("itemgetter", "attrgetter"),
    "itertools": ("product", "permutations", "combinations", "chain", "islice"),
}
_HOME = {name: module for module, names in _OTHERS.items() for name in names}


def is_usual(name: str) -> bool:
    """Whether a name has a meaning of its own."""
    return name in _ALIASES or name in _HOME or name in _LIBRARIES or name in sys.stdlib_module_names


def usual_names(wanted: list[str]) -> dict[str, Any]:
    """Our own values of those names that have a usual meaning; one that can't be imported is left out."""
    found = {}
    for name in wanted:
        if not is_usual(name) or name.startswith("_") or name in ("antigravity", "this"):
            continue
        try:
            if name in _HOME:
                found[name] = getattr(imported(_HOME[name]), name)
            else:
                found[name] = imported(_ALIASES.get(name, name))
        except ImportError:
            continue
    return found


def chosen(found: dict[str, Any], tests: dict[str, Any], record: Record) -> dict[str, Any]:
    """The names that the program may define, out of those that it does."""
    others = [n for n in tests["wanted"] if n != "*" and not is_usual(n) and n != tests["entry"]]
    shadows = [name for name in tests["shadows"] if name in found]
    if len(shadows) > 1:
        record.undecided(f"the program replaces the builtins {' and '.join(shadows)}")
    kept = {}
    for name, value in found.items():
        if name in tests["shadows"]:
            if shadows == [name]:
                kept[name] = value
        elif not is_usual(name) or name == tests["entry"]:
            kept[name] = value
        elif Mirrors.is_mirror(value) and not _is_same(name, value):
            if others or tests["entry"]:
                record.undecided(f"the program has a {name[:60]} of its own")
            else:
                kept[name] = value
    if shadows and sum(map(Mirrors.is_mirror, kept.values())) > 1:
        record.undecided(f"the program replaces the builtin {shadows[0]}")
    return kept


def _is_same(name: str, value: Any) -> bool:
    """Whether what the program calls so says of itself that it is the usual one, which is then ours to provide."""
    try:
        module = str(value.__module__)
    except (AttributeError, Untold):
        return False
    return module.partition(".")[0] in sys.stdlib_module_names
