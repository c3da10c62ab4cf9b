"""Safetensors files, read and written in pieces: a header that says where each tensor lies, then its bytes.

The library's own writer wants all tensors of a file at once, and its numpy side knows no bfloat16; a merge of 14
billion parameters must hold a million numbers of each model at a time. The format is a length, a JSON header and the
tensors end to end (https://huggingface.co/docs/safetensors), so both ends are here, with numpy alone: a merge needs
neither torch nor the safetensors package. bfloat16 is the upper half of float32, rounded to the nearest, ties to even.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from teachable.errors import TeachableError
from teachable.store.files import read_json, replacing

F32: TypeAlias = npt.NDArray[np.float32]
Raw: TypeAlias = npt.NDArray[Any]  # numbers as they lie in the file; bfloat16 as 16-bit patterns

CHUNK = 2**20  # numbers that are in memory at once, of each model: 4 MB in float32. Even: see `methods.keep`
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
_MAX_HEADER = 100_000_000  # bytes; the format's own limit
_STORED: dict[str, str] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
    "BOOL": "?",
}  # fmt: skip
_FLOATS = {"F64", "F32", "F16", "BF16"}


@dataclass(frozen=True)
class Stored:
    """Where a tensor lies: `offset` is in bytes from the file's beginning, `dtype` as the format writes it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset: int

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    @property
    def n_bytes(self) -> int:
        """How long it is in the file."""
        return self.size * np.dtype(_STORED[self.dtype]).itemsize

    @property
    def is_float(self) -> bool:
        """Whether it can be averaged."""
        return self.dtype in _FLOATS


def spans(size: int) -> Iterator[tuple[int, int]]:
    """The pieces `start, stop` in which `size` numbers are worked on."""
    return ((start, min(start + CHUNK, size)) for start in range(0, size, CHUNK))


def open_weights(folder: Path) -> dict[str, Stored]:
    """Every tensor of a model folder, in the order of the files. Only headers are read.

    Raises:
        TeachableError: there are no safetensors, a file of the index is missing, or one is broken.
    """
    found: dict[str, Stored] = {}
    for file in weight_files(folder):
        for tensor in _header(file):
            if tensor.name in found:
                raise TeachableError(
                    f"the tensor {tensor.name} is in two files ({found[tensor.name].file.name} and {file.name})",
                    where=str(folder),
                    mend="Remove the file that is not part of the model",
                )
            found[tensor.name] = tensor
    return found


def weight_files(folder: Path) -> list[Path]:
    """The files that hold a model's weights, by its index where there is one.

    Raises:
        TeachableError: there are none, one that the index names is missing, or nobody can tell which they are.
    """
    if (folder / INDEX).is_file():
        index = read_json(folder / INDEX)
        places = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(places, dict) or not places:
            raise TeachableError("the index names no tensors", where=str(folder / INDEX), mend="Copy the model again")
        files = [folder / str(name) for name in sorted(set(places.values()))]
        if lost := [file.name for file in files if not file.is_file()]:
            raise TeachableError(
                f"{len(lost)} of {len(files)} weight files are missing, such as {lost[0]}",
                where=str(folder),
                mend="Copy the model again",
            )
        return files
    if (folder / SINGLE).is_file():
        return [folder / SINGLE]
    found = sorted(folder.glob("*.safetensors"))
    if len(found) == 1:
        return found
    what = f"{len(found)} safetensors files and no {INDEX}" if found else "no weights in safetensors files"
    raise TeachableError(
        f"this folder holds {what}", where=str(folder), mend="Save the model with save_pretrained, or copy it again"
    )


def _header(file: Path) -> list[Stored]:
    """The tensors of one file in the order of their bytes."""
    with file.open("rb") as handle:
        length = int.from_bytes(handle.read(8), "little")
        n_bytes = file.stat().st_size
        try:
            if length > min(n_bytes - 8, _MAX_HEADER):
                raise ValueError("its header is longer than the file")
            entries = json.loads(handle.read(length))
            entries.pop("__metadata__", None)
            found = []
            for name, entry in entries.items():
                begin, end = entry["data_offsets"]
                if entry["dtype"] not in _STORED:
                    raise TeachableError(
                        f"the tensor {name} is stored as {entry['dtype']}, which can't be merged",
                        where=str(file),
                        mend="Save the model in bfloat16, float16 or float32 first",
                    )
                tensor = Stored(name, entry["dtype"], tuple(entry["shape"]), file, 8 + length + begin)
                if end - begin != tensor.n_bytes or 8 + length + end > n_bytes:
                    raise ValueError(f"the tensor {name} is cut short")
                found.append(tensor)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TeachableError(
                f"this is no safetensors file that can be read ({error})", where=str(file), mend="Copy the model again"
            ) from error
    return sorted(found, key=lambda tensor: tensor.offset)


def read_raw(tensor: Stored, start: int, stop: int) -> Raw:
    """The numbers `start` to `stop` of a flattened tensor, as they lie in the file.

    Raises:
        TeachableError: the file has become shorter since its header was read.
    """
    kind = np.dtype(_STORED[tensor.dtype])
    with tensor.file.open("rb") as handle:
        handle.seek(tensor.offset + start * kind.itemsize)
        numbers = np.fromfile(handle, dtype=kind, count=stop - start)
    if len(numbers) != stop - start:
        raise TeachableError(f"the file ends within {tensor.name}", where=str(tensor.file), mend="Copy the model again")
    return numbers


def read(tensor: Stored, start: int, stop: int) -> F32:
    """The same in float32."""
    return decode(read_raw(tensor, start, stop), tensor.dtype)


def decode(raw: Raw, dtype: str) -> F32:
    """Stored numbers of a float type in float32."""
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw.astype(np.float32, copy=False)


def encode(numbers: F32, dtype: str) -> Raw:
    """float32 numbers as a file of that float type holds them, rounded to the nearest, ties to even.

    Raises:
        OverflowError: a number is not finite, or leaves the type's range.
    """
    if dtype == "BF16":
        bits = np.ascontiguousarray(numbers, dtype=np.float32).view(np.uint32)
        even = (bits >> np.uint32(16)) & np.uint32(1)
        raw = ((bits + np.uint32(0x7FFF) + even) >> np.uint32(16)).astype("<u2")
        finite = bool(((raw & 0x7F80) != 0x7F80).all()) and bool(np.isfinite(numbers).all())
    else:
        with np.errstate(over="ignore"):
            raw = numbers.astype(_STORED[dtype])
        finite = bool(np.isfinite(raw).all())
    if not finite:
        raise OverflowError(f"a number is not finite in {dtype}")
    return raw


def plan_shards(tensors: Iterable[Stored], max_bytes: int) -> list[list[Stored]]:
    """Tensors in files of at most `max_bytes` (a tensor that is longer has a file of its own), in their order."""
    shards: list[list[Stored]] = []
    room = 0
    for tensor in tensors:
        if not shards or tensor.n_bytes > room:
            shards.append([])
            room = max_bytes
        shards[-1].append(tensor)
        room -= tensor.n_bytes
    return shards


def write_shard(path: Path, tensors: list[Stored], numbers: Iterable[Iterable[Raw]]) -> None:
    """Write one safetensors file, piece by piece, whole or not at all.

    Args:
        tensors: names, types and shapes, in the order of `aligned`; where they lie is not looked at.
        numbers: the pieces of each tensor, in the same order.

    Raises:
        TeachableError: the disk is full or the folder can't be written.
        ValueError: a tensor's pieces are not as long as it is.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.n_bytes
        header[tensor.name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of 8
    with replacing(path) as temporary, temporary.open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        for tensor, pieces in zip(tensors, numbers, strict=True):
            before = handle.tell()
            for piece in pieces:
                handle.write(np.ascontiguousarray(piece).data)
            if handle.tell() - before != tensor.n_bytes:
                raise ValueError(f"{tensor.name}: {handle.tell() - before} bytes instead of {tensor.n_bytes}")


def aligned(tensors: Iterable[Stored]) -> list[Stored]:
    """The wider types first, as the format's library has them: every number lies at a multiple of its size."""
    return sorted(tensors, key=lambda tensor: -np.dtype(_STORED[tensor.dtype]).itemsize)
