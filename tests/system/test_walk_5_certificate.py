"""The walk, 5: certificates are replaced without a connection lost."""

import signal
import ssl
import subprocess

import pytest
from hosting import walk
from hosting.load import TlsLoad
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import TINY

SOON_S = 30


def leaf(host):
    with host.connect(TINY) as connection:
        return connection.certificate()


def certificate_status(host):
    return walk.site_parts(host.status(), TINY)["certificates"][0]


def directory(host):
    return host.certificates / TINY


def test_replaced_certificate_is_served_after_sighup(running):
    old = leaf(running)
    held = running.connect(TINY)
    with TlsLoad(running, TINY, "/fixed") as load:
        wait_for(lambda: load.report.answered > 100, SOON_S, "load runs")
        running.authority.issue(directory(running), [TINY], days=30)
        running.front.send(signal.SIGHUP)
        wait_for(lambda: leaf(running) != old, SOON_S, "the new certificate is served")
        new = leaf(running)
        seen = load.report.answered
        wait_for(lambda: load.report.answered > seen + 100, SOON_S, "load runs on")
        for _ in range(16):
            assert leaf(running) == new, "by every process"
        report = load.stop()
    assert report.lost == 0 and report.sent == report.answered, report
    assert load.handshakes == 8, "no connection was closed on the way"
    held.request("GET", "/fixed", {"Host": TINY})
    assert held.read_response().status == 200, "the old connection lives"
    held.close()


def test_pair_that_does_not_fit_is_refused_and_the_old_kept(running):
    old = leaf(running)
    other = running.root / "other"
    running.authority.issue(other, [TINY])
    (directory(running) / "privkey.pem").write_bytes((other / "privkey.pem").read_bytes())
    running.front.send(signal.SIGHUP)
    wait_for(lambda: certificate_status(running).get("error"), SOON_S, "status shows the fault")
    assert leaf(running) == old
    assert running.get(TINY).status == 200
    (directory(running) / "fullchain.pem").write_bytes((other / "fullchain.pem").read_bytes())
    running.front.send(signal.SIGHUP)
    wait_for(lambda: leaf(running) != old, SOON_S, "the mended pair is served")
    assert not certificate_status(running).get("error")


@pytest.mark.parametrize("name", ["fullchain.pem", "privkey.pem"])
@pytest.mark.parametrize("fault", ["empty", "garbage", "missing"])
def test_unreadable_file_is_refused_and_the_old_kept(running, name, fault):
    old = leaf(running)
    file = directory(running) / name
    if fault == "missing":
        file.unlink()
    else:
        file.write_bytes(b"" if fault == "empty" else b"-----BEGIN NOTHING-----\n" * 9)
    running.front.send(signal.SIGHUP)
    wait_for(lambda: certificate_status(running).get("error"), SOON_S, "status shows the fault")
    assert leaf(running) == old


def test_tls_is_1_3_and_older_than_1_2_is_refused(running):
    with running.connect(TINY) as connection:
        assert connection.raw.version() == "TLSv1.3"
    context = ssl.create_default_context(cafile=str(running.authority.certificate))
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    with running.connect(TINY, context=context) as connection:
        assert connection.raw.version() == "TLSv1.2"
    for old in ("-tls1", "-tls1_1"):
        # A client that would: the distribution's own settings forbid it, too.
        refused = subprocess.run(
            ["openssl", "s_client", old, "-cipher", "ALL:@SECLEVEL=0", "-connect",
             f"127.0.0.1:{running.https}", "-servername", TINY], input="", text=True,
            env=clean_environment(OPENSSL_CONF="/dev/null"), capture_output=True, check=False,
            timeout=60)
        assert refused.returncode != 0
        assert "alert protocol version" in refused.stderr, refused.stderr


def test_name_of_the_handshake_chooses_the_certificate(running, django_venv):
    with running.connect(TINY) as connection:
        names = connection.raw.getpeercert()["subjectAltName"]
    assert ("DNS", TINY) in names
    # Another site's name on this connection is not ours to answer (421).
    with running.connect(TINY) as connection:
        connection.request("GET", "/", {"Host": "other.localhost"})
        assert connection.read_response().status == 421
