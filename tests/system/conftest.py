"""Fixtures: every test has daemons of its own under a directory of its own, so
that any number of them run side by side; servers are shared where that is safe.
"""

import fcntl
import fnmatch
import itertools
import os
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts"))

from hosting import users, venv  # noqa: E402
from hosting.host import Host  # noqa: E402
from hosting.services import Postgres, Redis  # noqa: E402
from hosting.site import APPLICATION, TEST_BASE, make_directory  # noqa: E402
from support import TINY_YAML, close_host, deploy_tiny, serve_demo  # noqa: E402


# ---- skips must be announced


def pytest_configure(config):
    # A thousand clients are more than a login shell's 1024 descriptors.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    config.amy_skipped = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("root") and not users.is_root():
            item.add_marker(pytest.mark.skip(reason="needs root"))
        if shares_a_host(item):
            item.add_marker(pytest.mark.xdist_group(item.path.name))
    # Who asks for more time than others begins first.
    items.sort(key=lambda item: item.get_closest_marker("timeout") is None)


def shares_a_host(item):
    """With others of its module; where several processes run the tests, one of
    them gets all of these, and each of the rest goes to whoever is idle."""
    return any(fixture.scope == "module" for fixtures in item._fixtureinfo.name2fixturedefs.values()
               for fixture in fixtures)


def allowed_skips():
    lines = (TOP / "tests/SKIPS").read_text().splitlines()
    return [line.split("#")[0].strip() for line in lines if line.split("#")[0].strip()]


def pytest_runtest_logreport(report):
    needs_root = "root" in report.keywords and not users.is_root()
    if report.skipped and not hasattr(report, "wasxfail") and not needs_root:
        SKIPPED.append(report.nodeid)


SKIPPED = []


def pytest_sessionfinish(session):
    unknown = [node for node in SKIPPED
               if not any(fnmatch.fnmatch(node, pattern) for pattern in allowed_skips())]
    if unknown and not hasattr(session.config, "workerinput"):
        print("\nskipped, and not in tests/SKIPS:", *unknown, sep="\n  ")
        session.exitstatus = 1


# ---- directories


@pytest.fixture(scope="session")
def session_root():
    """Ours alone, with parents that the site's user cannot write."""
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    make_directory(TEST_BASE)
    root = Path(tempfile.mkdtemp(prefix="s", dir=TEST_BASE))
    make_directory(root)
    yield root
    if not os.environ.get("AMY_TEST_KEEP"):
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def counter():
    return itertools.count(1)


@pytest.fixture(scope="session")
def django_venv():
    """Built once per set of pins, whoever comes first; the others wait."""
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    requirements = APPLICATION / "requirements.txt"
    with open(TEST_BASE / "venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return venv.build(TEST_BASE / f"venv-{venv.requirements_hash(requirements)}", requirements)


# ---- servers


@pytest.fixture(scope="session")
def services_directory(session_root):
    directory = session_root / "sv"
    make_directory(directory, 0o700, users.site_user())
    return directory


@pytest.fixture(scope="session")
def postgres(services_directory):
    server = Postgres(services_directory, users.site_user())
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def redis(services_directory):
    server = Redis(services_directory, users.site_user())
    server.start()
    yield server
    server.stop()


# ---- hosts


@pytest.fixture
def new_host(session_root, counter, request):
    """A function that makes hosts; all are stopped after the test, and nothing
    may be left of them."""
    made = []

    def new(**options):
        host = Host(session_root / f"h{next(counter)}", **options)
        made.append(host)
        return host

    yield new
    failed = []
    for host in made:
        try:
            close_host(host)
        except AssertionError as error:
            failed.append(str(error))
    assert not failed, "\n".join(failed)


@pytest.fixture(scope="module")
def host_for_module(session_root, counter):
    """A host that the tests of one module share."""
    host = Host(session_root / f"h{next(counter)}")
    yield host
    close_host(host)


@pytest.fixture
def tiny(new_host, django_venv):
    """A host with the quick application behind two workers, not yet started."""
    host = new_host()
    host.tiny = deploy_tiny(host, "tiny.localhost", django_venv, TINY_YAML)
    return host


@pytest.fixture
def running(tiny):
    """The same, serving."""
    tiny.start_workers()
    tiny.start_front()
    return tiny


@pytest.fixture(scope="module")
def stage(session_root, counter, django_venv, postgres, redis):
    """The demo's site as scripts/demo lays it out, serving, for one module."""
    host = Host(session_root / f"h{next(counter)}")
    try:
        yield serve_demo(host, django_venv, postgres, redis)
    finally:
        close_host(host)
