"""A training whose weights are divided between two processes on a CPU: `accelerate launch ... sharded.py FOLDER RUN`.

accelerate shards over GPUs only; here it is told that the processes are no mere CPUs, and then FSDP divides the weights
over gloo as it would over NCCL. What is tested so is our side of it: gathering, judging, keeping, writing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from accelerate.state import PartialState
from accelerate.utils import DistributedType
from tests.recipe.launches import SHORT, make_job

from teachable.recipe.training import train_job
from teachable.train.tune_config import SteeredConfig

plain_init = PartialState.__init__


def as_devices(self: Any, *args: Any, **kwargs: Any) -> None:
    plain_init(self, *args, **kwargs)
    if PartialState._shared_state.get("distributed_type") == DistributedType.MULTI_CPU:
        PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = as_devices  # type: ignore[method-assign]
    folder, run = Path(sys.argv[1]), sys.argv[2]
    train_job(make_job(folder, run=run))
    train_job(make_job(folder, SteeredConfig(**SHORT, eval_every=3, patience=0), run=f"{run}-judged", judged=True))
