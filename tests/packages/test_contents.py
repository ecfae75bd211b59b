"""What the packages are: by lintian, by their lists, and made how."""

import hashlib
import re
import subprocess

import pytest

from conftest import TOP


def listed(deb):
    """Path to mode and owner, as the package has them."""
    output = subprocess.run(["dpkg-deb", "--contents", deb], check=True, capture_output=True, text=True).stdout
    rows = [line.split(maxsplit=5) for line in output.splitlines()]
    return {row[5].split(" -> ")[0].lstrip("."): (row[0], row[1]) for row in rows}


def test_lintian_has_nothing_to_say(packages):
    done = subprocess.run(["lintian", "--info", "--display-info", "--fail-on", "error,warning",
                           "--allow-root", *packages.all, *packages.directory.glob("source/*.dsc")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_file_is_roots_and_writable_by_root_alone(packages):
    for deb in packages.all:
        for path, (mode, owner) in listed(deb).items():
            assert owner == "root/root", path
            assert mode[0] == "l" or (mode[5], mode[8]) == ("-", "-"), f"{path} {mode}"
            assert not set(mode) & set("sStT"), f"{path} {mode}"


def test_each_package_has_what_it_is_for(packages):
    has = {name: " ".join(listed(packages[name])) for name in ("libamy0", "libamy-dev", "amy", "python3-amy")}
    for program in ("amy-front", "amy-workers", "amy-backup", "amyctl"):
        assert f"/usr/bin/{program}" in has["amy"]
        assert re.search(rf"/man/man[18]/{program}\.[18]\.gz", has["amy"])
    for unit in (TOP / "packaging/systemd").glob("*.service"):
        assert f"/lib/systemd/system/{unit.name}" in has["amy"]
    assert re.search(r"/libamy\.so\.[0-9.]+ ", has["libamy0"] + " ")
    for header in (TOP / "include/amy").glob("*.h"):
        assert f"/usr/include/amy/{header.name}" in has["libamy-dev"]
        if (TOP / f"docs/api/{header.stem}.md").exists():
            assert f"/api/{header.stem}.md" in has["libamy-dev"]
    for file in ("/libamy.so", "/pkgconfig/amy.pc", "/man3/libamy.3.gz"):
        assert file in has["libamy-dev"]
    for file in ("/dist-packages/amy/_native.abi3.so", "/dist-packages/amy/contrib/django/apps.py"):
        assert file in has["python3-amy"]


def test_what_is_opened_at_run_time_is_recommended(packages):
    fields = subprocess.run(["dpkg-deb", "--field", packages["amy"], "Recommends"],
                            check=True, capture_output=True, text=True).stdout
    for wanted in ("libpq5", "libcurl4", "libhiredis", "libevent-extra", "postgresql-client"):
        assert re.search(rf"\b{wanted}", fields), fields


def test_the_build_dependencies_are_those_of_the_scripts():
    scripts = re.search(r"^BUILD_PACKAGES=\(([^)]*)\)", (TOP / "scripts/lib.sh").read_text(), re.M)[1]
    control = (TOP / "packaging/debian/control").read_text().split("\n\n")[0]
    essential = {"gcc", "libc6-dev"}
    for package in set(scripts.split()) - essential:
        assert re.search(rf"^ .*\b{re.escape(package)}\b", control, re.M), package


def digests(directory):
    return {str(file.relative_to(directory)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in directory.rglob("*") if file.is_file() and file.suffix != ".buildinfo"}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_second_build_is_the_same_to_the_last_bit(packages, tmp_path):
    subprocess.run([TOP / "packaging/build", tmp_path], check=True)
    assert digests(tmp_path) == digests(packages.directory)


def test_a_version_that_is_none_is_refused(tmp_path):
    done = subprocess.run([TOP / "packaging/build", "--version", "of today", tmp_path],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "of today" in done.stderr
    assert not list(tmp_path.iterdir())
