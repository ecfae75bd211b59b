"""Releases of a site as a deployment makes them, and eight ways to break one.

    releases/1, releases/2, ...   the code; `.venv` in each leads to the environment
    venv                          the environment, which all releases share
    repo -> releases/2            which of them is meant; read at a reload only
"""

import os
import shutil
import subprocess
from pathlib import Path

from hosting import venv
from hosting.users import is_root


class Releases:
    """`module` is the file of the WSGI application, beneath a release."""

    def __init__(self, site, module="config/wsgi.py"):
        self.site = site
        self.module = module
        self.directory = site.directory / "releases"

    def begin(self):
        """Before anything is deployed: releases/1 is the site's repo, and the only
        one; what an earlier run tried is gone."""
        if self.site.repo.is_dir() and not self.site.repo.is_symlink():
            shutil.rmtree(self.site.repo)  # a deployment without releases
        first = self.path(1)
        first.mkdir(parents=True, exist_ok=True)
        for other in self.directory.iterdir():
            if other != first:
                shutil.rmtree(other)
        self.directory.chmod(0o755)
        first.chmod(0o755)
        self.switch(1)
        replace_link(first / ".venv", "../../venv")
        return self

    def path(self, number):
        return self.directory / str(number)

    @property
    def current(self):
        """The number that `repo` leads to."""
        return int(os.readlink(self.site.repo).rpartition("/")[2])

    def module_of(self, number):
        return self.path(number) / self.module

    def make(self, break_it=None, base=None):
        """The next release, a copy of the present one; returns its number.

        Nothing leads to it yet. `break_it` is one of BROKEN.
        """
        number = 1 + max(int(path.name) for path in self.directory.iterdir())
        base = self.current if base is None else base
        subprocess.run(["cp", "-a", self.path(base), self.path(number)], check=True)
        if break_it is not None:
            BROKEN[break_it](self, number)
        return number

    def switch(self, number):
        """From now on `repo` is that release: there is no moment without one."""
        replace_link(self.site.repo, f"releases/{number}")

    def deploy(self, break_it=None, base=None):
        """make() and switch()."""
        number = self.make(break_it, base)
        self.switch(number)
        return number

    def add_code(self, number, code):
        """At the end of the application's file."""
        with open(self.module_of(number), "a", encoding="utf-8") as file:
            file.write(f"\n\n{code}")

    def own_venv(self, number):
        """The release gets an environment of its own, which sees the packages of
        the shared one; its settings are returned as a file to write to."""
        target = self.path(number) / ".venv"
        shared = target.resolve()
        target.unlink()
        venv.build_over(target, shared)
        settings = target / "bin/postactivate"
        shutil.copyfile(shared / "bin/postactivate", settings)
        settings.chmod(0o640)
        if is_root():
            os.chown(settings, 0, self.site.user.gid)
        return settings


def replace_link(link, target):
    new = Path(link).with_name(f".{Path(link).name}.new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    new.rename(link)


# ---- broken in eight ways


def does_not_import(releases, number):
    releases.add_code(number, "import no_such_module\n")


def dies_after_ready(releases, number):
    """gunicorn tells READY=1 before it has imported the application."""
    (releases.path(number) / "gunicorn.conf.py").write_text("""\
import os
import sys


def when_ready(server):
    print("it dies after READY", file=sys.stderr, flush=True)
    os._exit(7)
""")


def health_is_500(releases, number):
    releases.add_code(number, """\
healthy = application


def application(environ, start_response):
    if environ["PATH_INFO"] != "/healthz":
        return healthy(environ, start_response)
    environ["wsgi.errors"].write("no such column: entry.mood\\n")
    start_response("500 Internal Server Error", [("Content-Length", "0")])
    return []
""")


def hangs_at_start(releases, number):
    releases.add_code(number, """\
import sys
import time

print("waits for a service that is not there", file=sys.stderr, flush=True)
time.sleep(3600)
""")


def crashes_at_third_request(releases, number):
    releases.add_code(number, """\
import itertools
import os
import sys

steady, requests = application, itertools.count(1)


def application(environ, start_response):
    if next(requests) == 3:
        print("the third request is one too many", file=sys.stderr, flush=True)
        os._exit(70)
    return steady(environ, start_response)
""")


def has_wrong_venv(releases, number):
    """One that was made and not filled."""
    releases.own_venv(number)
    site_packages = (releases.path(number) / ".venv").glob("lib/python3*/site-packages")
    (next(site_packages) / "shared.pth").unlink()


def fails_in_postactivate(releases, number):
    with open(releases.own_venv(number), "a", encoding="utf-8") as file:
        file.write("echo 'the vault is sealed' >&2\nfalse\n")


def lacks_a_setting(releases, number):
    """What it asks for, the environment does not have."""
    releases.add_code(number, """\
import os

BROKER = os.environ["SITE_BROKER_URL"]
""")


BROKEN = {
    "import": does_not_import,
    "ready": dies_after_ready,
    "health": health_is_500,
    "hang": hangs_at_start,
    "third": crashes_at_third_request,
    "venv": has_wrong_venv,
    "postactivate": fails_in_postactivate,
    "setting": lacks_a_setting,
}
