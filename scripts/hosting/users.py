"""Who runs what: real users when started by root, else one person for all."""

import grp
import os
import pwd
import subprocess
from dataclasses import dataclass

SITE_USER = "amy-demo"
FRONT_USER = "amy"
ADMIN_GROUP = "amy-admin"
NOWHERE = "/nonexistent"


@dataclass(frozen=True)
class User:
    name: str
    uid: int
    gid: int

    @classmethod
    def named(cls, name):
        entry = pwd.getpwnam(name)
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid)

    @classmethod
    def by_uid(cls, uid):
        return cls.named(pwd.getpwuid(uid).pw_name)


def is_root():
    return os.geteuid() == 0


def ourselves():
    return User.by_uid(os.geteuid())


def site_user():
    return User.named(SITE_USER) if is_root() else ourselves()


def front_user():
    return User.named(FRONT_USER) if is_root() else ourselves()


def as_user(user, argv, death_signal=None):
    """argv that becomes `user` (None: stays as it is) by exec, keeping the pid.

    death_signal reaches the program when whoever started it dies.
    """
    options = []
    if user is not None and user.uid != os.geteuid():
        options += [f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups"]
    if death_signal:
        options += ["--pdeathsig", death_signal]
    return ["setpriv", *options, "--", *map(str, argv)] if options else list(map(str, argv))


def clean_environment(**more):
    """Nothing of whoever started us but what is named here."""
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        **more,
    }


def group_id(name):
    return grp.getgrnam(name).gr_gid


def _exists(lookup, name):
    try:
        lookup(name)
    except KeyError:
        return False
    return True


def create_missing(*names):
    """As root: the users amy and amy-demo (or `names`) and the group amy-admin."""
    for name in names or (FRONT_USER, SITE_USER):
        if not _exists(pwd.getpwnam, name):
            _run("useradd", "--system", "--user-group", "--no-create-home",
                 "--home-dir", NOWHERE, "--shell", "/usr/sbin/nologin", name)
    if not _exists(grp.getgrnam, ADMIN_GROUP):
        _run("groupadd", "--system", ADMIN_GROUP)


def _run(*argv):
    subprocess.run(argv, check=True, env=clean_environment(), stdin=subprocess.DEVNULL)


def can_traverse(user, path):
    """May that user reach this directory?"""
    argv = as_user(user, ["test", "-x", path])
    return subprocess.run(argv, env=clean_environment(), check=False).returncode == 0
