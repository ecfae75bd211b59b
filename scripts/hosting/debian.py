"""An empty Debian 12 in a directory, and the packages that it may install
without a network. Both are made once, from this machine's own apt sources, and
kept in the cache."""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

from hosting.users import clean_environment
from hosting.venv import cache_directory

SUITE = "bookworm"
# What an installed Debian has beside its packages of priority `important`.
BASE = ("systemd-sysv", "dbus", "sudo", "ca-certificates", "curl", "openssl", "libpam-systemd")
# Where a machine finds them; see machine.py.
REPOSITORY = "/srv/debian"


def run(argv, **options):
    """Its output; all of it in the error when it fails."""
    done = subprocess.run(
        list(map(str, argv)), stdin=options.pop("stdin", subprocess.DEVNULL), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env=clean_environment(HOME="/root", DEBIAN_FRONTEND="noninteractive"), **options,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}:\n{done.stdout[-4000:]}")
    return done.stdout


def sources():
    """This machine's lines of sources.list for the suite."""
    told = run(["apt-get", "indextargets", "--format", "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
                "Created-By: Packages"])
    lines = {}
    for line in told.splitlines():
        origin, uri, release, component = line.split("|")
        if origin == "Debian" and release in {SUITE, f"{SUITE}-updates", f"{SUITE}-security"}:
            lines.setdefault((uri, release), set()).add(component)
    return [f"deb {uri} {release} {' '.join(sorted(components))}"
            for (uri, release), components in sorted(lines.items())]


def known_sources():
    """After `apt-get update`, should this machine have none yet."""
    lines = sources()
    if not lines:
        run(["apt-get", "update"])
        lines = sources()
    if not lines:
        raise RuntimeError(f"apt knows no source of Debian's {SUITE} here")
    return lines


@contextlib.contextmanager
def made_once(name):
    """A directory of the cache, and whether it is to be filled. Who comes first
    fills it; half of it is never taken for the whole."""
    base = cache_directory() / "boot"
    base.mkdir(parents=True, exist_ok=True)
    directory, complete = base / name, base / f"{name}.complete"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if complete.exists():
            yield directory, False
            return
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        yield directory, True
        complete.touch()


def key_of(*words):
    return hashlib.sha256("\n".join(map(str, words)).encode()).hexdigest()[:12]


# ---- the tree


def tree():
    """The directory of an empty Debian 12. Nobody writes there: a machine's own
    changes go to a layer of its own (machine.py)."""
    key = key_of(Path(__file__).read_text().partition("# ---- the packages")[0])
    with made_once(f"{SUITE}-{key}") as (directory, empty):
        if empty:
            lines = known_sources()
            run(["mmdebstrap", "--mode=root", "--variant=important", "--format=directory",
                 f"--include={','.join(BASE)}", "--dpkgopt=force-unsafe-io", SUITE, directory, *lines])
            settle(directory)
    return directory


def settle(directory):
    """What an installer would have done, and what a guest without a disk and
    without a network of its own wants otherwise."""
    (directory / "etc/fstab").write_text("")  # or systemd remounts the host's root
    (directory / "etc/hostname").write_text("server\n")
    (directory / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 server\n")
    (directory / "etc/machine-id").write_text("")
    (directory / "etc/resolv.conf").unlink(missing_ok=True)
    (directory / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{REPOSITORY} ./\n")
    for path in (directory / "etc/apt/sources.list.d").glob("*"):
        path.unlink()
    # Lists that were never fetched, and timers that would fetch them.
    quiet = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer",
             "console-getty.service")
    run(["systemctl", f"--root={directory}", "--quiet", "mask", *quiet])


# ---- the packages


def repository(packages):
    """A directory with these packages and all that they need or recommend, and
    that the tree has not, as `file:` in a sources.list wants it."""
    base = tree()
    names = sorted(set(packages))
    with made_once(f"debs-{key_of(Path(__file__).read_text(), *names)}") as (directory, empty):
        if empty:
            download(base, names, directory)
            index(directory)
    return directory


def download(base, names, directory):
    """By this machine's apt, as the one in the tree would."""
    settings = directory / "apt"
    (settings / "partial").mkdir(parents=True)
    (directory / "partial").mkdir()
    (settings / "sources.list").write_text("\n".join(known_sources()) + "\n")
    options = {
        "Dir::State::status": base / "var/lib/dpkg/status",
        "Dir::Etc::sourcelist": settings / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::Cache::archives": directory,
        "Dir::Cache::pkgcache": "", "Dir::Cache::srcpkgcache": "",
        "Debug::NoLocking": "true", "APT::Sandbox::User": "root",
        "APT::Install-Recommends": "true", "APT::Keep-Downloaded-Packages": "true",
    }
    argv = ["apt-get", "-y", *(f"-o{name}={value}" for name, value in options.items()),
            "install", "--download-only", *names]
    try:
        run(argv)
    except RuntimeError:
        run(["apt-get", "update"])  # lists that name what is no longer there
        run(argv)
    shutil.rmtree(settings)
    shutil.rmtree(directory / "partial")


def index(directory):
    """What makes a directory of packages a repository."""
    with open(directory / "Packages", "w") as file:
        subprocess.run(["dpkg-scanpackages", "--multiversion", "."], cwd=directory, stdout=file,
                       stderr=subprocess.DEVNULL, check=True)
