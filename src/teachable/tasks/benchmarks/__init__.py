"""Benchmarks: published questions, generated ones and one's own, as prompts that know who decides.

`load_benchmark(TASK)` is the way in; `load.py` says what a TASK is, `catalog.py` which ones have a name.
"""

from __future__ import annotations

from teachable.tasks.benchmarks.catalog import benchmark_names
from teachable.tasks.benchmarks.load import data_path, load_benchmark
from teachable.tasks.benchmarks.spec import Benchmark

__all__ = ["Benchmark", "benchmark_names", "data_path", "load_benchmark"]
