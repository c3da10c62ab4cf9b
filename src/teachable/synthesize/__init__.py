"""From seeds (documents, passages, prompts, code) to prompts and examples that are proved as far as can be."""

from teachable.synthesize.config import DocumentsConfig, GatesConfig, SynthesizeConfig, WritingConfig
from teachable.synthesize.graph import Ask, Calls, Do, Options, Workflow
from teachable.synthesize.items import Drop, Item, Many, Output, Seed, user

__all__ = [
    "Ask",
    "Calls",
    "Do",
    "DocumentsConfig",
    "Drop",
    "GatesConfig",
    "Item",
    "Many",
    "Options",
    "Output",
    "Seed",
    "SynthesizeConfig",
    "Workflow",
    "WritingConfig",
    "user",
]
