"""Builds amy._native against the libamy that pkg-config finds."""

import os
import shlex
import subprocess
from pathlib import Path

from setuptools import Extension, find_packages, setup

HERE = Path(__file__).resolve().parent
# Where the dynamic loader looks by itself.
KNOWN_TO_THE_LOADER = ("/lib", "/usr/lib", "/usr/local/lib")


def pkg_config(*arguments):
    """What pkg-config prints about libamy and about the loop it runs on."""
    command = ["pkg-config", *arguments, "amy", "libevent_core"]
    return shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rpath(link_flags):
    """A libamy somewhere else is found where it was when this was built, but
    for one that lies in DESTDIR until the package that is being made is done."""
    if os.environ.get("DESTDIR"):
        return []
    directories = [str(Path(flag[2:]).resolve()) for flag in link_flags if flag.startswith("-L")]
    return [f"-Wl,-rpath,{directory}" for directory in directories
            if not directory.startswith(KNOWN_TO_THE_LOADER)]


link_flags = pkg_config("--libs")
version = subprocess.run(["pkg-config", "--modversion", "amy"], check=True,
                         capture_output=True, text=True).stdout.strip()

setup(
    version=version,
    packages=find_packages("src"),
    package_dir={"": "src"},
    package_data={"amy": ["py.typed", "*.pyi"]},
    ext_modules=[Extension(
        "amy._native",
        sorted(str(file.relative_to(HERE)) for file in (HERE / "native").glob("*.c")),
        depends=["native/native.h"],
        include_dirs=["native"],
        define_macros=[("_GNU_SOURCE", "1")],
        extra_compile_args=["-std=c11", "-Wall", "-Wextra", "-Wno-unused-parameter",
                            "-fvisibility=hidden", *pkg_config("--cflags")],
        extra_link_args=[*link_flags, *rpath(link_flags)],
        # The stable ABI: one wheel for Python 3.11 and all that follow.
        py_limited_api=True,
    )],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
