"""An IMAP server that says what a test tells it to, over TLS: for clients that must bear anything."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path

Answer = bytes | None


class ScriptedImap:
    """Each command is handed, in capitals and without its tag, to `answer`: what it gives is sent, then OK with the tag.

    What begins with NO or BAD is sent with the tag instead; None cuts the line. `heard` has all commands.
    """

    def __init__(self, certificate: Path, key: Path, answer: Callable[[str], Answer]) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.heard: list[str] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Take no more, and wait for those who speak."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(line,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, line: socket.socket) -> None:
        line.settimeout(30)
        with line, contextlib.suppress(OSError), self._context.wrap_socket(line, server_side=True) as secured:
            secured.sendall(b"* OK hello\r\n")
            with secured.makefile("rb") as reading:
                for text in reading:
                    tag, _, command = text.decode("latin-1").strip().partition(" ")
                    self.heard.append(command.upper())
                    answer = self._answer(command.upper())
                    if answer is None:
                        return
                    if answer.startswith((b"NO", b"BAD")):
                        secured.sendall(tag.encode() + b" " + answer + b"\r\n")
                    else:
                        secured.sendall(answer + tag.encode() + b" OK done\r\n")
