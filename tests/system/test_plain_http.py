"""Plain HTTP redirects to HTTPS, and what does not: paths and peers that
site.yaml names, and clients of a trusted load balancer that ended TLS itself.
"""

import socket

import pytest
from hosting.rawhttp import Connection
from hosting.wait import wait_for
from scripted import SOON_S, WIRE, deploy_wire, start_worker

PEER = "127.0.0.2"        # a CDN, say: served everything
TRUSTED = "127.0.0.3"     # a load balancer whose fields are believed
STRANGER = "127.0.0.4"
MODES = {
    "redirect": f"{{except: [/healthy], peers: [{PEER}/32]}}",
    "off": f"{{mode: off, except: [/healthy], peers: [{PEER}/32]}}",
}
OFF = "off.localhost"


@pytest.fixture(scope="module")
def wire(host_for_module):
    host = host_for_module
    for domain, mode in ((WIRE, "redirect"), (OFF, "off")):
        site = deploy_wire(host, domain, health="false")
        site.write_yaml(site.yaml.read_text().replace("http: serve", f"http: {MODES[mode]}"))
    host.write_settings(trusted=[f"{TRUSTED}/32"])
    host.start_front()
    host.worker = start_worker(host)
    wait_for(lambda: host.get(WIRE).status == 200, SOON_S, "the worker is found")
    yield host
    host.worker.stop()


def get(host, path, source=STRANGER, method="GET", domain=WIRE, **fields):
    """Over plain HTTP, from that address."""
    raw = socket.create_connection(("127.0.0.1", host.http), timeout=SOON_S,
                                   source_address=(source, 0))
    with Connection(raw) as connection:
        fields = {name.replace("_", "-"): value for name, value in fields.items()}
        connection.request(method, path, {"Host": domain, "Connection": "close", **fields})
        return connection.read_response(method)


@pytest.mark.parametrize("path", ["/", "/healthy/", "/healthy/x", "/healthyx", "/HEALTHY",
                                  "/x?/healthy"])
def test_strangers_are_redirected(wire, path):
    response = get(wire, path)
    assert response.status == 301
    assert response.get("location") == f"https://{WIRE}:{wire.https}{path}"
    assert get(wire, path, method="POST").status == 308


@pytest.mark.parametrize("path", ["/healthy", "/healthy?deep=1"])
def test_listed_path_is_served(wire, path):
    assert get(wire, path).status == 200
    assert wire.worker.last(path).get("x-forwarded-proto") == "http", "as it was"


def test_listed_peer_is_served_everything(wire):
    assert get(wire, "/any", source=PEER).status == 200
    request = wire.worker.last("/any")
    assert request.get("x-forwarded-proto") == "http"
    assert request.get("x-forwarded-for") == PEER


def test_peer_is_who_connects_and_not_who_is_named(wire):
    assert get(wire, "/", X_Forwarded_For=PEER, X_Real_IP=PEER).status == 301
    assert get(wire, "/", source=TRUSTED, X_Forwarded_For=PEER).status == 301


def test_trusted_balancer_that_ended_tls_is_not_sent_in_circles(wire):
    ended = get(wire, "/ended", source=TRUSTED, X_Forwarded_Proto="https", X_Forwarded_For="192.0.2.1")
    assert ended.status == 200
    request = wire.worker.last("/ended")
    assert request.get("x-forwarded-proto") == "https"
    assert request.get("x-real-ip") == "192.0.2.1"
    plain = get(wire, "/plain", source=TRUSTED, X_Forwarded_Proto="http")
    assert plain.status == 301, "its client came without TLS"


@pytest.mark.parametrize("source", [STRANGER, PEER])
def test_who_is_not_trusted_does_not_speak_of_tls(wire, source):
    response = get(wire, "/lies", source=source, X_Forwarded_Proto="https")
    if source == STRANGER:
        assert response.status == 301
    else:
        assert wire.worker.last("/lies").get("x-forwarded-proto") == "http"


def test_off_with_exceptions(wire):
    assert get(wire, "/", domain=OFF).status == 421
    # Its pool has no worker here: that it is asked for at all is the point.
    assert get(wire, "/static/a.txt", domain=OFF).status == 421
    assert get(wire, "/static/a.txt", domain=OFF, source=PEER).status == 200


def test_challenges_need_no_exception(wire):
    assert get(wire, "/.well-known/acme-challenge/x").status == 404


def test_closed_site_says_so_before_it_redirects(wire):
    wire.amyctl("maintenance", "on", WIRE)
    try:
        assert get(wire, "/").status == 503
        assert get(wire, "/healthy").status == 503
    finally:
        wire.amyctl("maintenance", "off", WIRE)
