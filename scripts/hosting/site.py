"""A site's directory as DESIGN.md's section 3 draws it."""

import os
import secrets
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

from hosting import venv
from hosting.release import Releases
from hosting.users import as_user, clean_environment, front_user, is_root

TOP = Path(__file__).resolve().parents[2]
APPLICATION = TOP / "examples/django-site"
SAMPLE = TOP / "examples/site-directory"
# Where tests lay out sites. Nobody but root may write the directories above a
# site, which rules out /tmp and /var/tmp.
TEST_BASE = Path("/srv/amy-test") if is_root() else TOP / "build/system-test"

ACTIVATED = 'cd "$0" && . .venv/bin/activate && . .venv/bin/postactivate && exec "$@"'

# The directory that a release lies in is its name; sourced in the release itself.
RELEASE_LINE = 'export DJANGO_RELEASE="${PWD##*/}"'


class Site:
    """One directory of webapps. Who deploys (root, or the person) owns it all
    but what the site's user writes."""

    def __init__(self, webapps, domain, user):
        self.directory = Path(webapps) / domain
        self.domain = domain
        self.user = user

    repo = property(lambda self: self.directory / "repo")
    venv = property(lambda self: self.repo / ".venv")
    yaml = property(lambda self: self.directory / "site.yaml")
    static = property(lambda self: self.directory / "static")
    private = property(lambda self: self.directory / "media/private")
    logs = property(lambda self: self.directory / "logs")
    maintenance_on = property(lambda self: self.directory / "maintenance_on.html")
    maintenance_off = property(lambda self: self.directory / "maintenance_off.html")

    def make(self):
        """The directories and pages; what stands there already is kept."""
        make_directory(self.directory)
        make_directory(self.logs, 0o750, self.user)
        make_directory(self.directory / "DB_backups", 0o700, self.user)
        make_directory(self.directory / "maintenance")
        copy_file(SAMPLE / "maintenance/icon.svg", self.directory / "maintenance/icon.svg")
        copy_file(SAMPLE / "down.html", self.directory / "down.html")
        if not self.maintenance_on.exists():
            copy_file(SAMPLE / "maintenance_off.html", self.maintenance_off)

    def write_yaml(self, text):
        """Replaced by rename, as an editor or Ansible does."""
        new = self.directory / ".site.yaml.new"
        new.write_text(text)
        new.chmod(0o644)
        new.rename(self.yaml)

    def sample_yaml(self):
        """The sample's site.yaml for this domain and user."""
        text = (SAMPLE / "site.yaml").read_text()
        return text.replace("demo.localhost", self.domain).replace(
            "user: amy-demo ", f"user: {self.user.name} "
        )

    def copy_application(self, source=APPLICATION):
        ignore = shutil.ignore_patterns("__pycache__", ".venv", "staticfiles")
        shutil.copytree(source, self.repo, dirs_exist_ok=True, ignore=ignore)
        subprocess.run(["chmod", "-R", "u+rwX,go+rX,go-w", str(self.repo)], check=True)

    def write_postactivate(self, variables, *more):
        """The settings, where the workers and `amyctl run` find them. They hold
        secrets: only the site's group may read them. `more`: lines as they are."""
        file = self.venv / "bin/postactivate"
        new = file.with_name("postactivate.new")
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
        new.touch(mode=0o640)
        new.write_text("# Sourced after activate; the settings of this site.\n"
                       + "".join(lines) + "".join(f"{line}\n" for line in more))
        if is_root():
            os.chown(new, 0, self.user.gid)
        new.rename(file)

    def read_secret_key(self):
        """That of an earlier run, or a new one."""
        file = self.directory.parent.parent / f"{self.domain}.secret"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(48))
        return file.read_text()

    def deploy_django(self, database_url, redis_url, base_venv=None, **variables):
        """Code, environment, tables, static files: a deployment in small; with
        more variables for the settings."""
        Releases(self).begin()
        self.copy_application()
        # An environment has its own path written into it: the real one.
        environment = self.venv.resolve()
        if base_venv is None:
            venv.build(environment, self.repo / "requirements.txt")
        else:
            venv.build_over(environment, base_venv)
        self.write_postactivate({
            "DJANGO_SECRET_KEY": self.read_secret_key(),
            "DJANGO_ALLOWED_HOSTS": self.domain,
            "DATABASE_URL": database_url,
            "AMY_REDIS_URL": redis_url,
            "DJANGO_STATIC_ROOT": str(self.static),
            "DJANGO_MEDIA_ROOT": str(self.private),
            **variables,
        }, RELEASE_LINE)
        make_directory(self.static)
        self.make_private()
        self.manage("migrate", "--verbosity", "0", user=self.user)
        self.manage("collectstatic", "--noinput", "--verbosity", "0")

    def make_private(self):
        """The application writes there; the front's group may read."""
        make_directory(self.private.parent)
        make_directory(self.private, 0o2750, replace(self.user, gid=front_user().gid))

    def manage(self, *arguments, user=None, release=None):
        return self.run("python", "manage.py", *arguments, user=user, release=release)

    def run(self, *argv, user=None, release=None):
        """In the site's environment; `user` None: whoever deploys; `release`: its
        directory, when it is not the present one."""
        shell = ["bash", "-c", ACTIVATED, release or self.repo, *argv]
        done = subprocess.run(
            as_user(user, shell), env=clean_environment(), cwd="/", text=True,
            stdin=subprocess.DEVNULL, capture_output=True, check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(argv)}:\n{done.stdout}{done.stderr}")
        return done.stdout


def make_directory(path, mode=0o755, owner=None):
    path.mkdir(exist_ok=True)
    path.chmod(mode)
    if owner is not None and is_root():
        os.chown(path, owner.uid, owner.gid)


def copy_file(source, target):
    if not target.exists():
        shutil.copyfile(source, target)
        target.chmod(0o644)
