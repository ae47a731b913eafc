"""The first program in the sandbox: adds two more restrictions, gives up all privileges, and becomes the agent.

How this works: `sandbox` binds this file into the sandbox and starts it as

    python -I -S FILE UID GID WORKSPACE PATH… -- COMMAND…

1. Landlock (landlock(7)) allows reading everywhere and writing below workspace and paths. It allows no mount, and no
   signal or abstract socket across its border. It would stop bubblewrap itself, so it is added here. Some kernels do
   not have it.
2. A filter (seccomp(2)) refuses system calls that reach what no namespace separates: the keyrings, and sockets to the
   hypervisor. It also refuses those that few programs need and that attacks on the kernel use.
3. A UID other than `-` replaces root, and no capability remains.
4. The signals that bubblewrap ignores get their defaults back, and the command replaces this program.

Uses the standard library only, because the sandbox may hide the package.
"""

import ctypes
import errno
import os
import signal
import struct
import sys

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
"""Numbers of system calls, the same on every architecture."""
_PATH_BENEATH = 1
_PR_CAPBSET_DROP = 24
_CAPABILITY_VERSION = 0x20080522
_PR_SET_NO_NEW_PRIVS = 38

_READ = 0b1101
"""execute, read_file, read_dir"""
_DEVICES = 0b1000_0100_0000
"""make_char, make_block: allowed nowhere"""
_ON_FILES = 0b1100_0000_0000_0111
"""The rights that a rule for a file may have: execute, write_file, read_file, truncate, ioctl_dev."""
_RIGHTS_BY_ABI = (0, 13, 14, 15, 15)
"""How many rights on files a version of Landlock knows: refer came with 2, truncate with 3, ioctl_dev with 5."""
_ALL_RIGHTS = 16
_SCOPES = 0b11
"""abstract_unix_socket, signal: since version 6"""

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""Instructions of BPF (linux/bpf_common.h): load a word, jump if =, if >=, if &, return."""
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
"""Offsets in `struct seccomp_data`. Both architectures are little-endian."""
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2
_CLONE_NEWUSER = 0x10000000
_X32 = 0x40000000
"""Numbers from here on are those of x32, a second set for the same calls."""
_CLONE3 = 435
_IO_URING = (425, 426, 427)
"""It opens sockets without the call that the filter sees."""


_NUMBERS = {
    "x86_64": (0xC000003E, (41, 53), (56, 272), (248, 249, 250, 323, 321, 298)),
    "aarch64": (0xC00000B7, (198, 199), (220, 97), (217, 218, 219, 282, 280, 241)),
}
"""By architecture: its AUDIT_ARCH (linux/audit.h), and the numbers of system calls.

They are socket and socketpair; clone and unshare, whose first argument has the flags; and what is always refused:
add_key, request_key, keyctl, userfaultfd, bpf, perf_event_open.
"""
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK: the families of sockets that the namespaces separate."""

_libc = ctypes.CDLL(None, use_errno=True)


def landlock_version() -> int:
    """Return the version of Landlock in this kernel, 0 without Landlock."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, 1)))


def restrict_writing(paths: list[str]) -> None:
    """Allow this process to write only below `paths`. Does nothing if the kernel has no Landlock. Raises OSError."""
    version = landlock_version()
    if not version:
        return
    count = _RIGHTS_BY_ABI[version] if version < len(_RIGHTS_BY_ABI) else _ALL_RIGHTS
    rights = (1 << count) - 1
    attributes = struct.pack("QQQ", rights, 0, _SCOPES if version >= 6 else 0)
    ruleset = _call(_CREATE_RULESET, attributes, len(attributes), 0)
    _allow(ruleset, "/", rights & _READ)
    for path in paths:
        _allow(ruleset, path, rights & ~_DEVICES)
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rights = rights if os.path.isdir(path) else rights & _ON_FILES
    _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, fd), 0)
    os.close(fd)


def _call(number: int, *arguments: object) -> int:
    found = int(_libc.syscall(number, *arguments))
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return found


def restrict_calls(machine: str) -> None:
    """Refuse system calls that the namespaces do not confine. Does nothing on an architecture without a table.

    Programs for another architecture, such as those of 32 bits, do not run: their numbers are not in the table.
    Raises OSError if the kernel refuses the filter; one without seccomp leaves all calls allowed.
    """
    if machine not in _NUMBERS:
        return
    program = _filter(*_NUMBERS[machine])
    code = ctypes.create_string_buffer(program, len(program))
    descriptor = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if (
        _libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, descriptor, 0, 0)
        and ctypes.get_errno() != errno.EINVAL
    ):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _filter(
    architecture: int, sockets: tuple[int, ...], namespaces: tuple[int, ...], always: tuple[int, ...]
) -> bytes:
    """Return the program of the filter (linux/filter.h)."""
    no_call, refused, no_family = (
        _instruction(_RETURN, _ERRNO | number) for number in (errno.ENOSYS, errno.EPERM, errno.EAFNOSUPPORT)
    )
    allow = _instruction(_RETURN, _ALLOW)
    load = _instruction(_LOAD, _NUMBER)
    load_first = _instruction(_LOAD, _FIRST_ARGUMENT)
    families = b"".join(_if(_IF_EQUAL, family, allow) for family in _FAMILIES)
    program = _instruction(_LOAD, _ARCHITECTURE)
    program += _instruction(_IF_EQUAL, architecture, 1, 0) + no_call + load
    program += _if(_IF_AT_LEAST, _X32, no_call)
    program += _if(_IF_EQUAL, _CLONE3, no_call)  # its flags are in memory; programs then use clone
    program += b"".join(_if(_IF_EQUAL, number, refused) for number in (*always, *_IO_URING))
    for number in sockets:
        program += _if(_IF_EQUAL, number, load_first + families + no_family)
    for number in namespaces:
        program += _if(_IF_EQUAL, number, load_first + _if(_IF_ANY_BIT, _CLONE_NEWUSER, refused) + allow)
    return program + allow


def _if(condition: int, value: int, then: bytes) -> bytes:
    """Return instructions that run `then` if the loaded word fulfils a condition, else go on after it."""
    return _instruction(condition, value, 0, len(then) // 8) + then


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("HBBI", code, if_true, if_false, value)


def become(uid: int, gid: int) -> None:
    """Become another user without groups, and without a capability in any set."""
    capability = 0
    while _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        capability += 1
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    _libc.capset(struct.pack("Ii", _CAPABILITY_VERSION, 0), bytes(24))  # the inheritable ones, which remain


def main() -> None:
    """Do what the arguments say. Exits with 127 if there is no such command, with 126 for another error."""
    middle = sys.argv.index("--")
    uid, gid, *paths = sys.argv[1:middle]
    command = sys.argv[middle + 1 :]
    try:
        restrict_writing(paths)
        restrict_calls(os.uname().machine)
        if uid != "-":
            become(int(uid), int(gid))
        os.chdir(paths[0])  # only now: the workspace is for the agent's user alone
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(command[0], command)  # nosec B606 # the command of the settings, without a shell
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        sys.exit(127 if error.errno == errno.ENOENT else 126)


if __name__ == "__main__":
    main()
