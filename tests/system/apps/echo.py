"""A WebSocket echo server out of the standard library, on the socket that it is
passed (LISTEN_FDS): a worker for many connections at once. Says hello with its
process id, so that a test sees who answers. After SIGTERM it takes no new
connection, and ends with the last one.
"""

import asyncio
import base64
import hashlib
import os
import resource
import signal
import socket
import struct

MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10


def frame(opcode, payload):
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 127, size)
    return head + payload


async def read_frame(reader):
    first, second = await reader.readexactly(2)
    size = second & 127
    if size == 126:
        size, = struct.unpack("!H", await reader.readexactly(2))
    elif size == 127:
        size, = struct.unpack("!Q", await reader.readexactly(8))
    mask = await reader.readexactly(4)
    payload = await reader.readexactly(size)
    pad = (mask * (size // 4 + 1))[:size]
    clear = int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")
    return first & 15, clear.to_bytes(size, "big")


async def echo(reader, writer, key):
    accept = base64.b64encode(hashlib.sha1(key + MAGIC).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                 b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                 + frame(TEXT, str(os.getpid()).encode()))
    opcode = None
    while opcode != CLOSE:
        opcode, payload = await read_frame(reader)
        writer.write(frame(PONG if opcode == PING else opcode, payload))
        await writer.drain()


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) if b"key" not in line.lower()
                          else (line.split(b": ", 1)[0].lower(), line.split(b": ", 1)[1])
                          for line in head.split(b"\r\n")[1:-2])
            if fields.get(b"upgrade") == b"websocket":
                await echo(reader, writer, fields[b"sec-websocket-key"])
                return
            body = str(os.getpid()).encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    open_now = set()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)

    async def counted(reader, writer):
        task = asyncio.current_task()
        open_now.add(task)
        try:
            await serve(reader, writer)
        finally:
            open_now.discard(task)

    server = await asyncio.start_unix_server(counted, sock=socket.socket(fileno=3), backlog=1024)
    await stopping.wait()
    server.close()
    while open_now:
        await asyncio.wait(open_now)


if __name__ == "__main__" and os.environ.get("LISTEN_FDS"):
    asyncio.run(main())
