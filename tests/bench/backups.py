"""A backup beside `pg_dump -Fc` of the same database, in the same run: CPU of all
programs on the client's side, size, memory of the job."""

import json
import random
import resource
import subprocess
from pathlib import Path

from hosting import users
from hosting.host import binaries
from hosting.services import Postgres
from hosting.site import make_directory
from hosting.users import as_user, clean_environment

SEED = 20261123
TEXT_BYTES = 64_000_000
SCHEMA = """
CREATE TABLE reversion_version (id int PRIMARY KEY, object_id text, db text, format text,
    serialized_data text, object_repr text);
CREATE TABLE other AS SELECT i AS id, md5(i::text) AS t FROM generate_series(1, 100000) i;
"""


class Rows:
    """What django-reversion keeps: JSON around prose, a kilobyte a row, one row in
    fourteen above 2 kB (TOAST). The prose is a slice of 64 MB of words drawn as a
    language draws them (Zipf), so that neither zlib's window of 32 KiB nor zstd's of
    2 MiB often sees the same slice again; no hexadecimal noise but one key a row."""

    def __init__(self):
        self.random = random.Random(SEED)
        syllables = [a + b for a in "bcdfghklmnprstvw" for b in "aeiou"] + ["er", "ing", "st", "on"]
        words = ["".join(self.random.choices(syllables, k=self.random.choice((1, 2, 2, 3, 4))))
                 for _ in range(20000)]
        weights = [1 / (rank + 3) for rank in range(len(words))]
        self.text = " ".join(self.random.choices(words, weights, k=TEXT_BYTES // 6))[:TEXT_BYTES]

    def prose(self):
        long = self.random.random() < 0.07
        length = self.random.randint(2200, 6000) if long else self.random.randint(100, 800)
        begin = self.random.randrange(len(self.text) - length)
        return self.text[begin:begin + length]

    def row(self, number):
        draw = self.random
        data = (f'[{{"model": "shop.order", "pk": {number}, "fields": {{"customer": '
                f'{draw.randrange(200000)}, "token": "{draw.getrandbits(96):024x}", "total": '
                f'"{draw.random() * 1000:.2f}", "created": "2026-{draw.randint(1, 12):02}-'
                f'{draw.randint(1, 28):02}T{draw.randint(0, 23):02}:{draw.randint(0, 59):02}:00Z", '
                f'"status": "{draw.choice(("paid", "open", "sent"))}", "note": "{self.prose()}"}}}}]')
        return f"{number}\t{draw.randrange(200000)}\tdefault\tjson\t{data}\tOrder {number}\n"


def fill(server, megabytes):
    """The rows, until the table has that size; returns it in MB."""
    server.query(SCHEMA)
    rows = Rows()
    argv = [server.bin / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", server.directory,
            "-d", server.DATABASE, "-c", "COPY reversion_version FROM STDIN"]
    child = subprocess.Popen(as_user(server.user, argv), stdin=subprocess.PIPE,
                             env=clean_environment(), cwd="/")
    sent = number = 0
    while sent < megabytes * 1_000_000:
        piece = "".join(rows.row(number + i) for i in range(1000)).encode()
        number += 1000
        child.stdin.write(piece)
        sent += len(piece)
    child.stdin.close()
    assert child.wait() == 0
    return sent / 1e6


def cpu_of(argv, user, environment, stdin=b"", stdout=subprocess.DEVNULL, watch=None):
    """CPU seconds of a program and all that it started."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    child = subprocess.Popen(as_user(user, argv), env=environment, cwd="/",
                             stdin=subprocess.PIPE, stdout=stdout)
    child.stdin.write(stdin)
    child.stdin.close()
    if watch:
        watch(child)
    assert child.wait() == 0, argv
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


class Job:
    """amy-backup's job on a site's directory, without the daemon."""

    def __init__(self, directory, user, environment):
        self.directory, self.user, self.environment = directory, user, environment
        self.peak_kib = 0

    def cpu(self, action):
        spec = {"action": action, "site": "bench", "from": "DATABASE_URL", "why": "manual"}
        argv = ["bash", "-c", 'exec 3< "$0"; exec "$@"', self.directory,
                binaries() / "amy-backup", "--job"]
        return cpu_of(argv, self.user, self.environment, json.dumps(spec).encode(),
                      subprocess.PIPE, self.watch)

    def watch(self, child):
        for line in child.stdout:
            event = json.loads(line)
            if event["event"] == "progress":
                text = Path(f"/proc/{child.pid}/status").read_text()
                self.peak_kib = max(self.peak_kib, int(text.partition("VmHWM:")[2].split()[0]))
        assert event["event"] == "done", event
        assert event["set"]["verdict"] == "parsed", event


def run(root, args, say):
    user = users.site_user()
    for name in ("pg", "site", "site/logs", "peer"):
        make_directory(root / name, 0o700, user)
    server = Postgres(root / "pg", user)
    try:
        server.start()
        say(f"writing rows of {args.megabytes} MB")
        table_mb = fill(server, args.megabytes)
        environment = clean_environment(DATABASE_URL=server.url, HOME="/nonexistent")
        theirs = root / "peer/dump"
        job = Job(root / "site", user, environment)
        say("pg_dump -Fc")
        their_dump = cpu_of(["pg_dump", "-Fc", "-d", server.url, "-f", theirs], user, environment)
        their_reading = cpu_of(["pg_restore", "-f", "/dev/null", theirs], user, environment)
        say("amy-backup")
        both = job.cpu("dump")
        reading = job.cpu("verify")
        (made,) = (root / "site/DB_backups").glob("*/data.dump.zst")
        one = {"table_mb": table_mb, "their_dump": their_dump, "their_reading": their_reading,
               "dump": both - reading, "reading": reading, "their_mb": theirs.stat().st_size / 1e6,
               "mb": made.stat().st_size / 1e6, "peak_mib": job.peak_kib / 1024}
    finally:
        server.stop()
    return {"rounds": [one], "rounds_of": 1, "profiles": {}}


def verdict(good):
    return "yes" if good else "**missed**"


def report(result):
    (one,) = result["rounds"]
    all_of_ours = one["dump"] + one["reading"]
    dump, both = one["dump"] / one["their_dump"], all_of_ours / one["their_dump"]
    proven = all_of_ours / (one["their_dump"] + one["their_reading"])
    size = one["mb"] / one["their_mb"]
    yield from f"""\
One table of {one["table_mb"]:,.0f} MB as COPY has it, JSON around prose as django-reversion keeps it
(`tests/bench/backups.py` says how it is made), and a small one. CPU-seconds are those of all programs on
the client's side: pg_dump, the job, pg_restore; not the server's, which does the same for both. amy-backup hashes what it
writes in the same pass, and that is counted. It also reads every backup through before it calls it one (hash,
zstd, all of it through pg_restore, rows counted); that is counted apart, and beside `pg_restore -f /dev/null`.

| | CPU s | size MB | to `pg_dump -Fc` | promised | |
| --- | ---: | ---: | ---: | ---: | --- |
| `pg_dump -Fc` | {one["their_dump"]:.1f} | {one["their_mb"]:,.1f} | 1 | | |
| `pg_restore -f /dev/null` of that | {one["their_reading"]:.1f} | | {one["their_reading"] / one["their_dump"]:.2f} | | |
| amy-backup: dump, compress, hash, write | {one["dump"]:.1f} | {one["mb"]:,.1f} | {dump:.2f} | 0.33 | {verdict(dump <= 1 / 3)} |
| amy-backup: read through for the verdict `parsed` | {one["reading"]:.1f} | | {one["reading"] / one["their_dump"]:.2f} | | |
| amy-backup: all of it | {all_of_ours:.1f} | | {both:.2f} | 0.33 | {verdict(both <= 1 / 3)} |
| the same to both of theirs | | | {proven:.2f} | | |
| size | | | {size:.2f} | 1 | {verdict(size <= 1)} |

The job's memory (VmHWM): {one["peak_mib"]:.1f} MiB of at most 64: {verdict(one["peak_mib"] < 64)}.""".split("\n")
