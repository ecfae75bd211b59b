"""A job that is killed, or refused something by the system, at every call that
changes a file: no set ever looks complete and is not."""

import pytest

from backups import Shop, TrustingPostgres, last_event
from hosting import users
from hosting.site import make_directory

# What can fail on the way to the disk.
CALLS = ["mkdirat", "openat", "write", "fsync", "renameat", "renameat2", "unlinkat", "close",
         "flock", "fchmod"]
ERRORS = ["EIO", "ENOSPC", "EDQUOT"]
FAILING = ["mkdirat", "write", "fsync", "renameat", "renameat2", "unlinkat", "fchmod"]


@pytest.fixture(scope="module")
def shop(session_root, django_venv):
    from hosting.host import Host
    directory = session_root / "pk"
    make_directory(directory, 0o700, users.site_user())
    server = TrustingPostgres(directory, users.site_user())
    server.start()
    made = Shop(Host(session_root / "hk"), server, django_venv, rows=200)
    assert made.run("dump")["event"] == "done"
    yield made
    server.stop()


def inject(shop, call, how, when):
    """A dump during which one call meets that; (its end, was it met at all?)."""
    strace = ["strace", "-qq", "-e", f"trace={call}",
              "-e", f"inject={call}:{how}:when={when}"]
    child = shop.start("dump", prefix=strace)
    out, trace = child.communicate(timeout=120)
    met = b"(INJECTED)" in trace or b"+++ killed by SIGKILL +++" in trace
    return last_event(out), met


def count_calls(shop, call):
    """How often a dump does that, undisturbed."""
    strace = ["strace", "-qq", "-e", f"trace={call}"]
    child = shop.start("dump", prefix=strace)
    _, trace = child.communicate(timeout=120)
    total = sum(line.startswith(f"{call}(".encode()) for line in trace.splitlines())
    assert total > 0, (call, trace[-2000:])
    return total


def expect_nothing_false(shop, before, event):
    """No set lost but by the rules, none false; a failure makes none."""
    assert shop.expect_sound() >= min(before, 3)
    if event is not None and event["event"] == "failed" and "set" not in event:
        names = [name for name in shop.names() if not name.endswith(".partial")]
        assert len(names) <= max(before, 3)


@pytest.mark.parametrize("call", CALLS)
def test_kill_9_at_every_call_leaves_no_false_set(shop, call):
    """Loading libraries opens much and comes first: only what comes after."""
    total = count_calls(shop, call)
    first = 1 if call not in ("openat", "close") else max(1, total - 12)
    killed = 0
    for when in range(first, total + 1):
        before = shop.expect_sound()
        event, met = inject(shop, call, "signal=KILL", when)
        killed += met
        expect_nothing_false(shop, before, event)
    assert killed, (call, total)
    # What was left over goes with the next one.
    assert shop.run("dump")["event"] == "done"
    assert not [name for name in shop.names() if name.endswith(".partial")]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", FAILING)
def test_an_error_at_every_call_leaves_no_false_set(shop, call, error):
    for when in range(1, count_calls(shop, call) + 1):
        before = shop.expect_sound()
        event, met = inject(shop, call, f"error={error}", when)
        assert met or when > 1, call  # there may be one less, at the end
        expect_nothing_false(shop, before, event)
        if event is not None and event["event"] == "failed":
            assert event["message"], event
    assert shop.run("dump")["event"] == "done"


def test_a_write_that_fails_names_its_file(shop):
    """The disk fills under the data: said so, partial removed, others stay."""
    found = []
    for when in range(1, count_calls(shop, "write") + 1):
        event, _ = inject(shop, "write", "error=ENOSPC", when)
        if event and event["event"] == "failed":
            found.append(event["message"])
    assert any("data.dump.zst" in message for message in found), found
    assert any("manifest.json" in message for message in found), found
    assert [name for name in shop.names() if name.endswith(".partial")] == []
