"""scripts/demo once everything is installed and built: lays the demo out, starts
it, and stops it in the reverse order."""

import argparse
import errno
import fcntl
import os
import shlex
import signal
import socket
import sys
import time
from pathlib import Path

from hosting import browser, users, walk, wheel
from hosting.host import START_S, Host, binaries, connect_unix
from hosting.services import Postgres, Redis
from hosting.site import TOP, make_directory
from hosting.wait import wait_for

DOMAIN = "demo.localhost"
ELSEWHERE = Path("/srv/amy-demo")
LEFT_S = 60  # as long as what a killed demo started may take to end


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--webapps", type=Path, help="the webapps root [.demo/webapps]")
    parser.add_argument("--https", type=port, default=8443, help="HTTPS port [8443]")
    parser.add_argument("--http", type=port, default=8080, help="HTTP port [8080]")
    parser.add_argument("--check", action="store_true",
                        help="take the walk without a person; exit 0 or 1")
    options = parser.parse_args()
    if options.https == options.http:
        parser.error("--https and --http need a port each")
    return options


def port(text):
    number = int(text)
    if not 0 < number < 65536:
        raise argparse.ArgumentTypeError(f"{text} is no port: 1 to 65535")
    return number


def say(text):
    print(text, flush=True)


def choose_root(user):
    """.demo in the checkout, unless the site's user could not get there."""
    root = TOP / ".demo"
    if users.is_root() and not users.can_traverse(user, TOP):
        say(f"==> {TOP} cannot be entered by the user {user.name}, who runs the site:\n"
            f"    the demo is laid out in {ELSEWHERE} instead")
        root = ELSEWHERE
    root.mkdir(exist_ok=True, parents=True)
    if root.stat().st_uid != os.geteuid():
        raise RuntimeError(f"{root} was laid out by {root.owner()}: go on as {root.owner()},\n"
                           f"    or start anew with sudo rm -r {root}")
    make_directory(root)
    return root


def make_webapps(path):
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RuntimeError(f"--webapps {path} cannot be made: {error.strerror}; choose another\n"
                           f"    directory, in which {users.ourselves().name} may write") from None


def keep_for_ourselves(root):
    """One demo at a time: two would take each other's sockets. Returns the lock,
    which is held until we end, however that comes."""
    lock = open(root / "lock", "a+", encoding="ascii")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        pid = lock.read().strip()
        raise RuntimeError(f"a demo runs in {root} already: stop it with Ctrl-C where it was\n"
                           f"    started, or with kill {pid}") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def wait_for_leftovers(sockets):
    """What a killed demo had started ends by itself, a moment later."""
    def answers(path):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                connect_unix(probe, path)
            except OSError:
                return False
            return True

    if any(map(answers, sockets)):
        say("==> waiting for what an earlier demo left behind")
        wait_for(lambda: not any(map(answers, sockets)), LEFT_S,
                 "nobody answers at " + ", ".join(map(str, sockets)))


def expect_free(option, number):
    """The port can be listened on, or else says what to do."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", number))
        except OSError as error:
            why = {errno.EADDRINUSE: "is in use by another program",
                   errno.EACCES: "is for root only"}.get(error.errno, error.strerror)
            raise RuntimeError(f"port {number} of 127.0.0.1 {why};\n"
                               f"    choose another: scripts/demo {option} PORT") from None


class Demo:
    """All processes of the demo, in the order in which they are started."""

    def __init__(self, options):
        if users.is_root():
            users.create_missing()
        user = users.site_user()
        self.root = choose_root(user)
        self.lock = keep_for_ourselves(self.root)
        services = self.root / "services"
        wait_for_leftovers([
            self.root / "run/front.sock", self.root / "run/workers.sock",
            services / ".s.PGSQL.5432", services / "redis.sock",
        ])
        expect_free("--https", options.https)
        expect_free("--http", options.http)
        if options.webapps:
            make_webapps(options.webapps)
        webapps = options.webapps.resolve() if options.webapps else None
        self.host = Host(self.root, webapps, options.https, options.http)
        self.site = self.host.site(DOMAIN)
        make_directory(services, 0o700, user)
        self.postgres = Postgres(services, user)
        self.redis = Redis(services, user)

    def start(self):
        say("==> starting PostgreSQL and Redis for the site")
        self.postgres.start()
        self.redis.start()
        say("==> deploying the Django site as releases/1 (the first time takes a minute)")
        self.site.deploy_django(self.postgres.url, self.redis.url,
                                AMY_RUN_DIRECTORY=str(self.host.run))
        prefix = wheel.install_library(TOP / "build/release", self.root / "installed")
        wheel.add_to(self.site.venv.resolve(), wheel.build_wheel(prefix, self.root / "wheel"))
        self.site.write_yaml(self.site.sample_yaml())
        say("==> starting amy-workers, amy-front and amy-backup")
        self.host.start_workers(ready=False)
        self.host.start_front()
        self.host.start_backup(ready=False)
        wait_for(self.host.workers_are_ready, START_S, "all workers are ready")

    def stop(self):
        for stop in (self.host.stop, self.redis.stop, self.postgres.stop):
            try:
                stop()
            except AssertionError as error:
                say(f"warning: {error}")

    def stage(self):
        return walk.Stage(self.host, self.site, self.postgres, self.redis)

    def write_amyctl(self):
        """A command for a person: amyctl that finds this demo's sockets."""
        command = self.root / "amyctl"
        words = shlex.join(map(str, [binaries() / "amyctl", "--run", self.host.run]))
        command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        command.chmod(0o755)
        return command

    def introduce(self):
        amyctl = self.write_amyctl()
        who = (f"front processes run as {users.FRONT_USER}, the site's workers as "
               f"{self.site.user.name}" if users.is_root()
               else f"everything runs as {self.site.user.name}")
        say(f"""
    {self.host.url(DOMAIN)}

    ({who}; the certificate is signed by {self.host.authority.certificate},
    which your browser does not know: go on past its warning, or
    curl --cacert {self.host.authority.certificate} {self.host.url(DOMAIN)})

Try, in another terminal:

    {amyctl} status
    {amyctl} maintenance on {DOMAIN}
    {amyctl} maintenance off {DOMAIN}
    kill -9 a worker's pid, and look at the status again
    less {self.site.logs}/access.log

In the site's own environment:

    cd {self.site.repo} && . .venv/bin/activate && . .venv/bin/postactivate
    python manage.py maintenance status

A release that does not start, and then one that does:

    cd {self.site.directory}
    cp -a releases/1 releases/2
    echo 'import no_such_module' >> releases/2/config/wsgi.py
    ln -sfn releases/2 repo
    {amyctl} reload {DOMAIN}        # refused; the site serves on
    sed -i '$d' releases/2/config/wsgi.py
    {amyctl} reload {DOMAIN}        # goes through; see the foot of a page

The site's directory, which is its whole configuration:
    {self.site.directory}

Ctrl-C stops all of it.""")


def watch(host):
    """Until a daemon has ended, which it should not."""
    while True:
        for child in (host.front, host.workers):
            if child.code is not None:
                say(f"error: {child.name} ended with {child.code}:\n{child.output()[-2000:]}")
                return
        time.sleep(1)


class Stopped(BaseException):
    """Ctrl-C, or kill: at once, whatever is under way."""


def stop_on_signals():
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(*_):
        for number in numbers:  # once is enough: stopping is not cut short
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    for number in numbers:
        signal.signal(number, stop)


def main():
    options = arguments()
    stop_on_signals()
    demo = None
    try:
        demo = Demo(options)
        demo.start()
        if options.check:
            if not browser.is_available():
                say("==> no Chromium here: the walk goes without a browser")
            failed = walk.walk(demo.stage(), say)
            say(f"==> {len(walk.STEPS) - failed} of {len(walk.STEPS)} steps of the walk passed")
            return 1 if failed else 0
        demo.introduce()
        watch(demo.host)
        return 1
    except Stopped:
        say("\n==> stopping")
        return 1 if options.check else 0
    except PermissionError as error:
        say(f"error: {users.ourselves().name} may not write {error.filename}: choose another\n"
            "    --webapps or a checkout of your own")
        return 1
    except (AssertionError, RuntimeError, OSError) as error:
        say(f"error: {error}")
        return 1
    finally:
        if demo is not None:
            demo.stop()


if __name__ == "__main__":
    sys.exit(main())
