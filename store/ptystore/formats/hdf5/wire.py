"""Messages between a process and its helper: a head in JSON, bytes, and a descriptor.

Nothing that arrives is ever run or unpickled.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

__all__ = ["Closed", "receive", "send"]

_LENGTHS = struct.Struct("<QQ")

#: More than the description of any file that is a scan.
_MOST_HEAD = 64 << 20


class Closed(Exception):
    """The other side is gone, or says what it never says."""


def send(
    sock: socket.socket,
    head: Mapping[str, Any],
    body: bytes = b"",
    descriptor: int | None = None,
) -> None:
    """Send a message, and a file's descriptor with it. Raises OSError."""
    text = json.dumps(head).encode("ascii")
    lengths = _LENGTHS.pack(len(text), len(body))
    if descriptor is None:
        sock.sendall(lengths)
    else:
        sent = socket.send_fds(sock, [lengths], [descriptor])
        sock.sendall(lengths[sent:])
    sock.sendall(text)
    sock.sendall(body)


def receive(sock: socket.socket, most: int) -> tuple[dict[str, Any], bytes, int | None]:
    """A message whose bytes are `most` at most, and the descriptor that came with it.

    Raises `Closed`, and OSError; TimeoutError where the socket has a limit.
    """
    lengths, descriptors, _, _ = socket.recv_fds(sock, _LENGTHS.size, 1)
    descriptor = descriptors[0] if descriptors else None
    try:
        lengths += _exactly(sock, _LENGTHS.size - len(lengths)) if lengths else b""
        if not lengths:
            raise Closed
        head_size, body_size = _LENGTHS.unpack(lengths)
        if head_size > _MOST_HEAD or body_size > most:
            raise Closed
        head = json.loads(_exactly(sock, head_size))
        return head, bytes(_exactly(sock, body_size)), descriptor
    except BaseException:
        if descriptor is not None:
            os.close(descriptor)
        raise


def _exactly(sock: socket.socket, length: int) -> bytearray:
    data = bytearray(length)
    view, done = memoryview(data), 0
    while done < length:
        got = sock.recv_into(view[done:])
        if not got:
            raise Closed
        done += got
    return data
