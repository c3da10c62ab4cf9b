"""The config of accelerate that a training is launched with, read before anything is launched.

Here is also what a plan asks of it: over how many devices a training is spread, and whether they share its weights.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from teachable.errors import TeachableError
from teachable.recipe.config import Resources

SEVERAL = ("MULTI_GPU", "FSDP", "DEEPSPEED")  # accelerate's kinds that are started here; MULTI_CPU needs MPI there
_ALIASES = {"NO": "MULTI_GPU", "MULTI_CPU": "MULTI_GPU"}


def refuse_ranks() -> None:
    """See that a whole command is not run once in every process of an `accelerate launch`.

    Raises:
        TeachableError: it is: each would make the same run folder, and sample every answer again.
    """
    if int(os.environ.get("WORLD_SIZE") or 1) > 1 and "RANK" in os.environ:
        raise TeachableError(
            f"this command was started {os.environ['WORLD_SIZE']} times over, by accelerate launch or torchrun",
            mend="Start it once and plainly, with --set resources.processes=N or --set resources.accelerate=FILE: its "
            "trainings are launched from there",
        )


def n_devices(resources: Resources) -> int:
    """Over how many devices a training is spread, all machines together.

    Raises:
        TeachableError: the config file is none.
    """
    if resources.processes > 1 or resources.accelerate is None:
        return resources.processes
    return _whole(read_settings(resources.accelerate), "num_processes", 1, str(resources.accelerate))


def n_shards(resources: Resources) -> int:
    """Among how many devices weights, gradients and moments are divided; 1 where each has them whole.

    FSDP's FULL_SHARD, which is its default, divides them among all, HYBRID_SHARD within a machine, and DeepSpeed's ZeRO
    from stage 3 on. What divides less counts as if it divided nothing, so that a plan promises no room that there
    is not.

    Raises:
        TeachableError: the config file is none.
    """
    if resources.accelerate is None:
        return 1
    settings = read_settings(resources.accelerate)
    kind = str(settings["distributed_type"]).upper()
    if kind == "DEEPSPEED":
        return n_devices(resources) if (settings.get("deepspeed_config") or {}).get("zero_stage") == 3 else 1
    if kind != "FSDP":
        return 1
    chosen = settings.get("fsdp_config") or {}
    if str(chosen.get("fsdp_reshard_after_forward", True)).lower() == "false":
        return 1
    strategy = str(chosen.get("fsdp_sharding_strategy") or "FULL_SHARD").upper()
    if strategy in ("HYBRID_SHARD", "4"):
        return n_devices(resources) // _whole(settings, "num_machines", 1, str(resources.accelerate))
    return n_devices(resources) if strategy in ("FULL_SHARD", "1") else 1


def accelerate_settings(resources: Resources, *, on_cpu: bool, where: str) -> dict[str, Any]:
    """The config of accelerate that a launch is started with: the user's file, completed, or plain data parallel.

    A file is always given, so that a config in the user's home, which accelerate would read otherwise, decides nothing.

    Args:
        on_cpu: the ranks compute on the CPU, and talk by gloo.

    Raises:
        TeachableError: it is no such config, or it asks for what this machine can't do.
    """
    refuse_what_is_missing(resources)
    given = read_settings(resources.accelerate) if resources.accelerate is not None else {}
    where = str(resources.accelerate) if resources.accelerate is not None else where
    kind = str(given.get("distributed_type") or "NO").upper()
    kind = _ALIASES.get(kind, kind)
    if kind not in SEVERAL:
        raise TeachableError(
            f"a training can't be launched with distributed_type {kind}",
            where=where,
            mend=f"Choose {', '.join(SEVERAL)}, or MULTI_CPU",
        )
    _check_kind(kind, on_cpu, where)
    n_machines = _whole(given, "num_machines", 1, where)
    n_processes = resources.processes if resources.processes > 1 else _whole(given, "num_processes", 1, where)
    if n_machines > 1 and (given.get("main_process_ip") is None or given.get("main_process_port") is None):
        raise TeachableError(
            f"{n_machines} machines need an address at which they meet",
            where=where,
            mend="Write main_process_ip and main_process_port into the file",
        )
    if not on_cpu:
        _check_devices(-(-n_processes // n_machines), where)
    return {
        "compute_environment": "LOCAL_MACHINE",
        "mixed_precision": "no",  # the trainer decides: bf16 where the device has it
        "machine_rank": 0,
        "main_process_port": free_port(),
        "rdzv_backend": "static",
        "main_training_function": "main",
        **given,
        "distributed_type": kind,
        "num_machines": n_machines,
        "num_processes": n_processes,
        "use_cpu": on_cpu,
    }


def read_settings(path: Path) -> Mapping[str, Any]:
    """What a config file of accelerate says.

    Raises:
        TeachableError: it is none.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        line = str(error).strip().splitlines()[0]
        raise TeachableError(f"this is no config file of accelerate ({line})", where=str(path)) from error
    if not isinstance(given, dict) or "distributed_type" not in given:
        raise TeachableError(
            "this is no config file of accelerate: it has no distributed_type",
            where=str(path),
            mend="Make one with `accelerate config --config_file FILE`",
        )
    return given


def refuse_what_is_missing(resources: Resources) -> None:
    """See, before anything runs, that what the config file asks for can be had here.

    Raises:
        TeachableError: the config file is none, or it asks for DeepSpeed, which is not installed.
    """
    if resources.accelerate is None:
        return
    kind = str(read_settings(resources.accelerate)["distributed_type"]).upper()
    if kind == "DEEPSPEED" and importlib.util.find_spec("deepspeed") is None:
        raise TeachableError(
            "this asks for DeepSpeed, which is not installed",
            where=str(resources.accelerate),
            mend="pip install deepspeed, or shard with FSDP, which needs nothing more",
        )


def _check_kind(kind: str, on_cpu: bool, where: str) -> None:
    if kind != "MULTI_GPU" and on_cpu:
        raise TeachableError(
            f"accelerate shards a model over GPUs only, and on the CPU it would leave {kind} out without a word",
            where=where,
            mend="Use a machine with GPUs, or resources.processes alone",
        )


def _check_devices(n_here: int, where: str) -> None:
    n_devices = int(importlib.import_module("torch").cuda.device_count())
    if n_here > n_devices:
        raise TeachableError(
            f"{n_here} processes on this machine need a GPU each, and it has {n_devices}",
            where=where,
            mend=f"Set resources.processes to {n_devices} at most, or resources.device to cpu",
        )


def _whole(given: Mapping[str, Any], name: str, default: int, where: str) -> int:
    value = given.get(name)
    if value is None:
        return default
    if not isinstance(value, int) or value < 1:
        raise TeachableError(f"{name} is a whole number, 1 or more (it is {value!r})", where=where)
    return value


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
