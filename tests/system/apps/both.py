"""Answers on all sockets that it is passed, with what it was told about them."""

import http.server
import os
import socket
import threading

TOLD = f"{os.environ['LISTEN_FDS']} {os.environ['LISTEN_FDNAMES']}".encode()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(TOLD)))
        self.end_headers()
        self.wfile.write(TOLD)

    def address_string(self):
        return "unix"


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, fd):
        super().__init__(("", 0), Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = socket.socket(fileno=fd)


threads = [threading.Thread(target=Server(3 + i).serve_forever)
           for i in range(int(os.environ["LISTEN_FDS"]))]
for thread in threads:
    thread.start()
