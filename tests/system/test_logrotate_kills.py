"""A rotator that is killed, or refused something by the system, at the calls
with which it rotates and packs: the next one finishes, and every line is there
once. promises/logs.md 2, 6, 9."""

import subprocess

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
    for when in places(program, tmp_path, text, call):
        directory = tmp_path / f"{call}-{when}"
        directory.mkdir()
        scene = Scene(program, directory, text)
        trace = scene.run("strace", "-qq", "-e", f"trace={call}",
                          "-e", f"inject={call}:{how}:when={when}", patience_s=patience_s)
        assert "(INJECTED)" in trace or "killed by SIGKILL" in trace
        if (scene.logs / "access.log").exists():
            assert scene.lines() == text, f"{call} {when}: lines are lost or there twice"
        yield scene, when


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
