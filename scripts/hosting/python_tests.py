"""Runs the tests of the Python package: against a wheel, built against a library
that was installed, in an environment of its own.

    python3 -m hosting.python_tests BUILD [PYTEST-ARGUMENT...]
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from hosting import venv, wheel
from hosting.site import APPLICATION, TEST_BASE, TOP, make_directory

TESTS = TOP / "tests/system/python"


def make_environment(directory, package):
    """With the wheel, the demo's Django, and the distribution's pytest."""
    environment = directory / "env"
    venv.run(venv.PYTHON, "-m", "venv", "--system-site-packages", "--without-pip", environment)
    wheel.add_to(environment, package)
    pins = APPLICATION / "requirements.txt"
    django = venv.build(TEST_BASE / f"venv-{venv.requirements_hash(pins)}", pins)
    shared = next(django.glob("lib/python3*/site-packages"))
    next(environment.glob("lib/python3*/site-packages")).joinpath("shared.pth").write_text(f"{shared}\n")
    return environment


def run(argv, **variables):
    """Its exit code; what it prints is shown."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **variables}
    return subprocess.run(list(map(str, argv)), env=environment, check=False,
                          stdin=subprocess.DEVNULL).returncode


def main():
    build, *arguments = sys.argv[1:]
    os.environ["CFLAGS"] = "-Werror"
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(prefix="py", dir=TEST_BASE))
    make_directory(root)
    try:
        prefix = wheel.install_library(build, root / "prefix")
        package = wheel.build_wheel(prefix, root / "wheel")
        environment = make_environment(root, package)
        types = ["mypy", "--config-file", wheel.SOURCE / "pyproject.toml", "--cache-dir", root / "types"]
        code = run(["sh", "-c", 'cd "$0" && exec "$@"', wheel.SOURCE, *types])
        return code or run([environment / "bin/python", "-m", "pytest", TESTS, *arguments],
                           AMY_WHEEL=str(package), AMY_PREFIX=str(prefix))
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
