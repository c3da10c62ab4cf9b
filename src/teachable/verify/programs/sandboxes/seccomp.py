"""The system call filter of the sandbox, as a classic BPF program for `bwrap --seccomp` (see seccomp(2), bpf(4)).

A list of what is refused: what reaches into other processes, makes namespaces or mounts, loads code into the kernel, or
makes memory that no process is seen to hold (the supervisor adds up what processes hold):

- tracing and reading other processes (ptrace, process_vm_*, pidfd_getfd, kcmp), performance events, bpf, keys;
- mounts, namespaces (unshare, setns, clone with CLONE_NEW*; clone3, whose flags a filter can't see, is said not to
  exist, and the C libraries fall back to clone);
- io_uring, userfaultfd, file handles, kexec, modules, clocks, swap, host names, the kernel's log;
- sockets of every family but AF_UNIX;
- the ioctls that type into a terminal (TIOCSTI, TIOCLINUX);
- memory without an owner: memfd_create, System V shared memory, semaphores and queues, POSIX queues, and mappings that
  are shared and anonymous at once. Files in /dev/shm do instead (their tmpfs is bounded).

Refused calls fail with EPERM, those that libraries try and do without with ENOSYS. Another architecture's calls
(32-bit, x32) kill the process. Numbers: the kernel's arch/x86/entry/syscalls/syscall_64.tbl and
include/uapi/asm-generic/unistd.h.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from dataclasses import dataclass

_LOAD, _JUMP_EQUAL, _JUMP_OVER, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = (
    0,
    4,
    16,
)  # offsets in struct seccomp_data; both machines are little endian
_X32_BIT = 0x40000000
_NEW_NAMESPACE = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
_MAP_SHARED, _MAP_ANONYMOUS = 0x01, 0x20
_AF_UNIX = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C


@dataclass(frozen=True)
class _Machine:
    """The architecture's token, and the numbers of the calls that are filtered."""

    token: int
    refused: Mapping[str, int]
    absent: Mapping[str, int]
    clone: int
    socket: int
    socketpair: int
    ioctl: int
    mmap: int


# Numbers that every architecture shares, because the calls are newer than 2019.
_NEW_REFUSED = {
    "pidfd_getfd": 438, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432,
    "fspick": 433, "mount_setattr": 442, "quotactl_fd": 443, "process_madvise": 440, "process_mrelease": 448,
    "set_mempolicy_home_node": 450, "statmount": 457, "listmount": 458, "lsm_set_self_attr": 460, "open_tree_attr": 467,
}  # fmt: skip
_NEW_ABSENT = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "clone3": 435, "memfd_secret": 447,
}  # fmt: skip

_X86_64 = _Machine(
    token=0xC000003E,
    refused={
        **_NEW_REFUSED,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312,
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308,
        "bpf": 321, "perf_event_open": 298, "userfaultfd": 323,
        "add_key": 248, "request_key": 249, "keyctl": 250,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "fanotify_init": 300, "lookup_dcookie": 212,
        "kexec_load": 246, "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176,
        "create_module": 174, "get_kernel_syms": 177, "query_module": 178, "reboot": 169, "swapon": 167, "swapoff": 168,
        "acct": 163, "quotactl": 179, "syslog": 103, "vhangup": 153, "uselib": 134, "sysfs": 139, "ustat": 136,
        "nfsservctl": 180, "iopl": 172, "ioperm": 173, "modify_ldt": 154, "vserver": 236, "personality": 135,
        "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305,
        "sethostname": 170, "setdomainname": 171, "mbind": 237, "migrate_pages": 256, "move_pages": 279,
        "shmget": 29, "semget": 64, "msgget": 68, "mq_open": 240,
    },
    absent={**_NEW_ABSENT, "memfd_create": 319},
    clone=56, socket=41, socketpair=53, ioctl=16, mmap=9,
)  # fmt: skip
_AARCH64 = _Machine(
    token=0xC00000B7,
    refused={
        **_NEW_REFUSED,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272,
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "unshare": 97, "setns": 268,
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282,
        "add_key": 217, "request_key": 218, "keyctl": 219,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "fanotify_init": 262, "lookup_dcookie": 18,
        "kexec_load": 104, "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106,
        "reboot": 142, "swapon": 224, "swapoff": 225, "acct": 89, "quotactl": 60, "syslog": 116, "vhangup": 58,
        "nfsservctl": 42, "personality": 92,
        "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266,
        "sethostname": 161, "setdomainname": 162, "mbind": 235, "migrate_pages": 238, "move_pages": 239,
        "shmget": 194, "semget": 190, "msgget": 186, "mq_open": 180,
    },
    absent={**_NEW_ABSENT, "memfd_create": 279},
    clone=220, socket=198, socketpair=199, ioctl=29, mmap=222,
)  # fmt: skip

MACHINES = {"x86_64": _X86_64, "aarch64": _AARCH64}


def program(machine: str) -> bytes | None:
    """The filter for a machine as `os.uname().machine` names it, 8 bytes an instruction; None if there is none."""
    if machine not in MACHINES:
        return None
    found = MACHINES[machine]
    lines = [
        _step(_LOAD, _AT_ARCHITECTURE),
        _step(_JUMP_EQUAL, found.token, 1, 0),
        _step(_RETURN, _KILL),
        _step(_LOAD, _AT_NUMBER),
        _step(_JUMP_OVER, _X32_BIT, 0, 1),
        _step(_RETURN, _KILL),
    ]
    for number in sorted(found.absent.values()):
        lines += _refusal(number, errno.ENOSYS)
    for number in sorted(found.refused.values()):
        lines += _refusal(number, errno.EPERM)
    lines += _on(found.clone, 0, [_step(_JUMP_BITS, _NEW_NAMESPACE, 0, 1), _fail(errno.EPERM)])
    for number in (found.socket, found.socketpair):
        lines += _on(number, 0, [_step(_JUMP_EQUAL, _AF_UNIX, 1, 0), _fail(errno.EPERM)])
    into_terminal = [_step(_JUMP_EQUAL, _TIOCSTI, 1, 0), _step(_JUMP_EQUAL, _TIOCLINUX, 0, 1)]
    lines += _on(found.ioctl, 1, [*into_terminal, _fail(errno.EPERM)])
    # MAP_SHARED's bit is set in MAP_SHARED_VALIDATE too, and not in MAP_PRIVATE.
    without_owner = [_step(_JUMP_BITS, _MAP_ANONYMOUS, 0, 2), _step(_JUMP_BITS, _MAP_SHARED, 0, 1)]
    lines += _on(found.mmap, 3, [*without_owner, _fail(errno.EPERM)])
    lines.append(_step(_RETURN, _ALLOW))
    return b"".join(lines)


def _step(code: int, operand: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One struct sock_filter: the operation, how many steps to skip when it holds or not, and the operand."""
    return struct.pack("<HBBI", code, if_true, if_false, operand)


def _fail(number: int) -> bytes:
    """The call fails with this errno."""
    return _step(_RETURN, _FAIL | number)


def _refusal(number: int, error: int) -> list[bytes]:
    """The call fails, whatever its arguments."""
    return [_step(_JUMP_EQUAL, number, 0, 1), _fail(error)]


def _on(number: int, argument: int, steps: list[bytes]) -> list[bytes]:
    """Take `steps` on the low half of an argument of one call, which is all that the kernel reads of it; else go on.

    The accumulator holds the call's number before and after.
    """
    body = [_step(_LOAD, _AT_ARGUMENTS + 8 * argument), *steps, _step(_LOAD, _AT_NUMBER)]
    return [_step(_JUMP_EQUAL, number, 0, len(body)), *body]
