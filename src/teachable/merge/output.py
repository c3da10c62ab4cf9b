"""The folder of a merged model: there whole or not at all, and never another one's.

All is written into a hidden sibling, `.NAME.merge.tmp`, which takes the folder's name by one rename when every file in
it is on the disk. A process that is killed leaves that sibling, which is no model (its config comes last) and which the
next merge of that name wipes. A lock in it, which the kernel drops when a process dies, tells two processes apart.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from teachable.errors import TeachableError
from teachable.store.files import disk_full, flush, mending, read_json, replacing

RECORD = "merge.json"  # the merge's key, what decided it, its parents, and the length of each of its files


def is_there(out: Path, key: str) -> bool:
    """Whether `out` holds this merge already.

    Raises:
        TeachableError: it holds something else, or this merge with files that are missing or of another length.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    mend = "Choose another folder with --out, or remove this one"
    if not out.is_dir():
        raise TeachableError("a file is in the place of the merged model", where=str(out), mend=mend)
    record = read_json(out / RECORD) if (out / RECORD).is_file() else {}
    if not isinstance(record, dict) or "key" not in record:
        raise TeachableError("this folder holds something that is no merge of ours", where=str(out), mend=mend)
    if record["key"] != key:
        raise TeachableError(
            f"this folder holds another merge ({record.get('method')} of {len(record.get('models', []))} models)",
            where=str(out),
            mend=mend,
        )
    files = record.get("files", {})
    if wrong := [n for n, size in files.items() if not (out / n).is_file() or (out / n).stat().st_size != size]:
        raise TeachableError(
            f"the merge in this folder has lost files or parts of them, such as {wrong[0]}",
            where=str(out),
            mend="Remove the folder and merge again",
        )
    return True


@contextmanager
def unfinished(out: Path, n_bytes: int) -> Iterator[Path]:
    """A hidden folder to write to; it becomes `out` when the block ends well, else it goes.

    Raises:
        TeachableError: the disk has no room for `n_bytes`, it can't be written, or another process is at it.
    """
    out = out.absolute()
    folder = out.with_name(f".{out.name}.merge.tmp")
    with mending(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _take(lock, out)
        try:
            for left in folder.iterdir():
                if left.name != ".lock":
                    left.unlink()
            if shutil.disk_usage(folder).free < n_bytes:
                raise disk_full(out.parent)
            yield folder
            with mending(folder):
                (folder / ".lock").unlink()
                flush(folder)
                folder.rename(out)  # onto nothing, or onto an empty folder
                flush(out.parent)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
    finally:
        os.close(lock)


def _take(lock: int, out: Path) -> None:
    """Hold the lock, which the kernel drops when this process dies."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        taken = os.fstat(lock).st_nlink > 0  # 0: its holder has finished in between, and renamed the folder
    except BlockingIOError:
        taken = False
    if not taken:
        raise TeachableError(
            "another process is merging into this folder", where=str(out), mend="Wait for it, or choose another"
        )


def copy(source: Path, patterns: Sequence[str], folder: Path) -> None:
    """Copy files by name; links of the hub's cache are followed."""
    for path in sorted({path for pattern in patterns for path in source.glob(pattern) if path.is_file()}):
        with replacing(folder / path.name) as temporary:
            shutil.copyfile(path, temporary)
