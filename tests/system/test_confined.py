"""Front processes and the filter of system calls that they run under."""

import platform
import re
import signal

import intruder
import pytest
from hosting import walk
from hosting.wait import wait_for
from support import TINY, is_alive

SOON_S = 30
EXECVE = 59  # of x86-64


def front_pids(host):
    return [front["pid"] for front in walk.merged(host.status(), "processes")
            if front["state"] == "ready"]


def test_forbidden_call_ends_the_process_with_a_line_that_names_it(running):
    """Another one takes its place; the visitor's next request is answered."""
    assert platform.machine() == intruder.MACHINE
    before = front_pids(running)
    victim = before[0]
    intruder.make_it_call(victim, EXECVE)
    wait_for(lambda: not is_alive(victim), SOON_S, "it has ended")
    wait_for(lambda: len(front_pids(running)) == len(before) and victim not in front_pids(running),
             SOON_S, "there is another one")
    assert running.get(TINY, tls=False).status == 200
    log = running.front.output()
    assert f"killed for system call {EXECVE}\n" in log
    assert re.search(rf"signal={int(signal.SIGSYS)}\b|SIGSYS", log), log[-2000:]
