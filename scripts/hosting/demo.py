"""scripts/demo once everything is installed and built: lays the demo out, starts
it, and stops it in the reverse order."""

import argparse
import signal
import sys
import threading
from pathlib import Path

from hosting import browser, users, walk
from hosting.host import START_S, Host, binaries
from hosting.services import Postgres, Redis
from hosting.site import TOP, make_directory
from hosting.wait import wait_for

DOMAIN = "demo.localhost"
ELSEWHERE = Path("/srv/amy-demo")


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--webapps", type=Path, help="the webapps root [.demo/webapps]")
    parser.add_argument("--https", type=int, default=8443, help="HTTPS port [8443]")
    parser.add_argument("--http", type=int, default=8080, help="HTTP port [8080]")
    parser.add_argument("--check", action="store_true",
                        help="take the walk without a person; exit 0 or 1")
    return parser.parse_args()


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
    make_directory(root)
    return root


class Demo:
    """All processes of the demo, in the order in which they are started."""

    def __init__(self, options):
        if users.is_root():
            users.create_missing()
        user = users.site_user()
        self.root = choose_root(user)
        if options.webapps:
            options.webapps.mkdir(parents=True, exist_ok=True)
        webapps = options.webapps.resolve() if options.webapps else None
        self.host = Host(self.root, webapps, options.https, options.http)
        self.site = self.host.site(DOMAIN)
        services = self.root / "services"
        make_directory(services, 0o700, user)
        self.postgres = Postgres(services, user)
        self.redis = Redis(services, user)

    def start(self):
        say("==> starting PostgreSQL and Redis for the site")
        self.postgres.start()
        self.redis.start()
        say("==> deploying the Django site (the first time takes a minute)")
        self.site.deploy_django(self.postgres.url, self.redis.url)
        self.site.write_yaml(self.site.sample_yaml())
        say("==> starting amy-workers and amy-front")
        self.host.start_workers(ready=False)
        self.host.start_front()
        wait_for(self.host.workers_are_ready, START_S, "all workers are ready")

    def stop(self):
        for stop in (self.host.stop, self.redis.stop, self.postgres.stop):
            try:
                stop()
            except AssertionError as error:
                say(f"warning: {error}")

    def stage(self):
        return walk.Stage(self.host, self.site, self.postgres, self.redis)

    def introduce(self):
        amyctl = " ".join(map(str, [binaries() / "amyctl", "--run", self.host.run]))
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

The site's directory, which is its whole configuration:
    {self.site.directory}

Ctrl-C stops all of it.""")


def main():
    options = arguments()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    demo = Demo(options)
    try:
        demo.start()
        if options.check:
            if not browser.is_available():
                say("==> no Chromium here: the walk goes without a browser")
            failed = walk.walk(demo.stage(), say)
            say(f"==> {len(walk.STEPS) - failed} of {len(walk.STEPS)} steps of the walk passed")
            return 1 if failed else 0
        demo.introduce()
        while not stop.wait(1):
            for child in (demo.host.front, demo.host.workers):
                if child.code is not None:
                    say(f"{child.name} ended with {child.code}:\n{child.output()[-2000:]}")
                    return 1
        say("\n==> stopping")
        return 0
    except (AssertionError, RuntimeError, OSError) as error:
        say(f"error: {error}")
        return 1
    finally:
        demo.stop()


if __name__ == "__main__":
    sys.exit(main())
