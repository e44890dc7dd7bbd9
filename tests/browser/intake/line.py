"""A line between browser and server that can be cut in the middle of what it carries."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import Self

_CHUNK = 64 * 1024


class Line:
    """Relays TCP connections to `port`, at a limited speed, until it is cut.

    Parameters
    ----------
    bytes_a_second : what it carries towards the server, all connections together
    """

    def __init__(self, port: int, bytes_a_second: float) -> None:
        self._target = port
        self._pause_s = _CHUNK / bytes_a_second
        self._gate = threading.Lock()
        self._open: set[socket.socket] = set()
        self._is_cut = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._listener.close()

    def cut(self) -> None:
        """Break every connection and take no new one."""
        self._is_cut = True
        for end in list(self._open):
            self._close(end)

    def mend(self) -> None:
        """Take connections again."""
        self._is_cut = False

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                near, _ = self._listener.accept()
                if self._is_cut:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open |= {near, far}
                for source, sink, pause_s in ((near, far, self._pause_s), (far, near, 0.0)):
                    threading.Thread(
                        target=self._relay, args=(source, sink, pause_s), daemon=True
                    ).start()

    def _relay(self, source: socket.socket, sink: socket.socket, pause_s: float) -> None:
        with contextlib.suppress(OSError):  # either end may go at any time
            while data := source.recv(_CHUNK):
                if pause_s:
                    with self._gate:
                        time.sleep(pause_s * len(data) / _CHUNK)
                sink.sendall(data)
        for end in (source, sink):
            self._close(end)

    def _close(self, end: socket.socket) -> None:
        self._open.discard(end)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()
