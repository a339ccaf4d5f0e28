"""A server that says what it was told to say, whatever it is asked."""

from __future__ import annotations

import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_LENGTH = re.compile(r"^content-length: *(\d+)", re.IGNORECASE | re.MULTILINE)


def said(status: str, *headers: str, body: bytes = b"") -> bytes:
    """Return the bytes of an answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]).encode() + body


class Scripted(socketserver.TCPServer):
    """Gives each request the next answer, the last one for ever; for None it hangs up. ``heads`` are what was asked."""

    def __init__(self, *answers: bytes | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.answers = list(answers)
        self.heads: list[str] = []
        self.taken: socket.socket | None = None

    def answer(self, head: str) -> bytes | None:
        self.heads.append(head)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    @property
    def lines(self) -> list[str]:
        """The first words of each request: method and path."""
        return [head.partition(" HTTP")[0] for head in self.heads]

    def hang_up(self) -> None:
        if self.taken is not None:
            with suppress(OSError):
                self.taken.shutdown(socket.SHUT_RDWR)


class _Handler(socketserver.StreamRequestHandler):
    server: Scripted

    def handle(self) -> None:
        self.server.taken = self.connection
        while head := self._head():
            length = _LENGTH.search(head)
            self.rfile.read(int(length[1]) if length else 0)
            answer = self.server.answer(head)
            if answer is None:
                return
            self.wfile.write(answer)
            if b"Connection: close" in answer:
                return

    def _head(self) -> str:
        lines = []
        with suppress(ConnectionError):
            while (line := self.rfile.readline().decode()).strip():
                lines.append(line)
        return "".join(lines)


@contextmanager
def scripted(*answers: bytes | None) -> Iterator[Scripted]:
    """Run such a server as long as the block lasts."""
    with Scripted(*answers) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.hang_up()
            server.shutdown()
            thread.join()
