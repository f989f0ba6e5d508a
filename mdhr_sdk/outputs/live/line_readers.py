"""Where lines go: standard output, a file that grows, or another program over TCP or UDP."""

from __future__ import annotations

import errno
import os
import select
import socket
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from ...errors import ConfigError, OutputError
from .append import AppendFile
from .queued import GoneError

CONNECT_S = 2.0
STALL_S = 5.0  # a reader that takes nothing for so long is left, and connected to again
DATAGRAM_BYTES = 65_507  # most that one holds
STDOUT = 1


class LineReader(Protocol):
    """Takes whole lines, in the order in which they come."""

    def open(self) -> None:
        """Do what can fail at once; OutputError."""

    def send(self, line: bytes) -> None:
        """Give one line; OutputError if it is to be tried again, GoneError if the reader has left for good."""

    def close(self) -> None:
        """Nothing follows."""


def line_reader(address: str) -> LineReader:
    """'-', 'tcp://HOST:PORT', 'udp://HOST:PORT', or a file's name.

    Raises:
        ConfigError: an address of another kind.
    """
    if address == "-":
        return StdoutReader()
    kind, separator, _ = address.partition("://")
    if not separator:
        return FileReader(Path(address))
    if kind.lower() not in ("tcp", "udp"):
        raise ConfigError(f"JSON Lines go to -, a file, tcp://HOST:PORT or udp://HOST:PORT; got '{kind}://...'")
    host, port = host_and_port(address)
    return TcpReader(host, port) if kind.lower() == "tcp" else UdpReader(host, port)


def host_and_port(address: str) -> tuple[str, int]:
    """Those of 'tcp://HOST:PORT'; ConfigError if one is missing."""
    if "@" in address:  # it is not repeated, since it may hold a password
        raise ConfigError("tcp:// and udp:// know no login; give HOST:PORT alone")
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not port or parts.path.strip("/"):
        kind = address.partition("://")[0]
        raise ConfigError(f"expected {kind}://HOST:PORT, as {kind}://127.0.0.1:9000; got '{address}'")
    return host, port


class StdoutReader:
    """Standard output, usually a pipe. It is never waited for elsewhere, and once it is closed it stays so."""

    def open(self) -> None:
        try:
            os.fstat(STDOUT)
        except OSError:
            raise OutputError("standard output is closed; give JSON Lines a file or an address") from None

    def send(self, line: bytes) -> None:
        try:
            while line:
                try:
                    line = line[os.write(STDOUT, line) :]
                except BlockingIOError:  # another program made it so; a line begun anew would be no JSON
                    select.select([], [STDOUT], [])
        except OSError as error:
            if error.errno in (errno.EPIPE, errno.EBADF, errno.EIO):
                raise GoneError("the reader of standard output has left") from None
            raise OutputError(f"standard output cannot be written: {error.strerror}") from None

    def close(self) -> None:
        pass


class FileReader:
    """A file that is whole to its last line at any moment; see `AppendFile`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: AppendFile | None = None

    def open(self) -> None:
        self._file = AppendFile(self._path)

    def send(self, line: bytes) -> None:
        assert self._file is not None
        self._file.add(line)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


class TcpReader:
    """A program that listens; connected to when there is a line, and again after it left.

    A line that was not taken wholly is sent again, from its start, over the next connection.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Nothing: the reader may come later."""

    def send(self, line: bytes) -> None:
        try:
            if self._socket is not None and self._left(self._socket):
                self.close()
            if self._socket is None:
                self._socket = socket.create_connection((self._host, self._port), CONNECT_S)
                self._socket.settimeout(STALL_S)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._send(self._socket, line)
        except OSError as error:
            self.close()
            reason = "it takes nothing" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise OutputError(f"no reader at {self._host}:{self._port}: {reason}; start a program there") from None

    @staticmethod
    def _send(to: socket.socket, line: bytes) -> None:
        rest = memoryview(line)
        while rest:  # not `sendall`, whose time limit is for all of the line
            rest = rest[to.send(rest) :]

    @staticmethod
    def _left(reader: socket.socket) -> bool:
        """Whether the reader has closed the connection. What it says is thrown away."""
        while select.select([reader], [], [], 0)[0]:
            if not reader.recv(4096):
                return True
        return False

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket = None


class UdpReader:
    """Datagrams, one a line. Nobody says whether they arrive; a line that no datagram holds is an error."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._socket: socket.socket | None = None

    def open(self) -> None:
        try:
            family, kind, _, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[0]
        except OSError as error:
            raise OutputError(f"'{self._host}' is no known host: {error.strerror}; check its name") from None
        self._address = address
        self._socket = socket.socket(family, kind)

    def send(self, line: bytes) -> None:
        assert self._socket is not None
        if len(line) > DATAGRAM_BYTES:
            raise ValueError(f"a line of {len(line):,} bytes is more than a datagram holds; use tcp:// or a file")
        try:
            self._socket.sendto(line, self._address)
        except OSError as error:
            raise OutputError(f"no way to {self._host}:{self._port}: {error.strerror}") from None

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
