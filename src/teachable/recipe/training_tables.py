"""The tables of trainings by domains: a row a model, a row a step, a row an asking of the questions that steer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from teachable.store.files import write_rows

_WHO = [("arm", pa.string()), ("seed", pa.int64())]
RUNS = pa.schema(
    [
        *_WHO,
        *((name, pa.string()) for name in ("path", "digest", "backend", "stopped")),
        *(
            (name, pa.int64())
            for name in (
                "n_examples", "n_too_long", "n_steps", "best_step", "n_tokens", "n_response_tokens", "n_params",
            )
        ),
        *((name, pa.float64()) for name in ("dev_score", "final_loss", "seconds")),
    ]
)  # fmt: skip
CURVES = pa.schema(
    [*_WHO, *((name, pa.int64()) for name in ("step", "tokens")), *((name, pa.float64()) for name in ("loss", "lr"))]
)
EVALUATIONS = pa.schema(
    [
        *_WHO,
        *((name, pa.int64()) for name in ("step", "tokens")),
        *((name, pa.float64()) for name in ("score", "low", "high", "gain", "gain_low", "gain_high")),
        *((name, pa.bool_()) for name in ("is_gain", "is_best")),
    ]
)


def write_trainings(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Write runs.parquet, curves.parquet and evaluations.parquet of some records of `training.train_all`."""
    write_rows(folder / "runs.parquet", [record["run"] for record in records], RUNS)
    for name, part, schema in (("curves", "curve", CURVES), ("evaluations", "evaluations", EVALUATIONS)):
        rows = [
            {"arm": one["run"]["arm"], "seed": one["run"]["seed"], **point} for one in records for point in one[part]
        ]
        write_rows(folder / f"{name}.parquet", rows, schema)
