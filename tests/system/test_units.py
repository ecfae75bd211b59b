"""The units of packaging/systemd: valid, as bounded as DESIGN.md's section 4 says, and
never less hardened than they are. How they behave is in tests/boot."""

import re
import subprocess
from pathlib import Path

import pytest
from hosting.host import binaries
from people import FRONT_MASTER, WORKERS_MASTER

UNITS = Path(__file__).resolve().parents[2] / "packaging/systemd"
OF_SITES = {"/webapps"}

# unit     capabilities    what may be written besides /run/amy, /var/lib/amy   exposure x 10
TABLE = {
    "front":   (FRONT_MASTER,   OF_SITES, 31),
    # What a site's user writes may be at any of the usual places.
    "workers": (WORKERS_MASTER, OF_SITES | {"/home", "/srv", "/mnt", "/media", "/tmp", "/var/tmp"}, 44),
    # Copies on another disk, a drill's socket, the mail of an alarm.
    "backup":  (WORKERS_MASTER, OF_SITES | {"/srv", "/mnt", "/media", "/tmp", "/var/tmp",
                                            "/var/spool/postfix", "/var/spool/exim4",
                                            "/var/log/exim4"}, 32),
}
SHARED = {"RuntimeDirectory": ["amy"], "RuntimeDirectoryMode": ["0755"],
          "RuntimeDirectoryPreserve": ["yes"], "StateDirectory": ["amy"],
          "StateDirectoryMode": ["0755"], "ProtectSystem": ["strict"], "Type": ["notify"],
          "Restart": ["always"], "KillMode": ["process"], "OOMPolicy": ["continue"]}


def settings(name):
    """What a unit sets: words by key, those of several lines together."""
    found = {}
    for line in (UNITS / f"amy-{name}.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).extend(value.split())
    return found


def test_there_is_a_unit_for_each_daemon():
    assert sorted(path.name for path in UNITS.iterdir()) == [
        f"amy-{name}.service" for name in sorted(TABLE)]


@pytest.mark.parametrize("name", TABLE)
def test_unit_is_valid(name, tmp_path):
    """With the programs where this build has them."""
    text = (UNITS / f"amy-{name}.service").read_text()
    unit = tmp_path / f"amy-{name}.service"
    unit.write_text(text.replace("=/usr/bin/", f"={binaries()}/"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True,
                          text=True, check=False, timeout=60)
    # Others of this machine it complains of, too.
    assert not [line for line in (done.stdout + done.stderr).splitlines() if "amy-" in line]


@pytest.mark.parametrize("name", TABLE)
def test_unit_is_bounded_as_the_design_says(name):
    capabilities, written, _ = TABLE[name]
    found = settings(name)
    assert set(found["CapabilityBoundingSet"]) == {f"CAP_{one}" for one in capabilities}
    assert "AmbientCapabilities" not in found
    assert "RestrictSUIDSGID" not in found, "openat2(2) would seem to be missing"
    assert {path.removeprefix("-") for path in found["ReadWritePaths"]} == written
    assert {key: found.get(key) for key in SHARED} == SHARED
    assert found["ExecStart"] == [f"/usr/bin/amy-{name}"]
    assert found["ExecReload"] == ["/usr/bin/amyctl", "reload", "--only", name]


@pytest.mark.parametrize("name", TABLE)
def test_unit_is_as_hardened_as_its_comment_says(name):
    """systemd's own figure; other versions of it count a little differently."""
    most = TABLE[name][2]
    version = subprocess.run(["systemd-analyze", "--version"], capture_output=True, text=True,
                             check=True).stdout
    slack = 0 if version.startswith("systemd 252 ") else 5
    unit = UNITS / f"amy-{name}.service"
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager",
                           f"--threshold={most + slack}", unit],
                          capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    said = re.search(r"security amy-\w+` says\s+(?:# )?([0-9.]+)", unit.read_text())[1]
    assert round(float(said) * 10) == most, "the figure in the comment"
    if slack == 0:
        assert f"{said} OK" in done.stdout, done.stdout[-200:]
