"""The heavy halves of the stages: a module a kind, each with `run(ctx) -> StageOutcome`.

A runner reads its inputs' files, calls one function of its room, and writes what came of it. It knows files and
nothing of the method; the room knows the method and nothing of files.

Importing any of them turns the model library's own progress bars off, here and in worker processes: the command
line shows one bar a stage.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers asks this too, when it is imported
