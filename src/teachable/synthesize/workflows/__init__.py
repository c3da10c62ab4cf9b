"""The built-in workflows, a module each with its `WORKFLOW`. A module is imported when its workflow is asked for."""

from __future__ import annotations

import importlib

from teachable.errors import TeachableError
from teachable.synthesize.graph import Workflow

NAMES = (
    "questions",
    "rewrite",
    "augment",
    "revise",
    "agents",
    "reverse",
    "verifiable",
    "answers",
    "responses",
    "code",
    "translate",
    "safety",
)


def built_in(name: str) -> Workflow:
    """The built-in workflow of that name.

    Raises:
        TeachableError: there is none.
    """
    if name not in NAMES:
        raise TeachableError(f"there is no workflow {name!r}", mend=f"There are {', '.join(NAMES)}, or FILE.py:NAME")
    found: Workflow = importlib.import_module(f"teachable.synthesize.workflows.{name}").WORKFLOW
    return found
