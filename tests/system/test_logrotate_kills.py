"""A rotator that is killed, or refused something by the system, at the calls
with which it rotates and packs: the next one finishes, and every line is there
once. promises/logs.md 2, 6, 9."""

import os
import signal
import subprocess
from pathlib import Path

import pytest
from hosting.host import binaries
from hosting.site import TOP
from hosting.wait import wait_for

LINES = 400_000  # more than the example's 10 MiB
PAD = "x" * 20
CALLS = ["renameat2", "renameat", "unlinkat", "fchmod", "utimensat", "openat"]
ERRORS = ["EIO", "ENOSPC", "EDQUOT"]
# Before these, openat is the loader's.
LAST_OPENS = 5
SOON_S = 30


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The example, as its comment says that it is built."""
    library = binaries().parent / "libamy"
    made = tmp_path_factory.mktemp("example") / "logrotate"
    subprocess.run(["cc", "-std=c11", TOP / "examples/logrotate.c", "-o", made, "-I", TOP / "include",
                    "-L", library, f"-Wl,-rpath,{library}", "-lamy", "-levent_core"], check=True)
    return made


@pytest.fixture(scope="module")
def text():
    return "".join(f"{n} {PAD}\n" for n in range(LINES))


class Scene:
    def __init__(self, program, directory, text):
        self.program, self.logs, self.text = program, directory / "logs", text
        self.logs.mkdir()
        (self.logs / "access.log").write_text(text)

    def old(self):
        return [file for file in self.logs.iterdir() if file.name.startswith("access.log-")]

    def is_packed(self):
        """The old file is there packed, and in no other form."""
        return [file.suffix for file in self.old()] == [".zst"]

    def run(self, *prefix, patience_s=SOON_S):
        """Until it is packed, or the program is dead; what strace said of it."""
        child = subprocess.Popen([*prefix, self.program, self.logs, "access.log"],
                                 stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            wait_for(lambda: child.poll() is not None or self.is_packed(), patience_s)
        except AssertionError:
            if not prefix:
                raise
        return child.communicate()[1].decode(errors="replace")

    def lines(self):
        """Of the old file and the present one; what is only half packed does
        not count, nor what is packed of a plain one that is there."""
        found = ""
        for file in self.old():
            plain = file.with_name(file.name.removesuffix(".zst"))
            if file.suffix == ".zst" and not plain.exists():
                found += subprocess.run(["zstd", "-qdc", file], check=True,
                                        stdout=subprocess.PIPE, text=True).stdout
            elif file.suffix not in {".zst", ".partial"}:
                found += file.read_text()
        return found + (self.logs / "access.log").read_text()


def count(scene, call):
    trace = scene.run("strace", "-qq", "-e", f"trace={call}")
    return sum(line.startswith(f"{call}(") for line in trace.splitlines())


def places(program, tmp_path, text, call):
    """Which ones of this call to try."""
    scratch = tmp_path / "counted"
    scratch.mkdir()
    n = count(Scene(program, scratch, text), call)
    assert n > 0, f"a rotator never calls {call}"
    return range(max(1, n - LAST_OPENS + 1), n + 1) if call == "openat" else range(1, n + 1)


def attempts(program, tmp_path, text, call, how, patience_s):
    any_met = False
    for when in places(program, tmp_path, text, call):
        directory = tmp_path / f"{call}-{when}"
        directory.mkdir()
        scene = Scene(program, directory, text)
        trace = scene.run("strace", "-qq", "-e", f"trace={call}",
                          "-e", f"inject={call}:{how}:when={when}", patience_s=patience_s)
        met = "(INJECTED)" in trace or "killed by SIGKILL" in trace
        # How often it looks at the directory once all is done is a matter of time.
        assert met or scene.is_packed(), f"{call} {when}: neither met nor done"
        any_met = any_met or met
        if (scene.logs / "access.log").exists():
            assert scene.lines() == text, f"{call} {when}: lines are lost or there twice"
        yield scene, when
    assert any_met, f"no {call} was met"


@pytest.mark.parametrize("call", CALLS)
def test_killed_at_a_call(program, tmp_path, text, call):
    for scene, when in attempts(program, tmp_path, text, call, "signal=KILL", SOON_S):
        scene.run()
        assert scene.is_packed(), f"{call} {when}: left {scene.old()}"
        assert scene.lines() == text, f"{call} {when}"


@pytest.mark.long
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", CALLS)
def test_refused_a_call(program, tmp_path, text, call, error):
    """It goes on, or gives up for a while; the next one finishes in any case."""
    for scene, when in attempts(program, tmp_path, text, call, f"error={error}", 3):
        scene.run()
        assert scene.is_packed(), f"{call} {when}: left {scene.old()}"
        assert scene.lines() == text, f"{call} {when}"


def slow(call, seconds, *more):
    return ["strace", "-f", "-qq", "-e", f"trace={call}",
            "-e", f"inject={call}:delay_enter={int(seconds * 1e6)}", *more]


# A child of the rotator's, what keeps it long enough to be met at its work, and
# the files that are there then.
AT_WORK = [
    ("zstd", lambda _: slow("read", 0.05), [".partial", "plain"]),
    ("sync", lambda _: slow("fsync", SOON_S), [".partial", "plain"]),
    ("sync", lambda logs: slow("fsync", SOON_S, "-P", logs), [".zst", "plain"]),
]


def child_of(pid, name):
    """A child of the process that runs this program."""
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        if Path(f"/proc/{child}/comm").read_text().strip() == name:
            return int(child)
    return None


def is_over(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize("at", AT_WORK, ids=["packing", "syncing-the-file", "syncing-the-name"])
def test_killed_while_its_child_works(program, tmp_path, text, at):
    """The source is there until the packed bytes and their name are on the disk."""
    name, prefix, kinds = at
    scene = Scene(program, tmp_path, text)

    def found():
        return sorted(file.suffix if file.suffix in {".zst", ".partial"} else "plain"
                      for file in scene.old())

    with subprocess.Popen([*prefix(scene.logs), program, scene.logs, "access.log"],
                          stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as tracer:
        rotator = wait_for(lambda: child_of(tracer.pid, "logrotate"), SOON_S, "the rotator")
        child = wait_for(lambda: found() == kinds and child_of(rotator, name), SOON_S,
                         f"its {name} is at work")
        os.kill(rotator, signal.SIGKILL)
        tracer.kill()  # or it would keep the child for the rest of its delay
    wait_for(lambda: is_over(child), SOON_S, "its child goes with it")
    assert found() == kinds
    assert scene.lines() == text
    scene.run()
    assert scene.is_packed(), f"left {scene.old()}"
    assert scene.lines() == text


def test_what_cannot_be_synced_is_not_taken_for_packed(program, tmp_path, text):
    scene = Scene(program, tmp_path, text)
    with subprocess.Popen(["strace", "-f", "-qq", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO",
                           program, scene.logs, "access.log"],
                          stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert any("stays plain for now" in line for line in child.stderr)
        child.communicate(timeout=SOON_S)
    (old,) = scene.old()
    assert old.read_text() == text
    scene.run()
    assert scene.is_packed()
    assert scene.lines() == text
