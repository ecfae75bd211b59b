"""A job that is killed, or refused something by the system, at every call that
changes a file: no set ever looks complete and is not."""

from itertools import count

import pytest

from backups import Shop, TrustingPostgres, last_event
from hosting import users
from hosting.site import make_directory

# What changes a file, or may tell late that a change was lost.
CHANGING = {"open", "openat", "openat2", "creat", "write", "pwrite64", "writev", "pwritev", "close",
            "fsync", "fdatasync", "sync_file_range", "ftruncate", "truncate", "fallocate",
            "mkdir", "mkdirat", "rename", "renameat", "renameat2", "link", "linkat", "symlink",
            "symlinkat", "unlink", "unlinkat", "rmdir", "fchmod", "fchmodat", "fchown", "fchownat",
            "utimensat", "copy_file_range", "sendfile", "splice", "flock", "fcntl"}
# Those that a job makes; the first test looks whether these are all.
CALLS = ["close", "fchmod", "fcntl", "flock", "fsync", "mkdirat", "openat", "openat2",
         "renameat", "renameat2",
         "unlinkat", "write"]
# strace injects an error in place of the call: a close that fails that way leaves
# the descriptor open, which no kernel does, and the end of a pipe never comes.
FAILING = [call for call in CALLS if call not in ("close", "fcntl")]
ERRORS = ["EIO", "ENOSPC", "EDQUOT"]
SAMPLE = 5
EVERY = pytest.param(None, id="every", marks=[pytest.mark.long, pytest.mark.timeout(1800)])
HOW_MANY = [pytest.param(SAMPLE, id="some"), EVERY]


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


@pytest.fixture(scope="module")
def calls(shop):
    """{call: (how often before it works on DB_backups, how often in all)} of a
    dump that nothing disturbs. What comes before is the loading of libraries."""
    child = shop.start("dump", prefix=["strace", "-qq"])
    _, trace = child.communicate(timeout=120)
    found, begun = {}, False
    for line in trace.decode(errors="replace").splitlines():
        name = line.partition("(")[0]
        begun = begun or "DB_backups" in line
        before, total = found.get(name, (0, 0))
        found[name] = (before + (not begun), total + 1)
    assert begun
    return found


def points(calls, call, most):
    """Which of them meet their fate: all, or so many evenly spread, the first and
    the last among them."""
    before, total = calls[call]
    every = range(before + 1, total + 1)
    if most is None or len(every) <= most:
        return list(every)
    return sorted({every[i * (len(every) - 1) // (most - 1)] for i in range(most)})


def expect_nothing_false(shop, before, event):
    """No set lost but by the rules, none false; a failure makes none."""
    assert shop.expect_sound() >= min(before, 3)
    if event is not None and event["event"] == "failed" and "set" not in event:
        names = [name for name in shop.names() if not name.endswith(".partial")]
        assert len(names) <= max(before, 3)


def expect_the_next_is_good(shop):
    """What was left over goes with it."""
    event = shop.run("dump")
    assert event["event"] == "done" and event["set"]["verdict"] == "parsed", event
    assert not [name for name in shop.names() if name.endswith(".partial")]


def test_no_call_that_changes_a_file_is_forgotten(calls):
    assert set(calls) & CHANGING == set(CALLS)


@pytest.mark.parametrize("most", HOW_MANY)
@pytest.mark.parametrize("call", CALLS)
def test_kill_9_at_any_call_leaves_no_false_set(shop, calls, call, most):
    killed = 0
    for when in points(calls, call, most):
        before = shop.expect_sound()
        event, met = inject(shop, call, "signal=KILL", when)
        killed += met
        expect_nothing_false(shop, before, event)
        if most is None:
            expect_the_next_is_good(shop)
    assert killed, (call, calls[call])
    expect_the_next_is_good(shop)


@pytest.mark.parametrize("most", HOW_MANY)
@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("call", FAILING)
def test_an_error_at_any_call_leaves_no_false_set(shop, calls, call, error, most):
    met_any = False
    for when in points(calls, call, most if most is None else 3):
        before = shop.expect_sound()
        event, met = inject(shop, call, f"error={error}", when)
        met_any = met_any or met
        expect_nothing_false(shop, before, event)
        if event is not None and event["event"] == "failed":
            assert event["message"], event
        if most is None:
            expect_the_next_is_good(shop)
    assert met_any, (call, calls[call])
    expect_the_next_is_good(shop)


def test_a_set_is_on_the_disk_before_it_has_its_name(shop):
    """A kill cannot tell, only the order of calls can: what a loss of power takes
    is what was not synced."""
    child = shop.start("dump", prefix=["strace", "-qq", "-y", "-e", "trace=write,fsync,renameat,renameat2"])
    out, trace = child.communicate(timeout=120)
    name = last_event(out)["set"]["name"]
    lines = trace.decode(errors="replace").splitlines()
    (renamed,) = [i for i, line in enumerate(lines) if line.startswith("rename")
                  and f'"{name}.partial"' in line and f'"{name}"' in line]

    def last(call, words):
        return max(i for i, line in enumerate(lines[:renamed])
                   if line.startswith(f"{call}(") and words in line.partition(">")[0])

    synced = []
    for file in ("data.dump.zst", "roles.sql", ".amy-"):  # the manifest, before it is renamed
        written = last("write", f"{name}.partial/{file}")
        synced.append(last("fsync", f"{name}.partial/{file}"))
        assert written < synced[-1], file
    directory = max(i for i, line in enumerate(lines[:renamed])
                    if line.startswith("fsync(") and f"/{name}.partial>" in line)
    assert max(synced) < directory
    after = next(line for line in lines[renamed + 1:] if line.startswith(("fsync(", "write(")))
    assert after.startswith("fsync(") and "/DB_backups>" in after, after


def test_a_write_that_fails_names_its_file(shop, calls):
    """The disk fills under the data: said so, partial removed, others stay."""
    found = []
    # Until none is met: how often it writes depends on what a pipe gives.
    for when in count(calls["write"][0] + 1):
        event, met = inject(shop, "write", "error=ENOSPC", when)
        if not met:
            break
        if event and event["event"] == "failed":
            found.append(event["message"])
    assert any("data.dump.zst" in message for message in found), found
    assert any("manifest.json" in message for message in found), found
    assert [name for name in shop.names() if name.endswith(".partial")] == []
