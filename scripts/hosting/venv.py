"""Python environments: a real one from pinned wheels, and quick ones over it."""

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PYTHON = "/usr/bin/python3"
STAMP = ".requirements"
SCRIPTS = ("gunicorn", "django-admin", "rq", "rqworker")


def cache_directory():
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(
        os.environ.get("HOME") or "/var/tmp", ".cache"
    )
    return Path(home) / "amy"


def requirements_hash(requirements):
    """Changes with the pins and with the interpreter."""
    requirements = Path(requirements)
    digest = hashlib.sha256(subprocess.check_output([PYTHON, "-VV"]))
    for file in (requirements, requirements.with_name("constraints.txt")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def run(*argv):
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    environment |= {
        "PIP_ROOT_USER_ACTION": "ignore", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_QUIET": "1",
    }
    done = subprocess.run(
        list(map(str, argv)), env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )
    if done.returncode != 0:
        sys.stderr.write(done.stdout)
        raise RuntimeError(f"{Path(str(argv[0])).name} failed: {' '.join(map(str, argv))}")


def wheels_of(requirements):
    """A directory with all that `requirements` pins. It is kept in the user's
    cache, so that the next clone needs no network; AMY_WHEELS is one from
    elsewhere."""
    if "AMY_WHEELS" in os.environ:
        return Path(os.environ["AMY_WHEELS"])
    wheels = cache_directory() / f"wheels-{requirements_hash(requirements)}"
    if not (wheels / "complete").exists():
        with tempfile.TemporaryDirectory() as scratch:
            run(PYTHON, "-m", "venv", scratch)
            run(f"{scratch}/bin/python", "-m", "pip", "wheel", "--wheel-dir", wheels,
                "-r", requirements)
        (wheels / "complete").touch()
    return wheels


def build(directory, requirements):
    """A venv with all that `requirements` pins; nothing is done when it stands
    for the same pins already."""
    directory = Path(directory)
    wanted = requirements_hash(requirements)
    stamp = directory / STAMP
    if stamp.exists() and stamp.read_text() == f"{wanted} {directory}":
        return directory
    run(PYTHON, "-m", "venv", "--clear", directory)
    run(directory / "bin/python", "-m", "pip", "install", "--no-index",
        "--find-links", wheels_of(requirements), "-r", requirements)
    # Others run it: whatever the umask, they may read and not write.
    run("chmod", "-R", "u+rwX,go+rX,go-w", directory)
    stamp.write_text(f"{wanted} {directory}")
    return directory


def build_over(directory, base):
    """A venv of its own, in no time, that sees the packages of `base`, and what
    that one sees."""
    directory = Path(directory)
    run(PYTHON, "-m", "venv", "--without-pip", directory)
    site_packages = next(directory.glob("lib/python3*/site-packages"))
    shared = next(Path(base).glob("lib/python3*/site-packages"))
    beneath = shared / "shared.pth"
    more = beneath.read_text() if beneath.exists() else ""
    (site_packages / "shared.pth").write_text(f"{shared}\n{more}")
    for name in SCRIPTS:
        original = Path(base) / "bin" / name
        if original.exists():
            script = directory / "bin" / name
            body = original.read_text().split("\n", 1)[1]
            script.write_text(f"#!{directory}/bin/python\n{body}")
            script.chmod(0o755)
    return directory
