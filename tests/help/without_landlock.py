"""Runs a program as on a kernel without Landlock: python without_landlock.py COMMAND…

A seccomp filter answers its system calls with ENOSYS, as landlock(7) says of such a kernel. Every child has it too.
Uses the standard library only, because another user may not be able to import the tests.
"""

import ctypes
import errno
import os
import struct
import sys

_FIRST, _LAST = 444, 446
"""landlock_create_ruleset, landlock_add_rule, landlock_restrict_self: the same numbers on every architecture."""
_LOAD, _IF_AT_LEAST, _IF_ABOVE, _RETURN = 0x20, 0x35, 0x25, 0x06
"""Instructions of BPF (linux/bpf_common.h): load a word, jump if >= and if >, return."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_SET_NO_NEW_PRIVS = 22, 2, 38


def instruction(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


FILTER = (
    instruction(_LOAD, 0, 0, 0)  # the number of the system call
    + instruction(_IF_AT_LEAST, 0, 2, _FIRST)
    + instruction(_IF_ABOVE, 1, 0, _LAST)
    + instruction(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)
    + instruction(_RETURN, 0, 0, _ALLOW)
)


def main() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    code = ctypes.create_string_buffer(FILTER, len(FILTER))
    program = struct.pack("HxxxxxxP", len(FILTER) // 8, ctypes.addressof(code))
    if os.geteuid() != 0:
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(
        _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.create_string_buffer(program, len(program)), 0, 0
    ):
        sys.exit(f"no filter of system calls: {os.strerror(ctypes.get_errno())}")
    os.execvp(sys.argv[1], sys.argv[1:])  # the command of the test


if __name__ == "__main__":
    main()
