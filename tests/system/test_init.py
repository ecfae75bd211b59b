"""amyctl init: a directory that the daemons take, and a user for it."""

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from hosting import users, venv
from hosting.host import binaries, sanitizer_options
from hosting.site import copy_file, make_directory
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import HERE

NEW = "new.localhost"


def test_a_new_site_is_found_and_serves(new_host, django_venv):
    """From an empty host to a page, by init and what it says is next."""
    host = new_host()
    site = host.site(NEW)
    shutil.rmtree(site.directory)
    host.start_front()
    host.start_workers(ready=False)
    init = ("init", NEW, "--user", host.user.name, "--wsgi", "tiny:application")

    plan = json.loads(host.amyctl(*init, "--dry-run", "--json").stdout)
    assert plan["changed"] and not site.directory.exists()

    done = json.loads(host.amyctl(*init, "--json").stdout)
    assert done["changed"] and not done["differs"] and done["front"] == "", done
    assert [one["name"].rpartition("/")[2] for one in done["items"]] == [
        f"user {host.user.name}", NEW, "logs", "DB_backups", "static", "media", "repo", "acme",
        "maintenance_off.html", "site.yaml"]
    assert NEW in [one["site"] for one in host.daemon_status("front")["sites"]]
    # What certbot --webroot puts there.
    challenge = site.directory / "acme/.well-known/acme-challenge/token"
    challenge.parent.mkdir(parents=True)
    challenge.write_text("proof")
    assert host.get(NEW, "/.well-known/acme-challenge/token", tls=False).body == b"proof"

    copy_file(HERE / "apps/tiny.py", site.repo / "tiny.py")
    venv.build_over(site.venv, django_venv)
    site.yaml.write_text(site.yaml.read_text().replace("#http: redirect", "http: serve   "))
    host.amyctl("reload", NEW)
    wait_for(lambda: host.get(NEW, "/healthz", tls=False).status == 200, 30, "it serves")

    again = json.loads(host.amyctl("init", NEW, "--json").stdout)
    assert not again["changed"], again
    assert "http: serve" in site.yaml.read_text()


def test_what_is_to_be_done_next_is_said(new_host):
    host = new_host()
    shutil.rmtree(host.site(NEW).directory)
    said = host.amyctl("init", NEW, "--user", host.user.name, "--alias", "www.new.localhost").stdout
    assert "amy-front does not run" in said
    assert f"{host.webapps}/{NEW}/repo" in said
    assert f"amyctl deploy {NEW}; or" in said and f"amyctl reload {NEW}" in said
    if users.is_root():
        assert (f"certbot certonly --webroot -w {host.webapps}/{NEW}/acme -d {NEW} "
                "-d www.new.localhost") in said
    (host.webapps / NEW / "logs").chmod(0o777)
    said = host.amyctl("init", NEW).stdout
    assert "differs" in said and "mode 0777; right would be" in said and "Nothing to add" in said


@pytest.mark.parametrize("words, code, why", [
    (("bad_name",), 1, "'bad_name' is no domain: only a-z, 0-9, '-' and '.' are allowed"),
    ((NEW, "--user", "root"), 1, "'root' is refused"),
    ((NEW, "--wsgi", "no;such"), 1, "no module:callable"),
    ((NEW, "--alias", "www.new.localhost,Bad"), 1, "capital letters"),
    ((NEW, "--deployer", "amy-nobody-at-all"), 1, "amy-nobody-at-all"),
    ((NEW, "--stage", "staging"), 2, "--stage is production or test"),
    ((), 2, "usage: amyctl init DOMAIN"),
])
def test_bad_words_are_refused(new_host, words, code, why):
    host = new_host()
    shutil.rmtree(host.site(NEW).directory)
    done = host.amyctl("init", *words, check=False)
    assert done.returncode == code and why in done.stderr, done
    assert not (host.webapps / NEW).exists()


@pytest.mark.root
def test_a_user_is_made(new_host):
    """With an /etc of its own, so that this machine gets no user."""
    host = new_host()
    shutil.rmtree(host.site(NEW).directory)
    etc = host.root / "etc"
    make_directory(etc)
    for name in ("passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf"):
        shutil.copy2(f"/etc/{name}", etc / name)
    command = " ".join(map(str, host.amyctl_argv("init", NEW, "--json")))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec",
         f"mount --bind {etc} /etc; {command}; {command} >&2; exec id amy-new"],
        env=clean_environment(**sanitizer_options()), cwd="/", stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=True, timeout=60)
    report, end = json.JSONDecoder().raw_decode(done.stdout)
    assert report["items"][0] == {"name": "user amy-new", "result": "added",
                                  "message": "a system user without a login"}
    assert "(amy-new)" in done.stdout[end:]
    assert not json.loads(done.stderr)["changed"], done.stderr
    entry = next(line.split(":") for line in (etc / "passwd").read_text().splitlines()
                 if line.startswith("amy-new:"))
    assert entry[5:] == ["/nonexistent", "/usr/sbin/nologin"]
    assert int(entry[2]) < 1000
    logs = (host.webapps / NEW / "logs").stat()
    assert logs.st_uid == int(entry[2]) and stat.S_IMODE(logs.st_mode) == 0o750
    media = (host.webapps / NEW / "media").stat()
    assert media.st_gid == users.front_user().gid


@pytest.mark.root
def test_without_means_to_make_a_user_it_says_so(new_host):
    """As in a container; nothing is there after it but what was told."""
    host = new_host()
    shutil.rmtree(host.site(NEW).directory)
    empty = host.root / "sbin"
    make_directory(empty)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec",
         f"mount --bind {empty} /usr/sbin; exec \"$@\"", "sh",
         *map(str, host.amyctl_argv("init", NEW))],
        env=clean_environment(**sanitizer_options()), cwd="/", stdin=subprocess.DEVNULL,
        capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done
    assert "there is no user 'amy-new', and no /usr/sbin/useradd" in done.stderr
    assert not (host.webapps / NEW).exists()


def test_of_two_at_once_one_makes_each_piece(new_host):
    """Neither is harmed; a third finds all of it made."""
    host = new_host()
    shutil.rmtree(host.site(NEW).directory)
    argv = list(map(str, host.amyctl_argv("init", NEW, "--user", host.user.name)))
    both = [subprocess.Popen(argv, env=clean_environment(**sanitizer_options()), cwd="/",
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True) for _ in range(2)]
    said = [one.communicate(timeout=60)[1] for one in both]
    assert 0 in [one.returncode for one in both], said
    for one, words in zip(both, said, strict=True):
        assert one.returncode == 0 or "another" in words or "File exists" in words, words
    again = json.loads(host.amyctl("init", NEW, "--json").stdout)
    assert not again["changed"] and not again["differs"], again
    assert not Path(host.webapps / NEW / ".amy-init").exists()
