"""The helper process: runs the HDF5 library on files that are not to be trusted.

It ends when whoever started it does. It has limits on memory and on the time of one answer, can
write no file, and what the library prints goes nowhere.
"""

from __future__ import annotations

import math
import os
import socket
import time
from contextlib import suppress

from ptystore.formats.hdf5.wire import Closed, receive, send

try:
    import resource
except ImportError:  # no such limits there
    resource = None  # type: ignore[assignment]

__all__ = ["main"]


def main(descriptor: int, memory: int, seconds: int) -> None:
    """Answer through the socket `descriptor` until it is closed.

    `memory` are the bytes of address space, `seconds` the processor time of one answer.
    """
    with suppress(Closed, OSError):
        sock = socket.socket(fileno=descriptor)
        _limit("RLIMIT_CORE", 0)
        _limit("RLIMIT_FSIZE", 0)
        _limit("RLIMIT_AS", memory)
        from ptystore.formats.hdf5.walk import answer

        send(sock, {"ready": True})
        while True:
            request, _, file = receive(sock, 0)
            if file is None:
                break
            _limit("RLIMIT_CPU", math.ceil(time.process_time()) + seconds)
            try:
                head, body = answer(file, request)
            finally:
                os.close(file)
            try:
                send(sock, head, body)
            except (TypeError, ValueError) as error:  # nothing was sent of what is no JSON
                send(sock, {"error": type(error).__name__, "text": str(error)})
    os._exit(0)  # nothing is left to be done, and the one that asked waits for the end


def _limit(name: str, value: int) -> None:
    """Set a limit, as far as the system has it and allows that much."""
    kind = getattr(resource, name, None)
    if kind is not None:
        hard = resource.getrlimit(kind)[1]
        soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(kind, (soft, hard))
