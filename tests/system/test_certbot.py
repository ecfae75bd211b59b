"""certbot as the distribution has it, against Pebble, by webroot through
amy-front's port 80, and with no hook at all."""

import shutil
import ssl
import subprocess

import pytest
from hosting import walk
from hosting.load import TlsLoad
from hosting.services import Pebble
from hosting.users import clean_environment
from hosting.wait import wait_for
from support import TINY

SOON_S = 30
PROMPT_S = 10  # "within a second", on a busy machine


class Certbot:
    """With everything of its own below the host's root."""

    def __init__(self, host, pebble):
        self.host, self.pebble = host, pebble
        self.directory = host.root / "letsencrypt"

    def run(self, *arguments):
        argv = ["certbot", *arguments, "--non-interactive", "--server", self.pebble.url,
                "--config-dir", self.directory, "--work-dir", self.host.root / "certbot-work",
                "--logs-dir", self.host.root / "certbot-logs"]
        done = subprocess.run(
            [str(word) for word in argv], capture_output=True, text=True, check=False, timeout=300,
            env=clean_environment(REQUESTS_CA_BUNDLE=str(self.pebble.authority.certificate)))
        assert done.returncode == 0, done.stdout + done.stderr

    def issue(self, name=TINY, domains=(TINY,), key_type="ecdsa"):
        self.run("certonly", "--webroot", "-w", self.host.tiny.directory / "acme",
                 "--agree-tos", "-m", "ops@example.org", "--no-eff-email",
                 "--cert-name", name, "--key-type", key_type,
                 *(word for domain in domains for word in ("-d", domain)))

    def renew(self, name=TINY):
        self.run("renew", "--force-renewal", "--no-random-sleep-on-renew", "--cert-name", name)


@pytest.fixture
def certbot(tiny):
    """Nothing is there yet, not even certbot's directory."""
    made = Certbot(tiny, Pebble(tiny.root / "pebble", tiny.http))
    shutil.rmtree(tiny.certificates)
    tiny.certificates = made.directory / "live"
    tiny.write_settings()
    (tiny.tiny.directory / "acme").mkdir()
    tiny.start_workers()
    tiny.start_front()
    try:
        made.pebble.start()
        tiny.authority = made.pebble  # whom visitors trust
        yield made
    finally:
        made.pebble.stop()


def leaf(host):
    with host.connect(TINY) as connection:
        return connection.certificate()


def can_connect(host):
    try:
        return leaf(host)
    except (ssl.SSLError, ConnectionError):
        return None


def certificates(host):
    return walk.site_parts(host.status(), TINY)["certificates"]


def test_first_issue_and_renewal_need_no_hook(certbot):
    host = certbot.host
    assert can_connect(host) is None, "HTTPS is refused"
    assert "No such file" in certificates(host)[0]["error"]
    certbot.issue()
    wait_for(lambda: can_connect(host), PROMPT_S, "the first certificate is served")
    assert not certificates(host)[0].get("error")
    first = leaf(host)
    with TlsLoad(host, TINY, "/fixed") as load:
        wait_for(lambda: load.report.answered > 50, SOON_S, "load runs")
        certbot.renew()
        wait_for(lambda: leaf(host) != first, PROMPT_S, "the renewed one is served")
        second = leaf(host)
        assert all(leaf(host) == second for _ in range(16)), "by every process"
        report = load.stop()
    assert report.lost == 0 and report.sent == report.answered, report
    assert load.handshakes == 8, "no connection was lost"
    log = host.front.output()
    assert "refused" not in log, "nothing that certbot wrote on the way was an alarm"
    assert certificates(host)[0]["names"] == [TINY]


def test_closed_site_is_renewed_too(certbot):
    host = certbot.host
    host.amyctl("maintenance", "on", TINY)
    assert host.get(TINY, tls=False).status == 503
    certbot.issue()
    wait_for(lambda: can_connect(host), PROMPT_S, "its certificate is served")
    with host.connect(TINY) as connection:
        connection.request("GET", "/fixed", {"Host": TINY})
        assert connection.read_response().status == 503


def test_both_key_types_by_the_name_that_certbot_is_told(certbot):
    host = certbot.host
    certbot.issue()
    certbot.issue(f"{TINY}-rsa", key_type="rsa")
    wait_for(lambda: [one.get("key_type") for one in certificates(host)]
             == ["EC P-256", "RSA 2048"], PROMPT_S, "both are served")
