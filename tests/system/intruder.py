"""Somebody who has got into a process and makes it call the kernel: ptrace(2) puts
a system call of our choice where the process waits in one of its own."""

import ctypes
import errno
import os
import signal

PTRACE_CONT, PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_DETACH = 7, 12, 13, 17
PTRACE_SEIZE, PTRACE_INTERRUPT = 0x4206, 0x4207
SYSCALL = b"\x0f\x05"
WALL = 0x40000000
MACHINE = "x86_64"  # the only one whose registers are known here


class Registers(ctypes.Structure):
    """struct user_regs_struct of x86-64."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in (
        "r15", "r14", "r13", "r12", "rbp", "rbx", "r11", "r10", "r9", "r8", "rax", "rcx", "rdx",
        "rsi", "rdi", "orig_rax", "rip", "cs", "eflags", "rsp", "ss", "fs_base", "gs_base", "ds",
        "es", "fs", "gs")]


def ptrace(request, pid, address=None, data=None):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    libc.ptrace.restype = ctypes.c_long
    if libc.ptrace(request, pid, address, data) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace {request}: {os.strerror(code)}")


def stop(pid):
    ptrace(PTRACE_SEIZE, pid)
    ptrace(PTRACE_INTERRUPT, pid)
    _, status = os.waitpid(pid, WALL)
    assert os.WIFSTOPPED(status), status


def point_at(pid, number):
    """The next instruction is a system call with this number and no arguments."""
    registers = Registers()
    ptrace(PTRACE_GETREGS, pid, data=ctypes.addressof(registers))
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(registers.rip - len(SYSCALL))
        assert memory.read(len(SYSCALL)) == SYSCALL, "it waits in a system call"
    registers.rip -= len(SYSCALL)
    registers.rax, registers.orig_rax = number, ctypes.c_ulonglong(-1).value
    for name in ("rdi", "rsi", "rdx", "r10", "r8", "r9"):
        setattr(registers, name, 0)
    ptrace(PTRACE_SETREGS, pid, data=ctypes.addressof(registers))


def make_it_call(pid, number):
    """The process calls it now, and goes on as it can."""
    stop(pid)
    point_at(pid, number)
    # The signal of a trapped call stops it once more: who traces hears of it first.
    ptrace(PTRACE_CONT, pid)
    while True:
        _, status = os.waitpid(pid, WALL)
        if not os.WIFSTOPPED(status):
            return
        number = os.WSTOPSIG(status)
        if number == signal.SIGSYS:
            try:
                ptrace(PTRACE_DETACH, pid, data=number)
            except OSError as problem:
                if problem.errno != errno.ESRCH:
                    raise
            return
        ptrace(PTRACE_CONT, pid, data=number if number != signal.SIGTRAP else None)
