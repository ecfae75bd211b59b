"""What the tests of deployments share: a repository of git with the demo's site
or the quick one, and `amyctl deploy` over it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from hosting import users
from hosting.release import replace_link
from hosting.site import APPLICATION, RELEASE_LINE, make_directory
from hosting.users import User, as_user, clean_environment, is_root
from support import HERE, TINY, TINY_YAML

DEPLOY_USER = "amy-deploy"

# A release's environment in no time: one of its own that sees the packages of
# another, as venv.build_over() has it. sh, not Python, and no network.
ENVIRONMENT = """\
#!/bin/sh -e
base={base}
/usr/bin/python3 -m venv --without-pip .venv
echo "$base"/lib/python3*/site-packages > "$(echo .venv/lib/python3*/site-packages)/shared.pth"
cat "$base"/lib/python3*/site-packages/shared.pth \\
    >> "$(echo .venv/lib/python3*/site-packages)/shared.pth" 2>/dev/null || :
for name in gunicorn django-admin rq rqworker; do
    if [ -e "$base/bin/$name" ]; then
        {{ echo "#!$PWD/.venv/bin/python"; tail -n +2 "$base/bin/$name"; }} > ".venv/bin/$name"
        chmod 755 ".venv/bin/$name"
    fi
done
"""


def deploy_user():
    """Who builds releases: neither root nor the site's user."""
    if not is_root():
        return users.ourselves()
    users.create_missing(DEPLOY_USER)
    return User.named(DEPLOY_USER)


class Repository:
    """Of git, the deploying user's."""

    def __init__(self, directory, base_venv):
        self.directory = Path(directory)
        self.user = deploy_user()
        make_directory(self.directory, 0o755, self.user)
        self.git("init", "--quiet", "--initial-branch=main")
        self.write("environment.sh", ENVIRONMENT.format(base=base_venv), 0o755)

    def git(self, *words):
        done = subprocess.run(
            as_user(self.user, ["git", "-C", self.directory, "-c", "user.name=Ada", "-c",
                                "user.email=ada@example.org", *words]),
            env=clean_environment(HOME=str(self.directory)), text=True, capture_output=True, check=False,
        )
        assert done.returncode == 0, done
        return done.stdout.strip()

    def own(self):
        if is_root():
            subprocess.run(["chown", "-R", f"{self.user.uid}:{self.user.gid}", self.directory],
                           check=True)

    def write(self, name, text, mode=0o644):
        file = self.directory / name
        file.write_text(text)
        file.chmod(mode)

    def append(self, name, text):
        with open(self.directory / name, "a") as file:
            file.write(text)

    def commit(self, message="a change"):
        """Of all that is there; its hash."""
        self.own()
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")

    def undo(self):
        """The last commit: what comes next is built on the one before."""
        self.git("reset", "--quiet", "--hard", "HEAD~1")

    def add_demo(self):
        ignore = shutil.ignore_patterns("__pycache__", ".venv", "staticfiles")
        shutil.copytree(APPLICATION, self.directory, dirs_exist_ok=True, ignore=ignore)
        return self.commit("the demo")

    def add_tiny(self):
        for name in ("tiny.py", "beat.py"):
            shutil.copyfile(HERE / "apps" / name, self.directory / name)
        return self.commit("the quick one")


TINY_STEPS = "steps: [{name: environment, run: [./environment.sh]}]"
DJANGO_STEPS = ("steps: [{name: environment, run: [./environment.sh]}, {name: collectstatic}, "
                "{name: migrate}]")


def deploy_lines(repository, more="", steps=TINY_STEPS):
    """For a site.yaml."""
    return (f"deploy: {{source: {repository.directory}, user: {repository.user.name}, disk: 1MiB, "
            f"{steps}{', ' if more else ''}{more}}}\n")


def write_settings(site, variables):
    """The site's own postactivate, which every release gets."""
    file = site.directory / "postactivate"
    lines = [f"export {name}='{value}'\n" for name, value in variables.items()]
    file.write_text("".join(lines) + RELEASE_LINE + "\n")
    file.chmod(0o640)
    if is_root():
        os.chown(file, 0, site.user.gid)


class Deployments:
    """Of one site."""

    def __init__(self, host, site, repository):
        self.host, self.site, self.repository = host, site, repository

    domain = property(lambda self: self.site.domain)

    def run(self, *words, check=True, user=None):
        return self.host.amyctl(*words, check=check, user=user)

    def deploy(self, *words, check=True):
        return self.run("deploy", self.domain, *words, check=check)

    def rollback(self, *words, check=True):
        return self.run("rollback", self.domain, *words, check=check)

    def events(self, done):
        return [json.loads(line) for line in done.stdout.splitlines()]

    @property
    def serving(self):
        """The name of the release that answers."""
        return self.host.get(self.domain, "/", tls=False).get("x-release")

    @property
    def link(self):
        return os.readlink(self.site.repo) if self.site.repo.is_symlink() else None

    @property
    def releases(self):
        """Names in releases/, the oldest first."""
        directory = self.site.directory / "releases"
        return sorted(path.name for path in directory.iterdir() if not path.name.startswith("."))

    @property
    def log(self):
        return (self.site.logs / "deploy.log").read_text()

    @property
    def state(self):
        return self.host.state / "deploy/sites" / self.domain

    @property
    def journal(self):
        file = self.state / "journal"
        return json.loads(file.read_text()) if file.exists() else None


def switch(site, name):
    """As somebody by hand."""
    replace_link(site.repo, name)


def make_tiny(host, base_venv, more="", yaml=TINY_YAML):
    """The quick site, not yet deployed."""
    repository = Repository(host.root / "source", base_venv)
    repository.add_tiny()
    site = host.site(TINY)
    write_settings(site, {"GREETING": "hello"})
    site.write_yaml(yaml.format(domain=TINY, user=host.user.name) + deploy_lines(repository, more))
    return Deployments(host, site, repository)
