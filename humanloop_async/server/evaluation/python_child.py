"""The process that runs the code of one python evaluator, which anyone with an API key may have written.

It is a separate program, without imports from the package. Before it reads the code, it gives up everything that the
code must not have. Limits (`setrlimit`) bound CPU time, memory, files and descriptors. Landlock, a security module of
Linux, leaves it only Python's library to read, and no file to write. A filter of system calls (seccomp) rejects those
that reach the network, other processes, new processes, and the properties of files, which Landlock does not cover.

If the system cannot do all of this, the process reports the reason and ends.

It writes a line to standard output when it is ready, or an ``{"unavailable": reason}``. It then reads one JSON line,
the request, and writes one JSON line, the reply: ``{"value": ...}`` or ``{"error": ...}``.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import struct
import sys
import sysconfig
import traceback
from types import FunctionType
from typing import Any, BinaryIO

MEMORY = 512 * 1024 * 1024
"""Largest address space, in bytes."""

CPU_SECONDS = 5
"""Most CPU time, in seconds."""

DESCRIPTORS = 64

MAX_ERROR_CHARS = 1000

_FILE = "<evaluator>"

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38

# Landlock: system calls have the same numbers on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ABI_OF_RIGHTS = ((1, (1 << 13) - 1), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))  # each version has more
_READ = (1 << 2) | (1 << 3)  # files and directories
_READ_FILE = 1 << 2

# Numbers of system calls on x86-64, and on arm64 or None if it does not have the call.
_REJECTED: dict[str, tuple[int, int | None]] = {
    # network
    "socket": (41, 198),
    # new programs and processes; threads are created with `clone`
    "fork": (57, None),
    "vfork": (58, None),
    "execve": (59, 221),
    "execveat": (322, 281),
    "unshare": (272, 97),
    "setns": (308, 268),
    # other processes
    "kill": (62, 129),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "rt_tgsigqueueinfo": (297, 240),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "ioprio_set": (251, 30),
    "setpgid": (109, 154),
    # shared memory and queues
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
    # properties of files
    "chmod": (90, None),
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
    "chown": (92, None),
    "fchown": (93, 55),
    "lchown": (94, None),
    "fchownat": (260, 54),
    "setxattr": (188, 5),
    "lsetxattr": (189, 6),
    "fsetxattr": (190, 7),
    "setxattrat": (463, 463),
    "removexattr": (197, 14),
    "lremovexattr": (198, 15),
    "fremovexattr": (199, 16),
    "removexattrat": (466, 466),
    "utime": (132, None),
    "utimes": (235, None),
    "futimesat": (261, None),
    "utimensat": (280, 88),
    "truncate": (76, 45),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # the system
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "acct": (163, 89),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "fanotify_init": (300, 262),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # rights of this process
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "personality": (135, 92),
    "capset": (126, 91),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "setgroups": (116, 159),
}
_CLONE, _CLONE3 = (56, 220), (435, 435)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column above, and AUDIT_ARCH_*
_X32 = 0x40000000  # numbers from here on are x86-64's other set of system calls

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # instructions of the filter
_ALLOW, _KILL, _EPERM, _ENOSYS = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026
_CLONE_THREAD = 0x10000
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT = 0, 4, 16  # offsets in the struct seccomp_data


class Unavailable(Exception):
    """The system cannot isolate the process; the message says what is missing."""


def isolate() -> None:
    """Give up everything that the code of an evaluator must not have.

    Raises:
        Unavailable: The system does not support it.
    """
    if sys.platform != "linux" or platform.machine() not in _ARCHITECTURES:
        raise Unavailable("python evaluators need Linux on x86-64 or arm64")
    import resource

    limits = {
        resource.RLIMIT_CPU: CPU_SECONDS,
        resource.RLIMIT_AS: MEMORY,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_NOFILE: DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
    os.nice(10)  # the server's other work comes first
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    _prctl(libc, _PR_SET_PDEATHSIG, 9)  # a server that is killed leaves no process behind
    _prctl(libc, _PR_SET_NO_NEW_PRIVS, 1)
    _restrict_files(libc)
    column, architecture = _ARCHITECTURES[platform.machine()]
    program = filter_program(column, architecture)
    buffer = ctypes.create_string_buffer(program)
    fprog = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    _prctl(libc, _PR_SET_SECCOMP, 2, ctypes.create_string_buffer(fprog))


def filter_program(column: int, architecture: int) -> bytes:
    """Return the filter of system calls for an architecture, in the kernel's instructions."""

    def instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
        return struct.pack("HBBI", code, if_true, if_false, value)

    def reject(number: int, result: int) -> bytes:
        return instruction(_EQUAL, number, 0, 1) + instruction(_RETURN, result)

    return b"".join(
        [
            instruction(_LOAD, _AT_ARCHITECTURE),
            instruction(_EQUAL, architecture, 1, 0),
            instruction(_RETURN, _KILL),
            instruction(_LOAD, _AT_NUMBER),
            instruction(_AT_LEAST, _X32, 0, 1),
            instruction(_RETURN, _EPERM),
            *(reject(number, _EPERM) for numbers in _REJECTED.values() if (number := numbers[column]) is not None),
            reject(_CLONE3[column], _ENOSYS),  # the C library then uses `clone`
            instruction(_EQUAL, _CLONE[column], 0, 3),
            instruction(_LOAD, _AT_FIRST_ARGUMENT),
            instruction(_ANY_BIT, _CLONE_THREAD, 1, 0),
            instruction(_RETURN, _EPERM),
            instruction(_RETURN, _ALLOW),
        ]
    )


def _restrict_files(libc: ctypes.CDLL) -> None:
    """Allow reading Python's library and what it loads, and nothing else."""
    version = libc.syscall(_CREATE_RULESET, None, 0, 1)
    if version < 1:
        raise Unavailable("python evaluators need Landlock, which Linux has since 5.13 if it is not switched off")
    handled = 0
    for since, rights in _ABI_OF_RIGHTS:
        handled |= rights if version >= since else 0
    attributes = ctypes.create_string_buffer(struct.pack("Q", handled), 8)
    ruleset = libc.syscall(_CREATE_RULESET, attributes, 8, 0)
    if ruleset < 0:
        raise Unavailable(f"Landlock: {os.strerror(ctypes.get_errno())}")
    paths = sysconfig.get_paths()
    readable = {paths[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    readable |= {f"{prefix}/{name}" for prefix in ("", "/usr", sys.base_prefix) for name in ("lib", "lib64")}
    readable |= {"/usr/share/zoneinfo", "/dev/null", "/dev/zero", "/dev/urandom"}
    for path in readable:
        try:
            opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            continue
        rights = _READ if os.path.isdir(path) else _READ_FILE
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, opened), 12)
        if libc.syscall(_ADD_RULE, ruleset, 1, rule, 0) < 0:
            raise Unavailable(f"Landlock: {path}: {os.strerror(ctypes.get_errno())}")
        os.close(opened)
    if libc.syscall(_RESTRICT_SELF, ruleset, 0) < 0:
        raise Unavailable(f"Landlock: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


def _prctl(libc: ctypes.CDLL, option: int, *arguments: Any) -> None:
    padded = [*arguments, 0, 0, 0, 0][:4]
    if libc.prctl(option, *(ctypes.c_ulong(value) if isinstance(value, int) else value for value in padded)) < 0:
        raise Unavailable(f"prctl({option}): {os.strerror(ctypes.get_errno())}")


def evaluate(code: str, arguments: list[Any]) -> dict[str, Any]:
    """Run the last function that the code defines, and return the reply."""
    namespace: dict[str, Any] = {"__name__": "evaluator"}
    try:
        exec(compile(code, _FILE, "exec"), namespace)
        functions = [
            value
            for value in namespace.values()
            if isinstance(value, FunctionType) and value.__code__.co_filename == _FILE
        ]
        if not functions:
            return {"error": "the code defines no function"}
        value = max(functions, key=lambda function: function.__code__.co_firstlineno)(*arguments)
        json.dumps(value, allow_nan=False)
    except BaseException as exc:  # noqa: BLE001 - the code may raise anything, SystemExit included
        return {"error": _described(exc)}
    return {"value": value}


def _described(exc: BaseException) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(exc.__traceback__) if frame.filename == _FILE]
    place = f" (line {lines[-1]})" if lines else ""
    try:
        message = str(exc)[:MAX_ERROR_CHARS]
    except BaseException:  # noqa: BLE001 - the code may define exceptions, too
        message = ""
    return f"{type(exc).__name__}{': ' if message else ''}{message}{place}"


def main() -> None:
    """Serve one request."""
    replies = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)  # for `print`
    try:
        isolate()
    except Unavailable as exc:
        _write(replies, {"unavailable": str(exc)})
        return
    _write(replies, {})  # ready
    request = json.loads(sys.stdin.buffer.readline())
    _write(replies, evaluate(request["code"], request["arguments"]))
    os._exit(0)  # without waiting for threads of the code


def _write(replies: BinaryIO, reply: dict[str, Any]) -> None:
    replies.write(json.dumps(reply).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    main()
