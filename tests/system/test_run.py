"""amyctl run: a command in a site, for people and for cron."""

import errno
import json
import os
import pty
import select
import signal
import subprocess
import time

import pytest
from hosting import users, venv
from hosting.host import sanitizer_options
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for
from people import everybody
from support import TINY, deploy_tiny, status_of_process

SECRET = "5ecret-of-the-site"
REPORT = r"""
import json, os, sys
status = dict(line.rstrip().split(":\t", 1) for line in open("/proc/self/status"))
print(json.dumps({"env": dict(os.environ), "uids": os.getresuid(), "gids": os.getresgid(),
    "groups": os.getgroups(), "cwd": os.getcwd(), "nnp": status["NoNewPrivs"],
    "caps": [status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")],
    "fds": sorted(os.listdir("/proc/self/fd")), "python": sys.prefix, "session": os.getsid(0),
    "umask": os.umask(0)}))
"""


@pytest.fixture(scope="module")
def site(host_for_module, django_venv):
    """No daemon runs: none is needed."""
    return deploy_tiny(host_for_module, TINY, django_venv, SECRET=SECRET)


def argv(host, *words):
    return list(map(str, host.amyctl_argv("run", TINY, *words)))


def run(host, *words, user=None, **options):
    defaults = {"env": clean_environment(**sanitizer_options()), "cwd": "/", "text": True,
                "stdin": subprocess.DEVNULL, "capture_output": True, "check": False, "timeout": 60}
    return subprocess.run(as_user(user, argv(host, *words)), **(defaults | options))


def python(host, code, **options):
    return run(host, "--", "python", "-c", code, **options)


def test_it_is_what_a_worker_is(host_for_module, site):
    environment = clean_environment(TERM="xterm", MINE="mine", PYTHONPATH="/tmp",
                                    **sanitizer_options())
    done = python(host_for_module, REPORT, env=environment)
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    user = site.user
    assert report["uids"] == [user.uid] * 3 and report["gids"] == [user.gid] * 3
    assert report["nnp"] == "1"
    if users.is_root():
        assert report["groups"] == os.getgrouplist(user.name, user.gid)
        assert set(report["caps"]) == {"0000000000000000"}
    assert report["cwd"] == str(site.repo.resolve())
    assert report["python"] == str(site.venv.resolve())
    assert report["fds"] == ["0", "1", "2", "3"]  # 3: the list itself
    assert report["session"] == os.getsid(0)
    assert report["umask"] == 0o022
    assert report["env"]["SECRET"] == SECRET
    assert report["env"]["AMY_SITE"] == TINY
    assert report["env"]["TERM"] == "xterm"
    assert "MINE" not in report["env"] and "PYTHONPATH" not in report["env"]


def test_no_secret_is_in_a_command_line(host_for_module, site):
    with subprocess.Popen(argv(host_for_module, "--", "sleep", "60"),
                          env=clean_environment(**sanitizer_options())) as child:
        try:
            name = f"/proc/{child.pid}/cmdline"
            line = wait_for(lambda: (text := open(name, "rb").read()).startswith(b"sleep") and text,
                            30, "it became the command")
            assert line == b"sleep\0" b"60\0"
            assert status_of_process(child.pid)["Uid"].split()[0] == str(site.user.uid)
        finally:
            child.send_signal(signal.SIGTERM)
    # The command itself had the signal: no shell or other process is between.
    assert child.returncode == -signal.SIGTERM


@pytest.mark.parametrize("words, code", [
    (("--", "true"), 0),
    (("true",), 0),
    (("--", "python", "-c", "raise SystemExit(7)"), 7),
    (("--", "sh", "-c", "kill -KILL $$"), -9),
    (("--", "no-such-command"), 127),
    (("--", "/etc/passwd"), 126),
    (("--", "./tiny.py"), 126),
    (("--bad", "true"), 2),
])
def test_the_exit_status_is_the_commands(host_for_module, site, words, code):
    assert run(host_for_module, *words).returncode == code


def test_a_shell_sees_128_and_the_signal(host_for_module, site):
    script = " ".join(argv(host_for_module, "--", "sh", "-c", "'kill -TERM $$'")) + "; echo $?"
    done = subprocess.run(["sh", "-c", script], env=clean_environment(**sanitizer_options()),
                          capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "143\n"


def test_what_cannot_be_entered_is_125(host_for_module, site, new_host):
    other = new_host()
    done = run(other, "--", "true")
    assert done.returncode == 125 and f"there is no site '{TINY}'" in done.stderr
    broken = other.site(TINY)
    broken.write_yaml("site: tiny.localhost\nuser: 7\n")
    done = run(other, "--", "true")
    assert done.returncode == 125 and "site.yaml:2:7: user:" in done.stderr
    broken.write_yaml(f"site: tiny.localhost\nuser: {other.user.name}\n")
    done = run(other, "--", "true")
    assert done.returncode == 125 and "'repo' is missing" in done.stderr


def test_cron_with_nothing_open(host_for_module, site):
    """No terminal, no environment, no descriptor at all."""
    code = "import os; open('/dev/full' if os.read(0, 1) else '/dev/null', 'w').write('x')"
    words = argv(host_for_module, "--", "python", "-c", code)
    done = subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *words],
                          env=sanitizer_options(), cwd="/", check=False, timeout=60)
    assert done.returncode == 0


def test_input_and_output_pass(host_for_module, site):
    done = run(host_for_module, "--", "sh", "-c", "cat; echo to-stderr >&2",
               input="a\nb\n", stdin=None)
    assert (done.returncode, done.stdout, done.stderr) == (0, "a\nb\n", "to-stderr\n")
    size = 30_000_000
    done = run(host_for_module, "--", "head", "-c", str(size), "/dev/zero", text=False)
    assert done.returncode == 0 and len(done.stdout) == size
    script = " ".join(argv(host_for_module, "--", "yes")) + " | head -n 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", script], capture_output=True, text=True,
                          env=clean_environment(**sanitizer_options()), check=False, timeout=60)
    assert (done.returncode, done.stdout) == (128 + signal.SIGPIPE, "y\n")


def test_without_a_command_it_is_a_shell(host_for_module, site):
    done = run(host_for_module, input="echo $AMY_SITE $FLAG; cd /; exit 5\n", stdin=None)
    assert (done.returncode, done.stdout) == (5, f"{TINY}\n"), done


def test_django_finds_its_settings(new_host, django_venv):
    host = new_host()
    site = host.site("demo.localhost")
    site.copy_application()
    venv.build_over(site.venv.resolve(), django_venv)
    site.write_postactivate({"DJANGO_SECRET_KEY": "x" * 60, "DJANGO_ALLOWED_HOSTS": site.domain,
                             "DATABASE_URL": "postgresql:///none",
                             "AMY_REDIS_URL": "unix:///nonexistent",
                             "DJANGO_STATIC_ROOT": str(site.static),
                             "DJANGO_MEDIA_ROOT": str(site.private)})
    site.write_yaml(site.sample_yaml())
    done = host.amyctl("run", "demo.localhost", "--", "python", "manage.py", "check")
    assert "no issues" in done.stdout + done.stderr


# ---- by whom


@pytest.mark.root
def test_only_root_and_the_sites_user_may(host_for_module, site):
    people = everybody()
    words = argv(host_for_module, "--", "id", "-un")
    for name in ("root", "owner"):
        done = people[name].run(words)
        assert (done.returncode, done.stdout) == (0, f"{site.user.name}\n"), done
    for name in ("operator", "neighbour", "amy", "stranger"):
        done = people[name].run(words)
        assert done.returncode == 125 and "only root can become another user (try sudo)" in done.stderr
        assert f"site '{TINY}' runs as '{site.user.name}'" in done.stderr


@pytest.mark.root
def test_the_sites_user_has_nothing_of_roots(host_for_module, site):
    """A group of the caller, and a descriptor that it forgot to close."""
    secret = host_for_module.root / "secret"
    secret.write_text("root's")
    secret.chmod(0o600)
    with open(secret) as file:
        done = subprocess.run(
            ["setpriv", "--groups=0,4242", *argv(host_for_module, "--", "python", "-c", REPORT)],
            env=clean_environment(**sanitizer_options()), pass_fds=[file.fileno()],
            capture_output=True, text=True, check=True, timeout=60)
    report = json.loads(done.stdout)
    assert 4242 not in report["groups"] and 0 not in report["groups"]
    assert report["fds"] == ["0", "1", "2", "3"]


# ---- on a terminal


class Terminal:
    """A program with a terminal of its own."""

    def __init__(self, words):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(words[0], words, clean_environment(TERM="xterm", **sanitizer_options()))
        self.said = b""

    def read_until(self, text, timeout_s=30):
        """What came before it; the next call goes on behind it."""
        end = time.monotonic() + timeout_s
        while text not in self.said:
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], self.said
            self.said += os.read(self.fd, 4096)
        before, _, self.said = self.said.partition(text)
        return before

    def type(self, text):
        os.write(self.fd, text)

    def end(self):
        """Read on until nobody has the terminal any more."""
        try:
            while os.read(self.fd, 4096):
                pass
        except OSError as error:
            assert error.errno == errno.EIO, error
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def test_ctrl_c_reaches_the_command(host_for_module, site):
    code = ("import time\ntry:\n    print('ready'); time.sleep(60)\n"
            "except KeyboardInterrupt:\n    print('interrupted'); raise SystemExit(3)")
    terminal = Terminal(argv(host_for_module, "--", "python", "-c", code))
    terminal.read_until(b"ready")
    terminal.type(b"\x03")
    terminal.read_until(b"interrupted")
    assert terminal.end() == 3


def test_a_shell_on_a_terminal_has_job_control(host_for_module, site):
    terminal = Terminal(argv(host_for_module))
    prompt = f"({TINY}) ".encode()
    terminal.read_until(prompt)
    terminal.type(b"tty; python -c 'import sys; print(sys.prefix)'\r")
    assert b"/dev/pts/" in terminal.read_until(f"{site.venv.resolve()}\r\n".encode())
    terminal.read_until(prompt)
    terminal.type(b"sleep 60\r")
    wait_for(lambda: foreground_is(terminal.fd, b"sleep"), 30, "sleep has the terminal")
    terminal.type(b"\x1a")
    terminal.read_until(b"Stopped")
    terminal.read_until(prompt)
    terminal.type(b"fg\r")
    wait_for(lambda: foreground_is(terminal.fd, b"sleep"), 30, "sleep has it again")
    terminal.type(b"\x03")
    terminal.read_until(prompt)
    terminal.type(b"exit 4\r")
    assert terminal.end() == 4


def foreground_is(fd, name):
    try:
        with open(f"/proc/{os.tcgetpgrp(fd)}/cmdline", "rb") as file:
            return file.read().startswith(name)
    except OSError:
        return False


PUSH = """
import errno, fcntl, termios
try:
    fcntl.ioctl(0, termios.TIOCSTI, b'x'); print('pushed 0')
except OSError as error:
    print('pushed', error.errno)
"""


@pytest.mark.root
def test_it_cannot_type_into_roots_terminal(host_for_module, site):
    """Where the kernel lets it at all (dev.tty.legacy_tiocsti); root's shell would read that."""
    plain = Terminal(as_user(site.user, ["python3", "-c", PUSH]))
    plain.read_until(b"pushed ")
    assert int(plain.read_until(b"\r\n")) in {0, errno.EIO}
    plain.end()
    guarded = Terminal(argv(host_for_module, "--", "python", "-c", PUSH))
    guarded.read_until(b"pushed ")
    assert int(guarded.read_until(b"\r\n")) == errno.EPERM
    guarded.end()
