"""The Python package `amy`: installed library, wheel, environment."""

import os
import shutil
from pathlib import Path

from hosting.site import TOP
from hosting.venv import PYTHON, run

SOURCE = TOP / "bindings/python"


def install_library(build, prefix):
    """What `cmake --install` puts where another program looks for it."""
    run("cmake", "--install", build, "--prefix", prefix)
    run("chmod", "-R", "u+rwX,go+rX,go-w", prefix)
    return prefix


def build_wheel(prefix, directory):
    """The wheel, from the distribution's packages alone, against the libamy
    installed in `prefix`; that of an earlier run, if it is newer than both."""
    directory = Path(directory)
    made = list(directory.glob("amy-*.whl"))
    if len(made) == 1 and made[0].stat().st_mtime > newest(prefix, SOURCE):
        return made[0]
    shutil.rmtree(directory, ignore_errors=True)
    # setuptools builds beside the sources: not in the checkout.
    source = directory / "source"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    (found,) = Path(prefix).glob("lib*/**/pkgconfig")
    os.environ["PKG_CONFIG_PATH"] = str(found)
    run(PYTHON, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--no-index",
        "--wheel-dir", directory, source)
    shutil.rmtree(source)
    (wheel,) = directory.glob("amy-*.whl")
    return wheel


def newest(*directories):
    """When the last of all files below was changed."""
    return max(file.stat().st_mtime for directory in directories
               for file in Path(directory).rglob("*") if file.is_file())


def add_to(environment, wheel):
    """Into a virtual environment, which needs no pip of its own."""
    run(PYTHON, "-m", "pip", "--python", Path(environment) / "bin/python",
        "install", "--no-index", "--no-deps", "--force-reinstall", wheel)
    run("chmod", "-R", "u+rwX,go+rX,go-w", environment)
