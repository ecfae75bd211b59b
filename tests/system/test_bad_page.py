"""Bad input: maintenance files. Present means closed, whatever it holds."""

import os

import pytest
from hosting import walk
from hosting.users import is_root
from hosting.wait import wait_for
from support import TINY

SEEN_S = 20
SECRET = "not for visitors"


def empty(path):
    path.write_bytes(b"")


def huge(path):
    with open(path, "wb") as file:
        file.truncate(50 << 20)


def unreadable(path):
    path.write_text(SECRET if not is_root() else "")
    path.chmod(0)


def link(path):
    secret = path.parent / "secret.txt"
    secret.write_text(SECRET)
    path.symlink_to(secret)


def dangling_link(path):
    path.symlink_to("nowhere")


def directory(path):
    path.mkdir()


def fifo(path):
    os.mkfifo(path)


@pytest.mark.parametrize("make", [empty, huge, unreadable, link, dangling_link, directory, fifo],
                         ids=lambda make: make.__name__)
@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_odd_page_closes_with_the_built_in_one(tiny, make, when):
    site = tiny.tiny
    site.maintenance_off.unlink()
    if when == "before the start":
        make(site.maintenance_on)
    tiny.start_workers()
    tiny.start_front()
    if when == "while it runs":
        make(site.maintenance_on)
    answer = wait_for(
        lambda: (got := tiny.get(TINY, tls=False)).status == 503 and got, SEEN_S, "closed")
    assert answer.get("content-type").startswith("text/html")
    assert b"<html" in answer.body and len(answer.body) < 1 << 20
    assert SECRET not in answer.text
    gate = walk.site_parts(tiny.status(), TINY)["gate"]
    assert gate["state"] == "closed" and gate["warning"], gate
    remove(site.maintenance_on)
    wait_for(lambda: tiny.get(TINY, tls=False).status == 200, SEEN_S, "open again")


def remove(path):
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


def test_both_files_present_is_closed_and_off_keeps_both(running):
    site = running.tiny
    site.maintenance_on.write_text("<html>the page that is on</html>")
    site.maintenance_off.write_text("<html>the page that is off</html>")
    wait_for(lambda: b"that is on" in running.get(TINY, tls=False).body, SEEN_S, "closed")
    running.amyctl("maintenance", "off", TINY)
    assert running.get(TINY, tls=False).status == 200
    assert "that is on" in site.maintenance_off.read_text()
    saved = site.directory / "maintenance_off.html.saved"
    assert "that is off" in saved.read_text()


def test_on_without_any_page_writes_the_built_in_one(running):
    site = running.tiny
    site.maintenance_off.unlink()
    running.amyctl("maintenance", "on", TINY)
    answer = running.get(TINY, tls=False)
    assert answer.status == 503 and b"<html" in answer.body
    assert site.maintenance_on.stat().st_size > 0
    running.amyctl("maintenance", "off", TINY)
    assert site.maintenance_off.exists()


def test_page_changed_while_closed_is_shown(running):
    running.amyctl("maintenance", "on", TINY)
    new = running.tiny.directory / "new.html"
    new.write_text("<html>another page</html>")
    new.rename(running.tiny.maintenance_on)
    wait_for(lambda: b"another page" in running.get(TINY, tls=False).body, SEEN_S, "the new page")


def test_page_of_a_mebibyte_is_shown_whole(running):
    page = b"<html>" + b"x" * ((1 << 20) - 13) + b"</html>"
    running.tiny.maintenance_off.write_bytes(page)
    running.amyctl("maintenance", "on", TINY)
    walk.expect_page(running.get(TINY, tls=False), page, "GET")
    walk.expect_page(running.get(TINY), page, "GET")
