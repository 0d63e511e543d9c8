"""What the kernel can forbid a process for good: it is done by the child itself, before it reads a word of SQL.

Each measure stands alone; where the kernel or the user do not allow one, the others hold:

    network     a network namespace with nothing in it; TCP by Landlock besides
    files       Landlock: reading what the query is made of, writing in its own folder, nothing else
    capabilities  none: root, too, is then a user among others
    user        another one, who owns nothing, where we are root and it can read the lake
    resources   address space, size of a file, processor time; no core dumps; the first to go when memory is short
"""

import ctypes
import os
import platform
import pwd
import resource
import signal
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

_NEWUSER: Final = 0x10000000  # linux/sched.h
_NEWNET: Final = 0x40000000
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NO_NEW_PRIVS: Final = 38
_CAPABILITY_VERSION: Final = 0x20080522  # linux/capability.h, the third

# linux/landlock.h; the numbers of the calls are the same on every architecture
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_PATH_BENEATH: Final = 1
_EXECUTE: Final = 1 << 0
_WRITE_FILE: Final = 1 << 1
_READ_FILE: Final = 1 << 2
_READ_DIR: Final = 1 << 3
_REMOVE_DIR: Final = 1 << 4
_REMOVE_FILE: Final = 1 << 5
_MAKE_DIR: Final = 1 << 7
_MAKE_REG: Final = 1 << 8
_TRUNCATE: Final = 1 << 14
_ALL_OF_ABI: Final = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_ALL_SINCE: Final = (1 << 16) - 1
_TCP: Final = (1 << 0) | (1 << 1)
_TCP_SINCE: Final = 4
_SCOPES: Final = (1 << 0) | (1 << 1)  # no abstract sockets, no signals to processes outside
_SCOPES_SINCE: Final = 6
_READING: Final = _READ_FILE | _READ_DIR
_OF_A_FILE: Final = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_OWNING: Final = _READING | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine(*, reading: Iterable[str], owning: str, user: str | None, limits: Mapping[int, int]) -> dict[str, bool]:
    """Take away from this process all it does not need; returns which measures hold.

    Args:
        reading: files that it may read, besides its own program.
        owning: the folder that it may write in.
        user: whom it becomes, if it may and that one can read all this.
        limits: the most of each resource, by `resource.RLIMIT_...`.
    """
    reading = list(reading)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    held = {"network": _leave_network(), "user": _become(user, reading, owning)}
    held["files"] = _landlock(reading, owning)
    held["capabilities"] = _drop_capabilities()
    _LIBC.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # again: the kernel forgets it when credentials change
    for kind, most in {**limits, resource.RLIMIT_CORE: 0}.items():
        resource.setrlimit(kind, (most, most))
    return held


def _leave_network() -> bool:
    if platform.system() != "Linux":
        return False
    return bool(_LIBC.unshare(_NEWNET) == 0 or _LIBC.unshare(_NEWUSER | _NEWNET) == 0)


def _become(user: str | None, reading: Iterable[str], owning: str) -> bool:
    """Become `user`, unless that one could not read what the query is made of."""
    if user is None or os.geteuid() != 0:
        return False
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return False
    needed = [*reading, *_own()]
    os.chown(owning, entry.pw_uid, entry.pw_gid)
    os.setgroups([])
    os.setegid(entry.pw_gid)
    os.seteuid(entry.pw_uid)
    able = all(os.access(path, os.R_OK, effective_ids=True) for path in needed)
    able = able and os.access(owning, os.W_OK | os.X_OK, effective_ids=True)
    os.seteuid(0)
    os.setegid(0)
    if not able:
        os.chown(owning, 0, 0)
    else:
        os.setresgid(entry.pw_gid, entry.pw_gid, entry.pw_gid)
        os.setresuid(entry.pw_uid, entry.pw_uid, entry.pw_uid)
    return able


def _drop_capabilities() -> bool:
    if platform.system() != "Linux":
        return False
    header, none = _CapabilityHeader(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    return bool(_LIBC.capset(ctypes.byref(header), ctypes.byref(none)) == 0)


def _landlock(reading: Iterable[str], owning: str) -> bool:
    if platform.system() != "Linux":
        return False
    abi = _LIBC.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)
    if abi < 1:
        return False
    handled = _ALL_OF_ABI.get(abi, _ALL_SINCE)
    ruleset = _Ruleset(handled, _TCP if abi >= _TCP_SINCE else 0, _SCOPES if abi >= _SCOPES_SINCE else 0)
    size = ctypes.sizeof(ctypes.c_uint64) * (1 + (abi >= _TCP_SINCE) + (abi >= _SCOPES_SINCE))
    rules = _LIBC.syscall(_CREATE_RULESET, ctypes.byref(ruleset), ctypes.c_size_t(size), 0)
    if rules < 0:
        return False
    try:
        for path in _needed():
            _allow(rules, path, (_READING | _EXECUTE) & handled)
        for path in reading:
            _allow(rules, path, _READING & handled)
        _allow(rules, owning, _OWNING & handled)
        return bool(_LIBC.syscall(_RESTRICT_SELF, rules, 0) == 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, access: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # then it cannot be read either
        return
    try:
        mask = access if os.path.isdir(path) else access & _OF_A_FILE  # noqa: PTH112  # thousands of files
        rule = _PathBeneath(mask, handle)
        _LIBC.syscall(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(handle)


def _needed() -> set[str]:
    """What Python and its libraries load late: modules, shared objects, time zones."""
    libraries = {"/lib", "/lib64", "/usr/lib", "/usr/share/zoneinfo", "/etc/localtime", "/dev/null", "/dev/urandom"}
    limits = {"/proc/self/cgroup", "/proc/meminfo", "/sys/fs/cgroup"}  # DuckDB looks how much memory there is
    return libraries | limits | _own()


def _own() -> set[str]:
    """Where this Python and its packages are; other users may not get there."""
    return {path for path in (sys.prefix, sys.base_prefix, *sys.path) if Path(path).exists()}
