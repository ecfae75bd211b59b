"""Fixtures: the packages that packaging/build has made, a later version of
them, and boxes to install them in.
"""

import itertools
import os
import tempfile
from pathlib import Path

import pytest

from box import Box
from hosting.packages import raised

TOP = Path(__file__).resolve().parents[2]


class Packages:
    """The .debs of one version, by the package's name."""

    def __init__(self, directory):
        self.directory = Path(directory)

    def __getitem__(self, name):
        (deb,) = self.directory.glob(f"{name}_*.deb")
        return deb

    @property
    def host(self):
        return self["libamy0"], self["amy"]

    @property
    def all(self):
        return tuple(self[name] for name in ("libamy0", "libamy-dev", "amy", "python3-amy"))


@pytest.fixture(scope="session")
def packages():
    return Packages(os.environ["AMY_PACKAGES"])


@pytest.fixture(scope="session")
def next_packages(packages):
    """The same with a higher version: what an upgrade does is dpkg's and the
    maintainer scripts' business, whatever is in the programs."""
    with tempfile.TemporaryDirectory() as directory:
        for deb in packages.host:
            raised(deb, directory)
        yield Packages(directory)


@pytest.fixture
def box(boxes):
    return boxes()


@pytest.fixture
def boxes():
    with tempfile.TemporaryDirectory(prefix="amy-box") as directory:
        made = []
        numbers = itertools.count(1)

        def make():
            mounted = Path(directory) / str(next(numbers))
            mounted.mkdir()
            made.append(Box(mounted))
            return made[-1]

        yield make
        for one in made:
            one.close()
