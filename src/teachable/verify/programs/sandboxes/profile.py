"""What a program sees inside: the arguments of `bwrap` and the environment, found out once for this machine.

/usr and what /bin, /lib and their like are; of /etc only the linker's cache, alternatives, the time zone and the names
of two users; the interpreter's installation at its own path; /proc of its own namespace without its first process; of
/dev null, random and urandom (no terminal, no /dev/zero, whose mappings would be memory without an owner); and one
tmpfs, on /tmp, in which lie the private folder, /tmp/work, and what /dev/shm points to.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from teachable.errors import TeachableError
from teachable.verify.programs.sandboxes import seccomp

ENVIRONMENT: Mapping[str, str] = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    "TMPDIR": "/tmp",
}
_USERS = "root:x:0:0::/:/bin/false\nuser:x:1000:1000::/tmp:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_ETC = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/random", "/dev/urandom")
_OTHER_UIDS = (60001, 60002, 60003, 65534)  # which root runs programs as: the first that belongs to nobody here
_MEND_INSTALL = "Install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap)"
_MEND_UNSAFE = (
    "or, if you trust every program that will run, pass --unsafe-no-sandbox to `teachable verify`, "
    "or take Code(unsafe_no_sandbox=True) in Python"
)


@dataclass(frozen=True)
class Profile:
    """What a keeper process has to know. Paths are of this machine.

    Attributes:
        bwrap: path of bubblewrap; empty for plain processes.
        uid: the user id that programs get when we are root; None to keep our own.
        system: arguments of bwrap that make the read-only system.
        interpreter: arguments that show the interpreter at its own place.
        site: further arguments for jobs that may see the environment's packages.
        python: the interpreter.
        site_python: the interpreter of the environment.
        users: the contents of /etc/passwd.
        seccomp: the system call filter, in hexadecimal digits.
        environment: the environment's variables.
        hidden: paths in `interpreter` and `site` that user `uid` has no way to, so that the keeper, which is root then,
            has to show them elsewhere first.
    """

    bwrap: str
    uid: int | None
    system: tuple[str, ...]
    interpreter: tuple[str, ...]
    site: tuple[str, ...]
    python: str
    site_python: str
    users: str
    seccomp: str
    environment: Mapping[str, str]
    hidden: tuple[str, ...]


def unsafe() -> Profile:
    """Plain processes: only the interpreter and the environment's variables count."""
    return Profile("", None, (), (), (), _base_python(), sys.executable, "", "", ENVIRONMENT, ())


def bubblewrap() -> Profile:
    """The sandbox of this machine.

    Raises:
        TeachableError: it is not Linux on x86_64 or aarch64, or there is no `bwrap`.
    """
    filter_program = seccomp.program(platform.machine())
    if sys.platform != "linux" or filter_program is None:
        raise TeachableError(
            f"programs run only inside a sandbox, and there is none for {platform.system()} on {platform.machine()}",
            where="the sandbox",
            mend=f"Use Linux on x86_64 or aarch64, {_MEND_UNSAFE}",
        )
    bwrap = shutil.which("bwrap") or shutil.which("bwrap", path="/usr/bin:/usr/local/bin:/bin")
    if bwrap is None:
        raise TeachableError(
            "programs run only inside a sandbox, and bubblewrap is not installed",
            where="the sandbox",
            mend=f"{_MEND_INSTALL}, {_MEND_UNSAFE}",
        )
    uid = _other_uid() if os.geteuid() == 0 else None
    base = str(Path(sys.base_prefix).resolve())
    shown = [] if _is_system(base) else [base]
    site_mounts, packages = _environment_mounts(base)
    return Profile(
        bwrap=bwrap,
        uid=uid,
        system=_system_mounts(),
        interpreter=(*_bound(shown), *_other_name(base)),
        site=site_mounts,
        python=_base_python(),
        site_python=sys.executable if packages else _base_python(),
        users=_USERS,
        seccomp=filter_program.hex(),
        environment=ENVIRONMENT,
        hidden=tuple(path for path in (*shown, *packages) if uid is not None and not _is_open(path)),
    )


def how_to_mend(is_root: bool) -> str:
    """What to do where bubblewrap is installed and yet can't run a program."""
    options = " ".join(f"--security-opt {name}=unconfined" for name in ("seccomp", "apparmor", "systempaths"))
    kernel = "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 kernel.unprivileged_userns_clone=1"
    return (
        f"Allow user namespaces ({'' if is_root else 'as root: '}{kernel}, those of the two that this kernel knows; "
        f"in a container: docker run {options}), bring bubblewrap up to 0.8 or newer, {_MEND_UNSAFE}"
    )


def _system_mounts() -> tuple[str, ...]:
    """The read-only system without the interpreter."""
    arguments = ["--ro-bind", "/usr", "/usr"]
    for path in _SYSTEM:
        if os.path.islink(path):
            arguments += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            arguments += ["--ro-bind", path, path]
    for path in _ETC:
        if os.path.exists(path):
            arguments += ["--ro-bind", path, path]
    return tuple(arguments)


def _environment_mounts(base: str) -> tuple[tuple[str, ...], list[str]]:
    """Arguments that show the environment's packages and its `python`, and the folders that they show.

    Nothing where we run outside an environment: the packages are then part of the installation or of the system.
    """
    prefix = os.path.abspath(sys.prefix)
    if prefix == os.path.abspath(sys.base_prefix) or not os.path.isfile(f"{prefix}/pyvenv.cfg"):
        return (), []
    folders = sorted({os.path.abspath(sysconfig.get_path(name)) for name in ("purelib", "platlib")})
    folders = [path for path in folders if os.path.isdir(path) and not path.startswith(f"{base}/")]
    shown = [*folders, f"{prefix}/pyvenv.cfg"]
    return (*_bound(shown), "--symlink", _base_python(), sys.executable), shown


def _other_name(base: str) -> tuple[str, ...]:
    """The name under which the environment knows the installation, if that has links in it."""
    name = os.path.abspath(sys.base_prefix)
    return () if name == base or _is_system(name) else ("--symlink", base, name)


def _bound(paths: list[str]) -> tuple[str, ...]:
    """Arguments that show each path read-only at its own place."""
    return tuple(word for path in paths for word in ("--ro-bind", path, path))


def _base_python() -> str:
    """The interpreter itself, past the environment's links to it."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def _is_system(path: str) -> bool:
    """Whether the path is shown anyway."""
    return path == "/usr" or path.startswith("/usr/")


def _is_open(path: str) -> bool:
    """Whether everybody may pass through every folder above the path and read what is there."""
    above = list(Path(path).resolve().parents)
    return all(folder.stat().st_mode & 0o001 for folder in above) and bool(Path(path).stat().st_mode & 0o004)


def _other_uid() -> int:
    """A user id for programs when we are root: one without a name, that this user namespace knows."""
    with open("/proc/self/uid_map", encoding="ascii") as file:
        ranges = [(int(first), int(count)) for first, _, count in (line.split() for line in file)]
    with open("/etc/passwd", encoding="utf-8", errors="replace") as file:
        named = {line.split(":")[2] for line in file if line.count(":") >= 3}
    known = [uid for uid in _OTHER_UIDS if any(first <= uid < first + count for first, count in ranges)]
    return next((uid for uid in known if str(uid) not in named), 65534)
