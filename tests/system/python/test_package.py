"""The wheel and the extension in it."""

import os
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import amy
import pytest
from amy import Code, Error, _native, gate
from docstrings import public_things, undocumented
from memory import expect_flat


def test_it_is_the_installed_package_and_the_installed_library():
    assert "site-packages" in amy.__file__, amy.__file__
    gate.Gate("/").free()
    loaded = Path("/proc/self/maps").read_text()
    assert f"{os.environ['AMY_PREFIX']}/lib" in loaded and "libamy.so.0" in loaded


def test_the_version_is_the_librarys():
    assert amy.__version__ == _native.VERSION
    assert f"amy-{amy.__version__}-" in os.environ["AMY_WHEEL"]


def test_one_wheel_for_all_later_pythons():
    name = Path(os.environ["AMY_WHEEL"]).name
    assert "-cp311-abi3-" in name, name
    with zipfile.ZipFile(os.environ["AMY_WHEEL"]) as wheel:
        names = wheel.namelist()
    assert any(one.endswith(".dist-info/LICENSE") for one in names)
    assert "amy/py.typed" in names and "amy/_native.abi3.so" in names
    assert not [one for one in names if one.endswith((".c", ".h"))]


def test_the_codes_are_the_librarys():
    assert {code.name: code.value for code in Code} == _native.CODES


def test_an_error_has_all_that_the_library_told(tmp_path):
    with pytest.raises(Error) as caught:
        gate.Gate(tmp_path / "none")
    error = caught.value
    assert error.code is Code.ENOTFOUND and error.errno == 2 and error.source == amy.Source.SYS
    assert str(error) == f"opening directory '{tmp_path}/none': No such file or directory (ENOTFOUND)"


def test_an_unknown_code_stays_a_number():
    assert Error(-999, "of a newer library").code == -999
    assert str(Error(-999, "x")) == "x (-999)"


def test_everything_says_what_it_is():
    things = dict(public_things(amy, skip=["amy.contrib.django"]))
    assert "amy.redis.Client.pipeline" in things and "amy.gate.close" in things
    assert undocumented(things) == []


@pytest.mark.parametrize("arguments", [(), ("x",), (1, 0), ("x\0y", 0), ("x", "y")])
def test_wrong_arguments_are_type_or_value_errors(arguments):
    with pytest.raises((TypeError, ValueError)):
        _native.Gate(*arguments)


def test_a_copy_in_another_interpreter_of_the_process(tmp_path):
    """No state is static: each interpreter has its own classes."""
    script = f"""
try:
    import _xxsubinterpreters as sub
except ImportError:  # since Python 3.13
    import _interpreters as sub
one = sub.create()
sub.run_string(one, '''
import sys
sys.path[:] = {sys.path!r}
from amy import Code, Error, gate
try:
    gate.Gate("{tmp_path}/none")
except Error as error:
    assert error.code is Code.ENOTFOUND
''')
sub.destroy(one)
import amy.gate
amy.gate.Gate("{tmp_path}").free()
print("both")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "both\n", done.stderr


# ---- memory


def test_nothing_is_kept_of_reads_and_errors(tmp_path):
    (tmp_path / "maintenance_on.html").write_text("x" * 1000)
    nowhere = str(tmp_path / "none")
    with gate.Gate(tmp_path) as one:
        def work():
            one.look()
            with pytest.raises(Error):
                _native.Gate(nowhere, 0)
            with pytest.raises(Error):
                _native.ask("front", "GET", "/", None, nowhere, 10)
            with pytest.raises(TypeError):
                _native.Gate(1, 2)
        expect_flat(work, 10_000)


def test_nothing_is_kept_of_gates(tmp_path):
    def work():
        one = gate.Gate(tmp_path)
        one.wait(0)
        if len(os.listdir("/proc/self/fd")) % 2:
            one.free()
    expect_flat(work, 200)  # each some KiB, and 10 ms for inotify


# ---- threads and forks


def test_another_thread_runs_meanwhile_and_has_no_use_of_it(tmp_path):
    with gate.Gate(tmp_path) as one:
        results = []
        waiting = threading.Thread(target=lambda: results.append(one.wait(20)))
        waiting.start()
        refused = None
        while refused is None and waiting.is_alive():  # until the thread is inside
            try:
                one.view()
            except Error as error:
                refused = error
        assert refused is not None and refused.code is Code.EBUSY
        gate.Gate(tmp_path).close("another")
        waiting.join(60)
        assert results == [True]
        assert one.view().closed


def events():
    """What our epoll and inotify descriptors watch, as the kernel has it."""
    found = []
    for number in os.listdir("/proc/self/fd"):
        try:
            kind = os.readlink(f"/proc/self/fd/{number}")
            if kind in {"anon_inode:[eventpoll]", "anon_inode:inotify"}:
                found.append((kind, Path(f"/proc/self/fdinfo/{number}").read_text()))
        except FileNotFoundError:
            continue  # that of listdir itself
    return found


def test_a_child_leaves_the_parents_gate_alone(tmp_path):
    """Freed in the child it would take the parent's events out of the epoll set."""
    with gate.Gate(tmp_path) as one:
        before = events()
        assert len(before) >= 2 and "tfd:" in str(before) and "wd:" in str(before)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                one.look()
            except Error as error:
                code = 0 if error.code is Code.ESTATE else 2
            one._gate = None
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert events() == before
        gate.Gate(tmp_path).close()
        assert one.wait(60) and one.view().closed


def test_a_signal_is_heard_while_waiting(tmp_path):
    script = f"""
import signal
from amy import gate
signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
with gate.Gate({str(tmp_path)!r}) as one:
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        one.wait()
    except ZeroDivisionError:
        print("heard", one.look().closed)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True,
                          check=False, timeout=60)
    assert done.stdout == "heard False\n", done.stderr
