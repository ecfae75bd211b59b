"""amyctl logs: real daemons write, rotation is done by hand, old files are packed
by the real gzip and zstd; tracebacks of several workers stay whole."""

import json
import os
import pty
import re
import signal
import subprocess
import time

import pytest
from hosting import users
from hosting.process import Child
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import TINY, TINY_YAML, deploy_tiny

SOON_S = 60
RAISER = """\
import sys, time
def deep(n):
    if n:
        deep(n - 1)
    raise ValueError("x")
while True:
    try:
        deep(20)
    except ValueError:
        sys.excepthook(*sys.exc_info())
    time.sleep(0.003)
"""
RAISE_YAML = TINY_YAML.replace("gate:", """\
  - {{name: raise, command: [python, raiser.py], count: 3, replace: stop-first}}
logs: {{compress: none}}    # the tests pack what they rotate
gate:""")


@pytest.fixture(scope="module")
def served(host_for_module, django_venv):
    host = host_for_module
    host.tiny = deploy_tiny(host, TINY, django_venv, RAISE_YAML)
    (host.tiny.repo / "raiser.py").write_text(RAISER)
    host.start_workers()
    host.start_front()
    return host


def logs(host, *options, **more):
    return host.amyctl("logs", TINY, *options, **more).stdout.splitlines()


def visit(host, *paths):
    """These requests, and their lines are written."""
    for path in paths:
        host.get(TINY, path, tls=False)
    wait_for(lambda: set(paths) <= set(targets(logs(host, "--component", "access"))), SOON_S,
             f"the lines of {paths}")


def targets(lines):
    return re.findall(r'"GET (\S+) HTTP', "\n".join(lines))


def reopen(host):
    os.kill(host.front.pid, signal.SIGUSR1)
    os.kill(host.workers.pid, signal.SIGUSR1)


def rotate(host, name):
    """Rename it as the rotator would, then tell."""
    logs_dir = host.tiny.logs
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    taken = len(list(logs_dir.glob(f"{name}-{stamp}*")))
    old = logs_dir / f"{name}-{stamp}{f'-{taken + 1}' if taken else ''}"
    (logs_dir / name).rename(old)
    reopen(host)
    wait_for((logs_dir / name).exists, SOON_S, f"another {name}")
    return old


def test_packed_old_and_current_files_are_one_stream(served):
    for number, packer in enumerate((["gzip"], ["zstd", "-q", "--rm"], None), 1):
        visit(served, *(f"/?r={number}{i}" for i in range(5)))
        old = rotate(served, "access.log")
        if packer:
            subprocess.run([*packer, old], check=True)
    visit(served, "/?r=40")
    want = [f"/?r={number}{i}" for number in (1, 2, 3) for i in range(5)] + ["/?r=40"]
    got = targets(logs(served, "--component", "access"))
    assert sorted(got) == want
    # Front processes write once a second each: in between the order is theirs.
    assert [target[4] for target in got] == [target[4] for target in want]
    assert targets(logs(served, "--component", "access", "-n", "7")) == got[-7:]
    assert targets(logs(served, "--grep", r"r=[23]1 ")) == ["/?r=21", "/?r=31"]


def test_json_has_the_fields(served):
    visit(served, "/status?c=418")
    line, = (json.loads(line) for line in logs(served, "--json", "--grep", "c=418"))
    assert line["component"] == "access" and line["method"] == "GET"
    assert line["status"] == 418 and line["target"] == "/status?c=418"
    assert line["client"] == "127.0.0.1" and line["worker"].startswith("web/")
    assert line["bytes"] > 0 and line["duration"] >= 0 and line["request_id"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    worker = json.loads(logs(served, "--json", "--component", "workers", "-n", "1")[0])
    assert worker["pool"] == "raise" and worker["pid"] > 1 and 0 <= worker["position"] < 3


def test_terminal_is_sent_no_control_characters(served):
    """Neither C0 nor C1, in UTF-8 or as single bytes; other characters stay."""
    log = served.tiny.logs / "deploy.log"
    log.write_bytes(b"2026-11-26T12:00:00Z \x1b[1m \xc2\x9b2m \x9b3m \xe0\x80\x9b \xc3\xa9\xe2\x82\xac.\n")
    ours, theirs = pty.openpty()
    try:
        subprocess.run(served.amyctl_argv("logs", TINY, "--component", "deploy"), stdout=theirs,
                       env=clean_environment(NO_COLOR="1", TERM="xterm"), check=True, timeout=SOON_S)
        shown = os.read(ours, 4096)
        assert b" ?[1m ??2m ?3m ??? \xc3\xa9\xe2\x82\xac.\r\n" in shown, shown
        (line,) = logs(served, "--component", "deploy", "--json")
        assert r"\u001b[1m \u009b2m" in line
    finally:
        os.close(theirs)
        os.close(ours)
        log.unlink()


def test_since_and_until_choose(served):
    visit(served, "/?now=1")
    assert "/?now=1" in targets(logs(served, "--since", "1h"))
    assert logs(served, "--until", "2001-01-01") == []
    assert logs(served, "--since", "2099-01-01T00:00:00Z") == []


@pytest.mark.parametrize("options, why", [
    (["--since", "tomorrow"], "--since 'tomorrow'"), (["--grep", "a("], "Unmatched"),
    (["--component", "mail"], "access, error"), (["-n", "0"], "from 1 on")])
def test_bad_options_are_named(served, options, why):
    done = served.amyctl("logs", TINY, *options, check=False)
    assert done.returncode == 2 and why in done.stderr, done.stderr
    assert done.stdout == ""


def test_unknown_site_is_told(served):
    done = served.amyctl("logs", "nowhere.example", check=False)
    assert done.returncode == 1 and "there is no site 'nowhere.example'" in done.stderr


@pytest.mark.root
def test_stranger_may_not_read_and_no_link_is_followed(served):
    secret = served.root / "secret"
    secret.write_text("2026-11-26T12:00:00Z secret\n")
    secret.chmod(0o600)
    link = served.tiny.logs / "deploy.log"
    link.symlink_to(secret)
    try:
        done = served.amyctl("logs", TINY, "-n", "5")
        assert "secret" not in done.stdout and "deploy.log" in done.stderr
        link.unlink()
        os.link(secret, link)  # a hard link: opened as the site's user, who may not
        done = served.amyctl("logs", TINY, "-n", "5")
        assert "secret" not in done.stdout and "deploy.log" in done.stderr
    finally:
        link.unlink()
    served.tiny.logs.chmod(0o700)
    try:
        done = served.amyctl("logs", TINY, user=users.User.named("nobody"), check=False)
        assert done.returncode == 1 or done.stdout == "", done.stdout
        assert "ermi" in done.stderr, done.stderr
    finally:
        served.tiny.logs.chmod(0o755)


def test_following_goes_over_rotations(served):
    argv = [*served.amyctl_argv("logs", TINY, "-f", "--component", "access", "--since", "1h")]
    follow = Child("amyctl", argv, served.root / "follow.log", env=clean_environment())
    try:
        for number in range(3):
            visit(served, *(f"/?f={number}{i}" for i in range(10)))
            rotate(served, "access.log")
        visit(served, "/?f=end")
        wait_for(lambda: "/?f=end" in follow.output(), SOON_S, "the last line")
        got = [target for target in targets([follow.output()]) if target.startswith("/?f=")]
        assert sorted(got) == [f"/?f={n}{i}" for n in range(3) for i in range(10)] + ["/?f=end"]
        assert [target[4] for target in got] == [*("0" * 10), *("1" * 10), *("2" * 10), "e"]
    finally:
        follow.send(signal.SIGINT)
    assert follow.wait(SOON_S) == -signal.SIGINT
    assert "rror" not in follow.output()


def test_reader_that_leaves_ends_it_quietly(served):
    argv = " ".join(str(word) for word in served.amyctl_argv("logs", TINY))
    done = subprocess.run(["bash", "-c", f"{argv} | head -n 1"], capture_output=True, text=True,
                          env=clean_environment(), check=False, timeout=SOON_S)
    assert done.stdout.count("\n") == 1 and done.stderr == ""


def test_tracebacks_of_three_workers_stay_whole(served):
    def enough():
        text = logs(served, "--component", "workers", "--json")
        return sum("Traceback" in line for line in text) > 100 and text

    lines = [json.loads(line) for line in wait_for(enough, SOON_S, "a hundred tracebacks")]
    lines = [line for line in lines if line.get("pool") == "raise"]
    assert len({line["position"] for line in lines}) == 3
    begins = [i for i, line in enumerate(lines) if line["message"].startswith("Traceback")]
    for begin, end in zip(begins, begins[1:]):
        piece = lines[begin:end]
        assert len({line["pid"] for line in piece}) == 1, piece
        assert piece[-1]["message"] == "ValueError: x", piece
