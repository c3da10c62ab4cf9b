"""A training job on a tiny random model, for launching it; and a process that launches one, to be killed.

    python launches.py FOLDER

launches the job whose base and examples are in FOLDER, with two processes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from teachable.engines.config import EngineConfig
from teachable.evaluate.config import EvaluateConfig
from teachable.recipe.config import Resources
from teachable.recipe.launching import launched
from teachable.recipe.sampling import Place
from teachable.recipe.slots import Slot
from teachable.recipe.training import TrainJob
from teachable.records import Example, Prompt, to_row
from teachable.store.files import write_records, write_rows
from teachable.train.tune_config import SteeredConfig, TrainingConfig

SHORT = {"learning_rate": 3e-3, "warmup_steps": 2, "batch_size": 4, "max_length": 64, "max_steps": 6}
LONG = {**SHORT, "max_steps": 100_000, "max_epochs": 100_000}


def write_data(folder: Path, n: int = 9) -> None:
    """Examples of unlike lengths, so that the two processes have unlike shares; and three questions."""
    examples = [
        Example(
            f"p{i}",
            ({"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": f"{i} " * (i % 4 + 1)}),
            domain="digits",
            level=0,
            zone="teachable",
            why="",
            n_tokens=8,
        )
        for i in range(n)
    ]
    write_rows(folder / "examples.jsonl", [to_row(example) for example in examples])
    prompts = [Prompt(f"q{i}", "digits", ({"role": "user", "content": f"say {i}"},), answer=str(i)) for i in range(3)]
    write_records(folder / "dev.parquet", prompts)


def make_job(
    folder: Path,
    config: TrainingConfig | None = None,
    *,
    run: str = "run",
    judged: bool = False,
    base: str = "base",
    **resources: object,
) -> TrainJob:
    """The job of a model called digits-0 in FOLDER/RUN; `judged` has it steered by the three questions."""
    reach = Resources.model_validate({"device": "cpu", "workers": 1, **resources})
    engine = EngineConfig.model_validate({})
    return TrainJob(
        arm="digits",
        seed=0,
        base=str(folder / base),
        examples=folder / "examples.jsonl",
        config=config or (SteeredConfig(**SHORT, eval_every=2) if judged else TrainingConfig(**SHORT)),
        dev=folder / "dev.parquet" if judged else None,
        judged=EvaluateConfig(n_samples=0, max_tokens=8),
        slot=Slot(folder / run, "digits-0", "key"),
        place=Place(engine, reach, "tune", folder / run / "ledger.sqlite", 20_000),
    )


if __name__ == "__main__":
    at = Path(sys.argv[1])
    launched(make_job(at, TrainingConfig(**LONG), processes=2))
