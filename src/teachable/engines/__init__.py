"""Who answers: the `Engine` protocol and the engines that follow it.

The engines themselves are imported from their modules (`engines.local`, `engines.scripted`), so that naming the
protocol loads no model library.
"""

from teachable.engines.config import EngineConfig
from teachable.records import Completion, Engine, Request

__all__ = ["Completion", "Engine", "EngineConfig", "Request"]
