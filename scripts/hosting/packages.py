"""Debian packages of this checkout, and a version above them."""

import re
import shutil
import subprocess
from pathlib import Path


def field(deb, name):
    done = subprocess.run(["dpkg-deb", "-f", str(deb), name], check=True, text=True, stdout=subprocess.PIPE)
    return done.stdout.strip()


def raised(deb, directory):
    """The same with a higher version, in `directory`: for what an upgrade does by
    itself, whatever is in the programs."""
    tree = Path(directory) / "tree"
    _run("dpkg-deb", "--raw-extract", deb, tree)
    control = tree / "DEBIAN/control"
    text = control.read_text()
    version = field(deb, "Version")
    control.write_text(text.replace(f"Version: {version}", f"Version: {version}+1")
                       .replace(f"(= {version})", f"(= {version}+1)"))
    _run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "--build", tree, directory)
    shutil.rmtree(tree)


def wanted_by(debs):
    """Names of packages that these depend on or recommend, without each other."""
    wanted = set()
    for deb in debs:
        for name in ("Depends", "Recommends"):
            wanted |= {re.split(r"[\s(:|]", clause.strip())[0] for clause in field(deb, name).split(",")}
    return wanted - {field(deb, "Package") for deb in debs} - {""}


def _run(*argv):
    subprocess.run(list(map(str, argv)), check=True, stdout=subprocess.DEVNULL)
