"""Becomes another program: as another user when asked, and ended by the kernel when the process that started it ends.

Run by path with `python -I -S launch.py [--user NAME [--passage]] [--parent PID --signal N] -- PROGRAM ARGUMENT…`: standard library only, and
exec keeps the pid. It replaces `preexec_fn`, which may not run in a process that has threads.

--user      PostgreSQL refuses to run as root.
--passage   The user keeps root's right to open files anywhere (CAP_DAC_OVERRIDE, Linux): with it a data directory under /root or made by
            `mktemp -d` works and no folder's permissions have to be widened. Asked for only where it is needed.
--parent    The program gets signal N when PID ends (Linux). Elsewhere nothing happens: the next start finds the program through run.json.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import sys

_PR_SET_PDEATHSIG, _PR_GET_PDEATHSIG = 1, 2
_PR_SET_SECUREBITS = 28
_KEEP_CAPS = 1 << 4
_NO_SETUID_FIXUP = (
    1 << 2
)  # without it access(2), which PostgreSQL asks about its own file, ignores the capability
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAP_DAC_OVERRIDE = 1
_CAPABILITY_VERSION_3 = 0x20080522
_LINUX = sys.platform == "linux"


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def main() -> None:
    """Read the arguments and become the program; exit code 127 when it cannot be started."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--user")
    parser.add_argument("--passage", action="store_true")
    parser.add_argument("--parent", type=int)
    parser.add_argument("--signal", type=int, default=15)
    border = sys.argv.index("--")
    chosen, program = parser.parse_args(sys.argv[1:border]), sys.argv[border + 1 :]
    if chosen.user:
        become(chosen.user, passage=chosen.passage and _LINUX)
    if chosen.parent:
        end_with(chosen.parent, chosen.signal)
    try:
        os.execv(program[0], program)
    except OSError as error:
        sys.stderr.write(f"{program[0]}: {error.strerror}\n")
        sys.exit(127)


def become(user: str, *, passage: bool) -> None:
    """Drop root for `user`."""
    entry = pwd.getpwnam(user)
    death = _death_signal()
    if passage:
        _prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP | _KEEP_CAPS)
    os.setgroups([entry.pw_gid])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    if passage:
        _keep_passage()
    if death:
        _prctl(_PR_SET_PDEATHSIG, death)  # a change of user clears it
    os.environ.update(HOME="/", USER=user, LOGNAME=user)


def end_with(parent: int, signal: int) -> None:
    """Ask the kernel for `signal` when `parent` ends; leave at once when it has ended already."""
    if _LINUX:
        _prctl(_PR_SET_PDEATHSIG, signal)
    if os.getppid() != parent:
        sys.exit(f"launch: the process {parent} that wanted this has ended")


def _keep_passage() -> None:
    """Best effort: where the kernel refuses, the caller sees that files cannot be reached."""
    data = (_Data * 2)()
    data[0] = _Data(1 << _CAP_DAC_OVERRIDE, 1 << _CAP_DAC_OVERRIDE, 1 << _CAP_DAC_OVERRIDE)
    header = _Header(_CAPABILITY_VERSION_3, 0)
    if ctypes.CDLL(None).capset(ctypes.byref(header), data) == 0:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


def _death_signal() -> int:
    found = ctypes.c_int(0)
    if _LINUX:
        _prctl(_PR_GET_PDEATHSIG, ctypes.addressof(found))
    return found.value


def _prctl(option: int, *values: int) -> None:
    arguments = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    ctypes.CDLL(None).prctl(option, *arguments)


if __name__ == "__main__":
    main()
