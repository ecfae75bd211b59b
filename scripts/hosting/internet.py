"""A network of its own for a machine under test: its own names, its own Let's
Encrypt, its own visitors. Nothing of it is seen from outside, and it is gone
with the process that made it."""

import contextlib
import ctypes
import os
import socket
import threading

from hosting.debian import run
from hosting.rawhttp import Connection, client_context
from hosting.services import Pebble

ADDRESS, MACHINE = "10.9.8.1", "10.9.8.2"
LINK = "outside"  # this end of the cable; the machine calls the other one eth0
CERTIFIER = "acme.internet.test"
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


class Internet:
    """A network namespace that lives as long as its descriptor is open. Every
    name but the certifier's is the machine's."""

    def __init__(self, directory):
        self.directory = directory
        self.namespace = None
        self.pebble = None

    def start(self):
        self.namespace = new_namespace()
        with self.entered():
            run(["ip", "link", "set", "lo", "up"])
            # Before the machine has its end of the cable, for others to listen there.
            run(["ip", "address", "add", f"{ADDRESS}/32", "dev", "lo"])
            self.pebble = Pebble(self.directory / "pebble", 80, CERTIFIER, ADDRESS, MACHINE,
                                 dns=53)
            self.pebble.start()

    def stop(self):
        if self.pebble is not None:
            self.pebble.stop()
        if self.namespace is not None:
            os.close(self.namespace)
        self.pebble = self.namespace = None

    @contextlib.contextmanager
    def entered(self):
        """This thread's sockets and children are made there meanwhile."""
        own = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            enter(self.namespace)
            yield
        finally:
            enter(own)
            os.close(own)

    def unplug(self):
        """What a machine has left of its cable, whose power was cut."""
        with self.entered():
            if LINK in (name for _, name in socket.if_nameindex()):
                with contextlib.suppress(RuntimeError):  # gone meanwhile
                    run(["ip", "link", "delete", LINK])

    def plug_in(self):
        """The machine has brought its cable: see --network-veth-extra."""
        with self.entered():
            run(["ip", "link", "set", LINK, "up"])
            run(["ip", "route", "replace", f"{MACHINE}/32", "dev", LINK, "src", ADDRESS])

    # ---- visitors

    def connect(self, domain, tls=True, timeout_s=60):
        """A visitor's connection to the machine."""
        with self.entered():
            raw = socket.create_connection((MACHINE, 443 if tls else 80), timeout=timeout_s)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            raw = client_context(self.pebble.certificate).wrap_socket(raw, server_hostname=domain)
        return Connection(raw)

    def get(self, domain, path="/", method="GET", headers=None, body=b"", tls=True):
        """One request on a connection of its own."""
        with self.connect(domain, tls) as connection:
            fields = {"Host": domain, "Connection": "close", **(headers or {})}
            connection.request(method, path, fields, body)
            return connection.read_response(method)


def enter(namespace):
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def new_namespace():
    """Made by a thread that ends with it; only the descriptor stays."""
    made = []

    def make():
        if _libc.unshare(CLONE_NEWNET) == 0:
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if not made:
        raise OSError("no network namespace could be made")
    return made[0]
