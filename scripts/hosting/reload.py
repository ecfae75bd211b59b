"""`amyctl reload` from outside: how it ends, when the first answer of a new
release comes, and what visitors lose meanwhile."""

import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field

from hosting.host import sanitizer_options
from hosting.load import PlainLoad, Report
from hosting.process import Child
from hosting.rawhttp import Connection
from hosting.site import ACTIVATED
from hosting.users import as_user, clean_environment
from hosting.wait import wait_for

PATIENCE_S = 150


class Reload:
    """A running `amyctl reload SITE`."""

    def __init__(self, host, domain, user=None):
        self.host, self.domain = host, domain
        self.began = time.monotonic()
        self.code = self.out = self.err = self.took_s = None
        self.process = subprocess.Popen(
            as_user(user, host.amyctl_argv("reload", domain)), cwd="/",
            env=clean_environment(**sanitizer_options()), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )

    def wait(self, patience_s=PATIENCE_S):
        """Its end: `code`, `out`, `err`, `took_s`."""
        try:
            self.out, self.err = self.process.communicate(timeout=patience_s)
        finally:
            self.process.kill()  # of no effect on one that has ended
        self.code = self.process.returncode
        self.took_s = time.monotonic() - self.began
        return self

    def first_answer_of(self, release, path="/", patience_s=PATIENCE_S):
        """Seconds from the command to the first answer of that release."""
        def answered():
            if self.process.poll() not in (None, 0):
                raise AssertionError(f"{self}: no answer of {release}")
            answer = self.host.get(self.domain, path, tls=False)
            return answer.get("x-release") == str(release)

        wait_for(answered, patience_s, f"an answer of release {release}")
        return time.monotonic() - self.began

    def __str__(self):
        if self.code is None and self.process.poll() is not None:
            self.wait()
        return f"reload {self.domain}: exit {self.code}, {self.took_s} s\n{self.out}{self.err}"


@dataclass
class Measured:
    """Several reloads under one load."""

    report: Report
    first_s: list = field(default_factory=list)  # until the first new answer
    whole_s: list = field(default_factory=list)  # until the command ended


def good_reloads(host, releases, times=10, paths=("/",), connections=8, rate=None):
    """Good releases on end, each reloaded under load, which is never retried."""
    domain = releases.site.domain
    measured = Measured(Report())
    with PlainLoad(host, domain, list(paths), connections, rate=rate) as load:
        for _ in range(times):
            release = releases.deploy()
            reload = Reload(host, domain)
            measured.first_s.append(reload.first_answer_of(release, paths[0]))
            if reload.wait().code != 0:
                raise AssertionError(str(reload))
            measured.whole_s.append(reload.took_s)
        measured.report = load.stop()
    return measured


def own_start_s(site, application, path="/", patience_s=60):
    """Seconds that a worker of this site takes by itself from exec to its first
    answer: what no host can do anything about."""
    address = site.logs / ".own-start.sock"
    address.unlink(missing_ok=True)
    began = time.monotonic()
    argv = ["bash", "-c", ACTIVATED, site.repo.resolve(),
            "gunicorn", "--workers=1", f"--bind=unix:{address}", application]
    log = site.directory.parent.parent / f"{site.domain}.own-start.log"
    child = Child("gunicorn", argv, log, site.user)

    def answers():
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(patience_s)
            raw.connect(str(address))
            connection = Connection(raw)
            connection.request("GET", path, {"Host": site.domain})
            return connection.read_response().status

    try:
        wait_for(answers, patience_s, "a worker by itself answers")
        return time.monotonic() - began
    finally:
        child.stop(number=signal.SIGTERM)
        address.unlink(missing_ok=True)
