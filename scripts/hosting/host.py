"""amy-front, amy-workers and amyctl over one root directory of their own, so
that a demo and parallel tests share nothing."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

from hosting.certificates import Authority
from hosting.process import Child
from hosting.rawhttp import Connection, client_context
from hosting.services import free_port
from hosting.site import TOP, Site, make_directory
from hosting.users import as_user, clean_environment, front_user, site_user
from hosting.wait import wait_for

START_S = 60


def binaries():
    """Where the daemons were built; AMY_BIN chooses another build."""
    return Path(os.environ.get("AMY_BIN") or TOP / "build/release/daemons")


class Host:
    """One root with webapps, run, state, certificates and logs below it."""

    def __init__(self, root, webapps=None, https=None, http=None, processes=2):
        self.root = Path(root)
        self.webapps = Path(webapps) if webapps else self.root / "webapps"
        self.run = self.root / "run"
        self.state = self.root / "state"
        self.certificates = self.root / "certificates"
        self.settings = self.root / "amy.yaml"
        self.https = https or free_port()
        self.http = http or free_port()
        self.processes = processes
        self.user = site_user()
        self.sites = {}
        self.front = None
        self.workers = None
        self.backup = None
        for directory in (self.root, self.webapps, self.run, self.state, self.certificates):
            directory.mkdir(parents=True, exist_ok=True)
            make_directory(directory)
        self.authority = Authority(self.root)
        self.write_settings()

    def write_settings(self, logs="files", **front):
        """amy.yaml is YAML, and JSON is YAML too."""
        front = {
            "https": [f"127.0.0.1:{self.https}"],
            "http": [f"127.0.0.1:{self.http}"],
            "processes": self.processes,
            "user": front_user().name,
            **front,
        }
        settings = {"certificates": str(self.certificates), "logs": logs, "front": front}
        self.settings.write_text(json.dumps(settings, indent=2) + "\n")

    # ---- sites

    def site(self, domain, names=None):
        """Its directory and a certificate for it."""
        site = Site(self.webapps, domain, self.user)
        site.make()
        if not (self.certificates / domain / "fullchain.pem").exists():
            self.authority.issue(self.certificates / domain, names or [domain])
        self.sites[domain] = site
        return site

    # ---- daemons

    def options(self):
        return ["--config", self.settings, "--webapps", self.webapps,
                "--run", self.run, "--state", self.state]

    def daemon(self, name, *arguments, **variables):
        return Child(name, [binaries() / name, *self.options(), *arguments], self.root / f"{name}.log",
                     env=clean_environment(**sanitizer_options(), **variables))

    def start_front(self, ready=True):
        self.front = self.daemon("amy-front")
        if ready:
            wait_for(self.front_is_ready, START_S, "amy-front answers")
        return self.front

    def start_workers(self, ready=True):
        self.workers = self.daemon("amy-workers")
        if ready:
            wait_for(self.workers_are_ready, START_S, "all workers are ready")
        return self.workers

    def start_backup(self, ready=True, **variables):
        self.backup = self.daemon("amy-backup", **variables)
        if ready:
            wait_for(self.backup_is_ready, START_S, "amy-backup knows all sites")
        return self.backup

    def backup_is_ready(self):
        """It has looked at the backups of every site that has a database."""
        still_runs(self.backup)
        report = self.daemon_status("backup")
        return report and all(
            site.get("backup", {}).get("known", True) for site in report["sites"]
        )

    def front_is_ready(self):
        still_runs(self.front)
        report = self.daemon_status("front")
        return report and all(
            process["state"] == "ready" for process in report["processes"]
        )

    def workers_are_ready(self, child=None):
        """Every site was taken up, or refused with a problem; all workers work."""
        still_runs(child or self.workers)
        report = self.daemon_status("workers")
        if not report:
            return False
        known = {site["site"]: site for site in report["sites"]}
        return all(
            domain in known and (known[domain].get("pools") or known[domain].get("problems"))
            for domain in self.sites
        ) and all(
            worker["state"] == "ready"
            for site in report["sites"] for pool in site.get("pools", [])
            for worker in pool["workers"]
        )

    def stop(self):
        """Front first: what it passed on may finish."""
        failure = None
        for child in (self.front, self.workers, self.backup):
            if child is not None:
                try:
                    child.stop(number=signal.SIGTERM)
                except AssertionError as error:
                    failure = error
        self.front = self.workers = self.backup = None
        if failure:
            raise failure

    def reread(self):
        """amy-front reads site.yaml again."""
        self.front.send(signal.SIGHUP)

    def kill(self, pid):
        """A process that one of the daemons has told of."""
        os.kill(pid, signal.SIGKILL)

    # ---- amyctl and the control sockets

    def amyctl_argv(self, *arguments):
        return [binaries() / "amyctl", *self.options(), *arguments]

    def amyctl(self, *arguments, user=None, check=True):
        done = subprocess.run(
            as_user(user, self.amyctl_argv(*arguments)), env=clean_environment(**sanitizer_options()), cwd="/",
            stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"amyctl {' '.join(map(str, arguments))}: exit {done.returncode}\n"
                f"{done.stdout}{done.stderr}"
            )
        return done

    def status(self, user=None):
        """What `amyctl status --json` prints."""
        return json.loads(self.amyctl("status", "--json", user=user).stdout)

    def control(self, daemon, method, path, body=None):
        """A request over a control socket: (status, JSON or None)."""
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(10)
            connect_unix(raw, self.run / f"{daemon}.sock")
            connection = Connection(raw)
            payload = b"" if body is None else json.dumps(body).encode()
            connection.request(method, path, {"Host": "control", "Content-Type": "application/json"},
                               payload)
            answer = connection.read_response(method)
        return answer.status, json.loads(answer.body) if answer.body else None

    def daemon_status(self, daemon):
        """GET /v1/status of one daemon, or None while it has no socket."""
        try:
            status, report = self.control(daemon, "GET", "/v1/status")
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        return report if status == 200 else None

    # ---- visitors

    def connect(self, domain=None, tls=True, timeout_s=60, context=None):
        """A client's connection; `domain` is the name asked for in the handshake."""
        raw = socket.create_connection(
            ("127.0.0.1", self.https if tls else self.http), timeout=timeout_s
        )
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            context = context or client_context(self.authority.certificate)
            raw = context.wrap_socket(raw, server_hostname=domain)
        return Connection(raw)

    def get(self, domain, path="/", method="GET", headers=None, body=b"", tls=True):
        """One request on a connection of its own."""
        with self.connect(domain, tls) as connection:
            port = self.https if tls else self.http
            fields = {"Host": f"{domain}:{port}", "Connection": "close", **(headers or {})}
            connection.request(method, path, fields, body)
            return connection.read_response(method)

    def url(self, domain, path="/"):
        return f"https://{domain}:{self.https}{path}"


def still_runs(child):
    if child.code is not None:
        raise AssertionError(f"{child.name} ended with {child.code}:\n{child.output()[-4000:]}")


def connect_unix(raw, path):
    """Through the directory's descriptor: the path may be longer than 107 bytes."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        raw.connect(f"/proc/self/fd/{directory}/{path.name}")
    finally:
        os.close(directory)


def sanitizer_options():
    """Handed on to a build with sanitizers; nothing to any other."""
    names = ("ASAN_OPTIONS", "UBSAN_OPTIONS", "LSAN_OPTIONS")
    return {name: os.environ[name] for name in names if name in os.environ}
