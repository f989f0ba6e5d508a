"""Why a stream cannot be opened, and what to do about it, in one line."""

from __future__ import annotations

import errno
import re
import socket
from urllib.parse import urlsplit

import av

from ....errors import SourceError
from .spec import LiveSpec

UNREACHABLE = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN))
SILENT = (av.error.ExitError, av.error.TimeoutError)
_CODE = re.compile(r"returned ([0-9X]{3}[A-Za-z 0-9]*)")


class LoginRefusedError(SourceError):
    """The server wants another login. Asking often would lock the account, so it is asked seldom."""


class SilentError(SourceError):
    """Nothing that can be read came in time."""


def refused(error: Exception, spec: LiveSpec, name: str, late: bool) -> SourceError:
    """The error of a stream that cannot be opened. What stands after '; check' is left out where it is tried again.

    Args:
        late: the time to open it is over, which FFmpeg's own error may not tell.
    """
    if late or isinstance(error, SILENT):
        return SilentError(
            f"cannot open stream {name}: no stream within {spec.timeout_s:g} s; check the address and the network, "
            "or add #timeout=20"
        )
    kind = LoginRefusedError if isinstance(error, av.error.HTTPUnauthorizedError) else SourceError
    return kind(f"cannot open stream {name}: {_cause(error, spec)}")


def _cause(error: Exception, spec: LiveSpec) -> str:
    if isinstance(error, (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError)):
        return _login(error, spec)
    if isinstance(error, av.error.HTTPNotFoundError):
        return "the server has nothing at this path (404); correct the path in the address"
    if isinstance(error, av.error.HTTPServerError):
        return f"the server fails ({_code(error)}); check it, and how many others watch"
    if isinstance(error, av.error.HTTPClientError):
        return f"the server refuses the request ({_code(error)}); correct the address, or see what the server allows"
    if isinstance(error, av.error.ConnectionRefusedError):
        return "nothing listens at this host and port; check the address, and whether the server runs"
    if isinstance(error, av.error.EOFError):
        return "the server ended the connection before any picture; check the address, and how many others watch"
    if isinstance(error, OSError) and error.errno in UNREACHABLE:
        return "the host cannot be reached; check the address and the network"
    if isinstance(error, av.error.InvalidDataError):
        return _no_video(spec)
    if not _known(spec):
        return "the name of its host is unknown; check the address and the network"
    if spec.address.lower().startswith("rtsp"):
        return f"the connection broke off, or the server has no transport {spec.transport}; try #transport=udp or tcp"
    return "the connection broke off, it redirects in a circle, or what came is no video; check the address"


def _known(spec: LiveSpec) -> bool:
    """Whether the host's name, if it has one, can be found."""
    try:
        socket.getaddrinfo(urlsplit(spec.address).hostname or "localhost", None)
    except (OSError, ValueError):  # UnicodeError is a ValueError
        return False
    return True


def _login(error: Exception, spec: LiveSpec) -> str:
    scheme, _, rest = spec.address.partition("://")
    given = "@" in re.split(r"[/?#]", rest, maxsplit=1)[0]
    if isinstance(error, av.error.HTTPForbiddenError):
        return "the server forbids it (403); give a user who may see it, or correct the path"
    if given:
        return (
            "the server refuses this login (401); correct the user and password in the address, "
            "and write @ : / ? # % in them as %40 %3A %2F %3F %23 %25"
        )
    return f"the server asks for a login (401); put it into the address, as {scheme}://USER:PASSWORD@HOST/..."


def _no_video(spec: LiveSpec) -> str:
    if spec.address.lower().startswith("rtsp"):
        return "the server closed the connection, or its answer is no stream; correct the path and the login"
    if spec.format is not None:
        return f"what comes is not {spec.format}; leave out #format, or correct it"
    if spec.address.lower().startswith("http"):
        return (
            "what comes is no video (perhaps a web page or a login form); give the address of the stream itself, "
            "or add #format=mjpeg if it is Motion JPEG of an unusual form"
        )
    return "what comes is no video; correct the address, or name its form, as #format=mpegts"


def _code(error: Exception) -> str:
    found = _CODE.search(str(error))
    return found[1].replace(" Server Error reply", "").strip() if found else "an error"
