"""Ports of 127.0.0.1 for servers that must know theirs before they start."""

import os
import random
import socket

_chance = random.Random(os.urandom(8))


def free_port(count: int = 1) -> int:
    """The first of `count` neighbouring ports that nobody uses now.

    Below those that the system gives to clients: else a connection of another test could take it meanwhile.
    """
    while True:
        first = _chance.randrange(15_000, 32_000)
        if all(_is_free(port) for port in range(first, first + count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            line.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
