"""A YAML recipe becomes a typed plan of stages, and the plan a run folder that survives being killed.

Importing it turns the model library's own progress bars off, here and in worker processes: the command line shows one
bar a stage.
"""

import os

os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")  # transformers asks this too, when it is imported
