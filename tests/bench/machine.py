"""What processes use, as /proc tells it, and where their time goes."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and all its descendants."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in task.read_text().split():
                pids += tree(int(child))
        except OSError:
            pass
    return pids


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def memory_kib(pids, name="VmHWM"):
    total = 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        if found := re.search(rf"{name}:\s+(\d+)", status):
            total += int(found[1])
    return total


def profile(pids, seconds=4, most=12):
    """Where the processes are while whatever loads them goes on: lines of text."""
    if shutil.which("perf") is None:
        return ["no profile: perf is not installed (linux-perf)"]
    with tempfile.TemporaryDirectory() as directory:
        data = f"{directory}/perf.data"
        done = subprocess.run(
            ["perf", "record", "-q", "-F", "1999", "-o", data, "-p", ",".join(map(str, pids)),
             "--", "sleep", str(seconds)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return [f"no profile: {done.stderr.strip()[:200]}"]
        text = subprocess.run(
            ["perf", "report", "-i", data, "--stdio", "--sort", "dso,symbol", "-g", "none"],
            capture_output=True, text=True, check=False).stdout
    lines = [line.strip() for line in text.splitlines() if line.strip() and line[0] != "#"]
    return lines[:most] or ["no profile: the processes slept all the time"]


def idle_share(seconds=1.0):
    """How much of the machine nobody else uses now, 0 to 1."""
    def read():
        numbers = list(map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:]))
        return numbers[3] + numbers[4], sum(numbers[:8])
    idle, total = read()
    subprocess.run(["sleep", str(seconds)], check=True)
    idle_after, total_after = read()
    return (idle_after - idle) / max(1, total_after - total)
