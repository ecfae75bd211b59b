"""WebSocket clients, many at once, out of the standard library (RFC 6455)."""

import asyncio
import base64
import hashlib
import os
import ssl
import struct

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE = 1, 8
# What a scripted worker says to it.
AGREED = (b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
          b"Sec-WebSocket-Accept: as-the-worker-says\r\n\r\n")


def ask(domain, path="/", key="AAECAwQFBgcICQoLDA0ODw==", more=()):
    """A handshake's bytes."""
    lines = [f"GET {path} HTTP/1.1", f"Host: {domain}", "Connection: Upgrade",
             "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}", *more]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def mask(payload, key):
    pad = (key * (len(payload) // 4 + 1))[:len(payload)]
    clear = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return clear.to_bytes(len(payload), "big")


def frame(payload, opcode=TEXT):
    key = os.urandom(4)
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + key + mask(payload, key)


class Socket:
    """One WebSocket; `hello` is what the server said first."""

    @classmethod
    async def open(cls, host, domain, tls, path="/"):
        self = cls()
        context = ssl.create_default_context(cafile=str(host.authority.certificate)) if tls else None
        self.reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", host.https if tls else host.http, ssl=context,
            server_hostname=domain if tls else None)
        key = base64.b64encode(os.urandom(16))
        self.writer.write(ask(domain, path, key.decode()))
        head = await self.reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
        assert accept in head, "the answer to our key, and to no other"
        self.hello = await self.receive()
        return self

    async def send(self, payload, opcode=TEXT):
        self.writer.write(frame(payload, opcode))
        await self.writer.drain()

    async def receive(self):
        """The next message, or None at the end."""
        try:
            _, size = await self.reader.readexactly(2)
            if size == 126:
                size, = struct.unpack("!H", await self.reader.readexactly(2))
            elif size == 127:
                size, = struct.unpack("!Q", await self.reader.readexactly(8))
            return await self.reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def says_back(self, payload):
        await self.send(payload)
        return await self.receive() == payload

    async def close(self):
        await self.send(struct.pack("!H", 1000), CLOSE)
        assert await self.receive() == struct.pack("!H", 1000)
        self.writer.close()


async def open_many(host, domain, tls, count, at_once=50):
    """So many that the backlog of a listener is no matter."""
    gate = asyncio.Semaphore(at_once)

    async def one():
        async with gate:
            return await Socket.open(host, domain, tls)

    return await asyncio.gather(*(one() for _ in range(count)))


async def all_say_back(sockets, word):
    """How many answer with what each was told."""
    told = [f"{word} {i}".encode() for i in range(len(sockets))]
    return sum(await asyncio.gather(*(s.says_back(text) for s, text in zip(sockets, told))))
