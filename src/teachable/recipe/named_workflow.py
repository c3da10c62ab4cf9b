"""The workflow that settings name."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from teachable.errors import TeachableError
from teachable.synthesize.config import SynthesizeConfig
from teachable.synthesize.graph import Workflow
from teachable.synthesize.workflows import built_in


def workflow_of(config: SynthesizeConfig) -> Workflow:
    """The workflow that settings name: a built-in one, or one of the user's own file.

    Raises:
        TeachableError: there is none of that name, the file can't be run, or the workflow has no rules where they are
            asked for.
    """
    found = built_in(config.workflow) if config.file is None else _own(config.file, config.workflow)
    if config.rules and found.rules is None:
        raise TeachableError(
            f"{found.name} has no rules, so an engine has to write",
            where=found.name,
            mend="Name one with --engine, or take the workflow verifiable",
        )
    return found


def _own(path: Path, name: str) -> Workflow:
    """A workflow that a Python file of the user's defines."""
    where = f"{path}:{name}"
    spec = importlib.util.spec_from_file_location(f"teachable_own_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise TeachableError("there is no such Python file", where=str(path), mend="Write FILE.py:NAME")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise TeachableError(f"this file can't be run ({type(error).__name__}: {error})", where=str(path)) from error
    found = getattr(module, name, None)
    if not isinstance(found, Workflow):
        raise TeachableError("this is no Workflow", where=where, mend=f"Write {name} = Workflow(...) in {path.name}")
    return found
