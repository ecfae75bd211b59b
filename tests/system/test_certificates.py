"""Certificates: replaced without a signal, a hook or a lost connection; what is
not good is refused and told; several for one site."""

import os
import selectors
import shutil
import socket
import ssl
import statistics
import subprocess
import threading
import time

import pytest
from hosting import walk
from hosting.certificates import RSA, openssl
from hosting.host import connect_unix
from hosting.load import TlsLoad
from hosting.rawhttp import Connection, client_context
from hosting.wait import wait_for
from lineage import Lineage
from support import TINY, TINY_YAML

SOON_S = 30
# Behind the watch all is looked at each 5 s; a swap that the watch sees takes a
# tenth of a second or two.
WATCHED_S = 2
# Served within a second is the promise; ten times that is what a busy machine
# is allowed.
PROMPT_S = 10
CONNECTIONS = 1000


def leaf(host, name=TINY):
    with host.connect(name) as connection:
        return connection.certificate()


def certificates(host):
    return walk.site_parts(host.status(), TINY)["certificates"]


def fault(host):
    return certificates(host)[0].get("error")


@pytest.fixture
def lineage(tiny):
    """The site's certificate in certbot's layout, before anything starts."""
    shutil.rmtree(tiny.certificates / TINY)
    made = Lineage(tiny, TINY)
    made.renew([TINY])
    return made


@pytest.fixture
def host(tiny, lineage):
    tiny.start_workers()
    tiny.start_front()
    return tiny


def start_with(tiny, extra):
    """With more lines of site.yaml."""
    tiny.tiny.write_yaml(TINY_YAML.format(domain=TINY, user=tiny.user.name) + extra)
    tiny.start_workers()
    tiny.start_front()


# ---- a good one


class HalfHandshake:
    """A client that has sent half of its first message."""

    def __init__(self, host):
        self.raw = socket.create_connection(("127.0.0.1", host.https), timeout=60)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = client_context(host.authority.certificate).wrap_bio(
            self.incoming, self.outgoing, server_hostname=TINY)
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        hello = self.outgoing.read()
        self.raw.sendall(hello[: len(hello) // 2])
        self.rest = hello[len(hello) // 2:]

    def finish(self):
        """The answer's first line."""
        self.raw.sendall(self.rest)
        self._until(self.tls.do_handshake)
        self.tls.write(f"GET /fixed HTTP/1.1\r\nHost: {TINY}\r\n\r\n".encode())
        answer = self._until(lambda: self.tls.read(65536))
        self.raw.close()
        return answer.partition(b"\r\n")[0]

    def _until(self, step):
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                self.raw.sendall(self.outgoing.read())
                self.incoming.write(self.raw.recv(65536))
            finally:
                self.raw.sendall(self.outgoing.read())


def keep_open(host, count):
    held = []
    for _ in range(count):
        connection = host.connect(TINY)
        connection.request("GET", "/fixed", {"Host": TINY})
        assert connection.read_response().status == 200
        held.append(connection)
    return held


def test_renewed_pair_is_served_at_once_and_nobody_notices(host, lineage):
    old = leaf(host)
    held = keep_open(host, CONNECTIONS)
    with TlsLoad(host, TINY, "/fixed", connections=4) as load:
        wait_for(lambda: load.report.answered > 50, SOON_S, "load runs")
        lineage.prepare([TINY])
        # A handshake has 10 s: none of them is begun before it has to be.
        half = [HalfHandshake(host) for _ in range(20)]
        lineage.link_all()
        began = time.monotonic()
        wait_for(lambda: leaf(host) != old, PROMPT_S, "the new certificate is served")
        took = time.monotonic() - began
        assert {one.finish() for one in half} == {b"HTTP/1.1 200 OK"}
        new = leaf(host)
        assert all(leaf(host) == new for _ in range(16)), "by every process"
        bundles = {process["bundle"] for process in walk.merged(host.status(), "processes")}
        assert len(bundles) == 1, "all have acknowledged the same"
        seen = load.report.answered
        wait_for(lambda: load.report.answered > seen + 50, SOON_S, "load runs on")
        report = load.stop()
    assert took < PROMPT_S
    assert report.lost == 0 and report.sent == report.answered, report
    assert load.handshakes == 4, "no connection was closed on the way"
    for connection in held:
        connection.request("GET", "/fixed", {"Host": TINY})
        assert connection.read_response().status == 200
        assert connection.certificate() == old
        connection.close()
    assert not fault(host)


def test_swaps_are_seen_by_the_watch_and_not_by_the_look_behind_it(host, lineage):
    """Each begins as the former one is seen, and so as a look was just taken:
    with a watch that is dead it waits for the next one."""
    took = []
    for _ in range(5):
        old = leaf(host)
        lineage.prepare([TINY])
        lineage.link_all()
        began = time.monotonic()
        wait_for(lambda old=old: leaf(host) != old, PROMPT_S, "the new certificate is served")
        took.append(time.monotonic() - began)
    assert statistics.median(took) < WATCHED_S, took


def test_files_written_without_links_are_served_as_well(running):
    old = leaf(running)
    running.authority.issue(running.certificates / TINY, [TINY])
    wait_for(lambda: leaf(running) != old, PROMPT_S, "the new certificate is served")


def test_pair_between_two_links_is_no_alarm_and_one_that_stays_is(host, lineage):
    old = leaf(host)
    lineage.prepare([TINY])
    lineage.link("cert.pem")
    lineage.link("privkey.pem")
    began = time.monotonic()
    first = fault(host)
    if time.monotonic() - began < 1.5:
        assert not first, "it may be that the rest comes"
    wait_for(lambda: "the key is not that" in (fault(host) or ""), SOON_S, "it did not come")
    assert leaf(host) == old
    lineage.link("chain.pem")
    lineage.link("fullchain.pem")
    wait_for(lambda: leaf(host) != old, PROMPT_S, "the whole pair is served")
    assert not fault(host)


@pytest.mark.parametrize("live_is_there", [True, False])
def test_first_certificate_is_served_as_it_comes(tiny, live_is_there):
    """HTTPS is refused until then, and status says what is missing."""
    if live_is_there:
        shutil.rmtree(tiny.certificates / TINY)
    else:
        shutil.rmtree(tiny.certificates)
    tiny.start_workers()
    tiny.start_front()
    assert tiny.get(TINY, tls=False).status == 200
    with pytest.raises((ssl.SSLError, ConnectionError)):
        tiny.connect(TINY)
    assert f"{TINY}/fullchain.pem" in fault(tiny)
    assert "No such file" in tiny.amyctl("status").stdout
    Lineage(tiny, TINY).renew([TINY])
    wait_for(lambda: can_connect(tiny), PROMPT_S, "it is served")
    assert not fault(tiny)


def can_connect(host):
    try:
        return leaf(host)
    except (ssl.SSLError, ConnectionError):
        return None


# ---- one that is not good


# Each prepares new files, and says at which one something is wrong, and what.


def expired(lineage):
    lineage.prepare([TINY], days=1, since_days=3)
    return "fullchain.pem", "has expired"


def not_yet_valid(lineage):
    lineage.prepare([TINY], since_days=-2)
    return "fullchain.pem", "not yet valid"


def other_name(lineage):
    lineage.prepare(["other.localhost"])
    return "fullchain.pem", f"does not cover '{TINY}'"


def without_its_key(lineage):
    lineage.prepare([TINY])
    lineage.target("privkey.pem").unlink()
    return "privkey.pem", "No such file"


def key_of_another(lineage):
    lineage.prepare([TINY])
    key = openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")
    lineage.target("privkey.pem").write_bytes(key)
    return "privkey.pem", "the key is not that"


def garbage(lineage):
    lineage.prepare([TINY])
    lineage.target("fullchain.pem").write_text("-----BEGIN NOTHING-----\n" * 9)
    return "fullchain.pem", "no certificate"


def cut(lineage):
    lineage.prepare([TINY])
    text = lineage.target("fullchain.pem").read_text()
    lineage.target("fullchain.pem").write_text(text[: len(text) * 3 // 4])
    return "fullchain.pem", "cut"


def unreadable(lineage):
    """A pipe: nobody waits for its other end. (Root may read any file.)"""
    lineage.prepare([TINY])
    lineage.target("privkey.pem").unlink()
    os.mkfifo(lineage.target("privkey.pem"))
    return "privkey.pem", "not a regular file"


@pytest.mark.parametrize("spoil", [expired, not_yet_valid, other_name, without_its_key,
                                   key_of_another, garbage, cut, unreadable],
                         ids=lambda spoil: spoil.__name__)
def test_bad_pair_is_refused_and_the_old_one_served_on(host, lineage, spoil):
    old = leaf(host)
    served = certificates(host)[0]
    name, says = spoil(lineage)
    lineage.link_all()
    wait_for(lambda: says in (fault(host) or ""), SOON_S, f"status says {says!r}")
    told = certificates(host)[0]
    assert told["error_file"] == str(lineage.file(name)), "which file"
    assert told["error_since"].endswith("Z"), "since when"
    assert told["not_after"] == served["not_after"], "until when the served one is good"
    text = host.amyctl("status").stdout
    assert says in text and name in text and ", until " in text, text
    assert leaf(host) == old and host.get(TINY).status == 200
    refused = host.amyctl("reload", TINY, check=False)
    assert refused.returncode == 1 and says in refused.stderr + refused.stdout
    assert leaf(host) == old, "a reload does not change that"
    lineage.renew([TINY])
    wait_for(lambda: leaf(host) != old, PROMPT_S, "the mended pair is served")
    assert not fault(host)
    assert host.amyctl("reload", TINY).returncode == 0


# ---- what is really served


def served(host):
    return walk.site_parts(host.status(), TINY)["served"]


def test_daemon_looks_at_itself_after_each_swap(host, lineage):
    first = wait_for(lambda: served(host), SOON_S, "it has looked")
    assert not first["error"]
    lineage.renew([TINY])
    wait_for(lambda: served(host)["checked"] != first["checked"], SOON_S, "and again")
    assert not served(host)["error"]
    assert "served:" not in host.amyctl("status").stdout


@pytest.mark.root
def test_somebody_else_at_the_port_is_noticed(host, lineage):
    """As a server left over from before would be: it shares the port, and the
    kernel gives it most of the connections."""
    wait_for(lambda: served(host), SOON_S, "it has looked")
    host.authority.issue(host.root / "stranger", [TINY])
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    stranger.load_cert_chain(host.root / "stranger/fullchain.pem",
                             host.root / "stranger/privkey.pem")
    with Strangers(stranger, host.https, 100):
        lineage.renew([TINY])
        wait_for(lambda: served(host)["error"], SOON_S * 2, "status says so")
        assert "another certificate is shown" in served(host)["error"]
        assert "served: " in host.amyctl("status").stdout
        assert "what is served is not what is held" in host.front.output()
        assert 'amy_certificate_served_matches{site="tiny.localhost"} 0\n' in metrics(host)
    lineage.renew([TINY])
    wait_for(lambda: not served(host)["error"], SOON_S, "they are gone")
    assert 'amy_certificate_served_matches{site="tiny.localhost"} 1\n' in metrics(host)


def metrics(host):
    with socket.socket(socket.AF_UNIX) as raw:
        connect_unix(raw, host.run / "front-metrics.sock")
        connection = Connection(raw)
        connection.request("GET", "/metrics", {"Host": "metrics"})
        return connection.read_response().text


class Strangers:
    """Listeners that share the front's port, served by one thread."""

    def __init__(self, context, port, count):
        self.context = context
        self.stop = threading.Event()
        self.sockets = []
        for _ in range(count):
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", port))
            listener.listen()
            self.sockets.append(listener)
        self.thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(SOON_S)
        for listener in self.sockets:
            listener.close()

    def _run(self):
        # Not select(2): other tests of this process may have a thousand open.
        with selectors.DefaultSelector() as selector:
            for listener in self.sockets:
                selector.register(listener, selectors.EVENT_READ)
            while not self.stop.is_set():
                for key, _ in selector.select(0.1):
                    self._greet(key.fileobj)

    def _greet(self, listener):
        raw, _ = listener.accept()
        raw.settimeout(SOON_S)
        try:
            self.context.wrap_socket(raw, server_side=True).close()
        except OSError:
            raw.close()


# ---- several


RSA_ONLY = "ECDHE-RSA-AES128-GCM-SHA256"
EC_ONLY = "ECDHE-ECDSA-AES128-GCM-SHA256"


def leaf_by(host, ciphers, name=TINY):
    """What a client of TLS 1.2 gets that takes nothing else."""
    context = ssl.create_default_context(cafile=str(host.authority.certificate))
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(ciphers)
    with host.connect(name, context=context) as connection:
        return connection.certificate()


def signature_shown(host, signatures):
    """By TLS 1.3, to a client that verifies only these."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{host.https}", "-servername", TINY,
         "-tls1_3", "-sigalgs", signatures], input="", capture_output=True, text=True, check=False)
    return [line.partition(": ")[2] for line in done.stdout.splitlines()
            if line.startswith("Peer signature type")]


def test_rsa_beside_ec_for_those_who_need_it(host, lineage):
    """`auto` finds it as it appears."""
    with pytest.raises(ssl.SSLError):
        leaf_by(host, RSA_ONLY)
    Lineage(host, f"{TINY}-rsa").renew([TINY], new_key=RSA)
    wait_for(lambda: len(certificates(host)) == 2 and certificates(host)[1].get("key_type"),
             PROMPT_S, "both are known")
    assert [one["key_type"] for one in certificates(host)] == ["EC P-256", "RSA 2048"]
    assert leaf_by(host, EC_ONLY) != leaf_by(host, RSA_ONLY)
    assert leaf_by(host, f"{RSA_ONLY}:{EC_ONLY}") == leaf_by(host, EC_ONLY), "EC is cheaper"
    assert signature_shown(host, "rsa_pss_rsae_sha256") == ["RSA-PSS"]
    assert signature_shown(host, "ecdsa_secp256r1_sha256") == ["ECDSA"]
    assert host.get(TINY).status == 200


def test_one_of_two_is_renewed_and_one_refused(tiny, lineage):
    rsa = Lineage(tiny, "by-another-name")
    rsa.renew([TINY], new_key=RSA)
    start_with(tiny, f"tls: {{certificates: [{{certificate: {TINY}}}, "
                     f"{{certificate: {rsa.file('fullchain.pem')}, "
                     f"key: {rsa.file('privkey.pem')}}}]}}\n")
    ec_leaf, rsa_leaf = leaf_by(tiny, EC_ONLY), leaf_by(tiny, RSA_ONLY)
    lineage.renew(["other.localhost"])
    rsa.renew([TINY], new_key=RSA)
    wait_for(lambda: leaf_by(tiny, RSA_ONLY) != rsa_leaf, PROMPT_S, "the good one is served")
    wait_for(lambda: fault(tiny), SOON_S, "the other one is told")
    assert leaf_by(tiny, EC_ONLY) == ec_leaf
    assert not certificates(tiny)[1].get("error")


def test_alias_has_a_certificate_of_its_own(tiny, lineage):
    """Found by the alias's name, or covered by a wildcard that is listed."""
    Lineage(tiny, "alias.localhost").renew(["alias.localhost"])
    start_with(tiny, "aliases: [alias.localhost]\n")
    assert leaf(tiny) != leaf(tiny, "alias.localhost"), "each verified by its client"
    with tiny.connect(TINY) as connection:
        connection.request("GET", "/fixed", {"Host": "alias.localhost"})
        assert connection.read_response().status == 421, "not over this certificate"
    with tiny.connect("alias.localhost") as connection:
        connection.request("GET", "/fixed", {"Host": "alias.localhost"})
        assert connection.read_response().status == 200


def test_alias_without_a_certificate_is_told(tiny, lineage):
    start_with(tiny, "aliases: [bare.localhost]\n")
    assert walk.site_parts(tiny.status(), TINY)["uncovered"] == ["bare.localhost"]
    assert "warning: no certificate covers bare.localhost" in tiny.amyctl("status").stdout
    assert "no certificate of the site covers 'bare.localhost'" in tiny.front.output()
    lineage.renew([TINY, "bare.localhost"])
    wait_for(lambda: not walk.site_parts(tiny.status(), TINY)["uncovered"], PROMPT_S,
             "the new one covers it")
    assert "covers" not in tiny.amyctl("status").stdout


def test_wildcard_covers_an_alias(tiny, lineage):
    Lineage(tiny, "wild").renew(["*.sub.localhost"])
    start_with(tiny, "aliases: [a.sub.localhost, b.sub.localhost]\n"
                     f"tls: {{certificates: [{{certificate: {TINY}}}, {{certificate: wild}}]}}\n")
    assert leaf(tiny, "a.sub.localhost") == leaf(tiny, "b.sub.localhost") != leaf(tiny)
    with tiny.connect("a.sub.localhost") as connection:
        connection.request("GET", "/fixed", {"Host": "b.sub.localhost"})
        assert connection.read_response().status == 200, "one certificate, one connection"
