"""Fixtures: machines with Debian 12, from an empty one to one that serves. Each
test that asks for a machine gets a fresh one, as booting takes a second; what
takes longer is done once and is a layer below it."""

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

from hosting import debian, machine, venv  # noqa: E402
from hosting.internet import Internet  # noqa: E402
from hosting.packages import wanted_by  # noqa: E402
from hosting.site import APPLICATION, TEST_BASE, make_directory  # noqa: E402
from support import CHECKOUT, SERVICES, WHEELS, Packages, Server, install, lay_out  # noqa: E402


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure comes with what the machine wrote meanwhile."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for fixture in ("empty_machine", "services_machine", "server"):
            if fixture in item.funcargs:
                report.sections.append(("its journal", journal_of(item.funcargs[fixture])))


def journal_of(found):
    try:
        return found.journal("--boot", "--lines=150")
    except Exception as error:  # the machine may be off
        return f"none: {error}"


@pytest.fixture(scope="session")
def root():
    """Ours alone."""
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="boot", dir=TEST_BASE))
    make_directory(directory)
    yield directory
    if not os.environ.get("AMY_TEST_KEEP"):
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def internet(root):
    internet = Internet(root)
    internet.start()
    yield internet
    internet.stop()


@pytest.fixture(scope="session")
def packages():
    """Those of this checkout, as two versions."""
    return Packages.build()


@pytest.fixture(scope="session")
def shown(packages):
    """What every machine may read of ours, by its place there."""
    wanted = {*SERVICES, "nginx-light", *wanted_by(packages.this)}
    wheels = venv.wheels_of(APPLICATION / "requirements.txt")
    return {debian.REPOSITORY: debian.repository(wanted), CHECKOUT: TOP, WHEELS: wheels}


@pytest.fixture(scope="session")
def new_machine(root, internet, shown):
    """A function that makes machines over layers; all are off when the tests end."""
    numbers = itertools.count(1)
    made = []

    def new(*layers):
        one = machine.Machine(root / f"m{next(numbers)}", internet, [*layers, debian.tree()], shown)
        one.write_below("etc/pip.conf", f"[global]\nno-index = true\nfind-links = {WHEELS}\n")
        made.append(one)
        return one

    yield new
    for one in made:
        one.cut_power()


@contextlib.contextmanager
def running(new_machine, *layers):
    one = new_machine(*layers).boot()
    try:
        yield one
    finally:
        one.cut_power()


# ---- layers


@pytest.fixture(scope="session")
def services_layer(new_machine):
    """PostgreSQL, Redis, certbot; kept in the cache."""
    key = debian.key_of(debian.tree().name, *SERVICES)
    with debian.made_once(f"services-{key}") as (directory, missing):
        if missing:
            with running(new_machine) as one:
                install(one, *SERVICES)
                one.stop()
                one.keep_upper(directory)
    return directory


@pytest.fixture(scope="session")
def site_layer(new_machine, services_layer, packages):
    """The packages, and the example site on HTTPS."""
    with running(new_machine, services_layer) as one:
        install(one, *packages.put(one, packages.this))
        lay_out(one)
        Server(one).wait_until_it_serves()
        one.stop()
        return one.upper


# ---- machines


@pytest.fixture
def empty_machine(new_machine):
    with running(new_machine) as one:
        yield one


@pytest.fixture
def services_machine(new_machine, services_layer):
    with running(new_machine, services_layer) as one:
        yield one


@pytest.fixture
def server(new_machine, services_layer, site_layer):
    """It was booted, and serves the example site."""
    with running(new_machine, site_layer, services_layer) as one:
        server = Server(one)
        server.wait_until_it_serves()
        yield server
