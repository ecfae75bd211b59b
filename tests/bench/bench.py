"""Measures beside others and writes docs/benchmarks.md; started by tests/bench/run."""

import argparse
import fcntl
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import backups
import mix
import proxy
import rediscalls
import reloads
from hosting import venv
from hosting.site import APPLICATION, TEST_BASE, make_directory
from machine import idle_share

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"
PARTS = {"proxy": ("Requests per CPU-second", proxy),
         "mix": ("Fast requests among slow ones", mix),
         "reload": ("Reload under load", reloads),
         "backup": ("A backup beside pg_dump", backups),
         "redis": ("Redis beside hiredis", rediscalls)}
NEEDED = ("wrk", "nginx", "haproxy", "taskset", "openssl", "setpriv")


def arguments():
    parser = argparse.ArgumentParser(
        prog="tests/bench/run", description="Benchmarks beside nginx, HAProxy and gunicorn.")
    parser.add_argument("--only", action="append", choices=list(PARTS), metavar="PART",
                        help=f"one of {', '.join(PARTS)}; again for more; the page keeps what was "
                             "measured of the others before")
    parser.add_argument("--rounds", type=int, default=5, help="of each measurement [5]")
    parser.add_argument("--seconds", type=int, default=8, help="of a round of wrk [8]")
    parser.add_argument("--mix-seconds", type=int, default=60, help="of a round of the mix [60]")
    parser.add_argument("--megabytes", type=int, default=3000,
                        help="of the table that is backed up [3000]")
    parser.add_argument("--dry", action="store_true", help="print the page, do not write it")
    return parser.parse_args()


def expect_programs():
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        sys.exit(f"bench: not installed: {', '.join(missing)} (tests/bench/run installs them)")
    if os.cpu_count() < 2:
        sys.exit("bench: two CPUs are needed, one for the server and one for the load")


def say(result):
    print(json.dumps(result), flush=True)


def version_of(*argv):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def describe(args, idle):
    commit = version_of("git", "-C", str(ROOT), "rev-parse", "--short", "HEAD")
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs, Linux {platform.release()}",
        "peers": [version_of("nginx", "-v").split(": ")[-1],
                  "haproxy/" + version_of("haproxy", "-v").split()[2],
                  "gunicorn/" + version_of(str(args.venv / "bin/python"), "-c",
                                           "import gunicorn; print(gunicorn.__version__)")],
        "commit": commit, "rounds": args.rounds, "idle": round(idle, 2),
    }


def page(results):
    yield "# Benchmarks"
    yield ""
    yield "Written by `tests/bench/run`; do not edit. What is missed stands here as missed."
    for name, (title, part) in PARTS.items():
        yield from ("", f"## {title}", "")
        if name not in results:
            yield "Not measured yet."
            continue
        result = results[name]
        yield from part.report(result)
        yield ""
        yield (f"{result['rounds_of']} rounds at commit {result['about']['commit']}; "
               f"{result['about']['machine']}; {', '.join(result['about']['peers'])}. When it began "
               f"{result['about']['idle']:.0%} of the machine was idle.")
        for text, lines in result["profiles"].items():
            yield from ("", f"Profile of amy, {text}:", "", "```", *lines, "```")
    yield from ("", "## Raw rounds", "", "```")
    for name in PARTS:
        for one in results.get(name, {"rounds": []})["rounds"]:
            yield json.dumps(one)
    yield "```"


def main():
    args = arguments()
    expect_programs()
    TEST_BASE.mkdir(parents=True, exist_ok=True)
    requirements = APPLICATION / "requirements.txt"
    with open(TEST_BASE / "venv.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        args.venv = venv.build(TEST_BASE / f"venv-{venv.requirements_hash(requirements)}",
                               requirements)
    kept = ROOT / "build/bench.json"
    results = json.loads(kept.read_text()) if kept.exists() else {}
    for name in args.only or PARTS:
        directory = Path(tempfile.mkdtemp(prefix="bench", dir=TEST_BASE))
        make_directory(directory)
        try:
            idle = idle_share()
            result = PARTS[name][1].run(directory, args, say)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        results[name] = {"rounds_of": args.rounds, **result, "about": describe(args, idle)}
        if not args.dry:
            kept.write_text(json.dumps(results))
    text = "\n".join(page(results)) + "\n"
    print(text[:text.index("## Raw rounds")])
    if not args.dry:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
