"""amy.gate over a directory, without any daemon."""

from datetime import datetime, timedelta, timezone

import pytest
from amy import Code, Error, gate
from hosting.wait import wait_for


@pytest.fixture
def one(tmp_path):
    with gate.Gate(tmp_path, retry_after_s=30) as made:
        yield made


def test_open_without_a_page(one):
    view = one.look()
    assert not view.closed and view.page == b"" and view.warning == "" and view.by == ""
    assert view.retry_after_s == 30
    assert abs(datetime.now(timezone.utc) - view.since) < timedelta(minutes=1)


def test_closing_renames_the_page_and_opening_renames_it_back(one, tmp_path):
    (tmp_path / "maintenance_off.html").write_text("closed for today")
    one.close("somebody")
    assert one.is_closed and one.view().by == "somebody"
    assert one.view().page == b"closed for today"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["maintenance_on.html"]
    one.close("somebody else")
    assert one.view().by == "somebody", "closed already"
    one.open("x")
    assert not one.is_closed
    assert [path.name for path in tmp_path.iterdir()] == ["maintenance_off.html"]


def test_a_name_that_is_cut_within_a_character(one):
    one.close("ü" * 50)
    assert one.view().by.startswith("ü" * 31)


def test_closing_without_a_page_writes_one(one, tmp_path):
    one.close()
    assert b"<html" in (tmp_path / "maintenance_on.html").read_bytes()


def test_a_page_that_is_empty_is_told(one, tmp_path):
    (tmp_path / "maintenance_on.html").touch()
    assert one.look().closed
    assert "is empty" in one.view().warning and b"<html" in one.view().page


def test_waiting_sees_what_others_rename(one, tmp_path):
    assert not one.wait(0.01)
    (tmp_path / "maintenance_on.html").write_text("page")
    assert one.wait(60) and one.view().closed
    # State first, and the page when it rests.
    wait_for(lambda: one.view().page == b"page" or one.wait(1), 60, "the page is read")
    (tmp_path / "maintenance_on.html").rename(tmp_path / "maintenance_off.html")
    wait_for(lambda: one.wait(60) and not one.view().closed, 60, "it is open")


def test_each_changes_ends_one_wait(one, tmp_path):
    one.close()
    assert one.wait(60)
    assert not one.wait(0)


def test_a_directory_that_is_gone(one, tmp_path):
    tmp_path.rmdir()
    with pytest.raises(Error) as caught:
        one.look()
    assert caught.value.code is Code.ENOTFOUND


def test_one_that_was_freed(tmp_path):
    one = gate.Gate(tmp_path)
    one.free()
    one.free()
    for call in (one.look, one.view, one.close, one.open, one.wait):
        with pytest.raises(Error) as caught:
            call()
        assert caught.value.code is Code.ESTATE


@pytest.mark.parametrize("number", [-1, 2**32])
def test_numbers_that_do_not_fit(tmp_path, one, number):
    for call in (lambda: gate.Gate(tmp_path, retry_after_s=number), lambda: one.wait(number * 1000)):
        with pytest.raises(Error) as caught:
            call()
        assert caught.value.code is Code.EINVAL
