"""A download over HTTP that goes on where it broke off.

By urllib and not by a package: pooch and requests, 5 MB with what they need, do not resume, and believe the server how
long a file is. Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import http.client
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

ATTEMPTS = 4  # of one call
PAUSE_S = 1.0  # before the second attempt, twice as long before each further one
TIMEOUT_S = 20.0  # without an answer, or without another byte
LEAST_RATE, FROM_S = 1_000, 20.0  # bytes a second, on average, once an attempt has lasted so many seconds
CHUNK = 1 << 16


class TransferError(Exception):
    """A transfer that failed; what came of the file is kept."""


class _BrokenOffError(Exception):
    """An attempt that ended too soon, and can go on."""


def transfer(url: str, part: Path, size_bytes: int) -> None:
    """Download a file of that size; `part` may hold its beginning.

    Raises:
        TransferError: it cannot be had now.
    """
    pause_s = PAUSE_S
    for left in reversed(range(ATTEMPTS)):
        try:
            _attempt(url, part, size_bytes)
            return
        except _BrokenOffError as error:
            if not left:
                raise TransferError(str(error)) from None
            time.sleep(pause_s)
            pause_s *= 2


def _attempt(url: str, part: Path, size_bytes: int) -> None:
    """Ask for what `part` lacks, and write what comes; returns when it has all."""
    if part.is_symlink():  # no part of ours: what it points to stays as it is
        part.unlink()
    have = part.stat().st_size if part.exists() else 0
    if have >= size_bytes:
        part.unlink()
        have = 0
    headers = {"User-Agent": "mdhr_sdk", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, headers=headers | ({"Range": f"bytes={have}-"} if have else {}))
    with _asked(request, part) as answer:
        if answer.status == 206 and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)
            raise _BrokenOffError("the server sent another part than it was asked for")
        if answer.status != 206:
            have = 0
        with part.open("ab" if have else "wb") as file:
            have = _copied(answer, file, have, size_bytes)
    if have < size_bytes:
        raise _BrokenOffError(f"the transfer ended after {have:,} of {size_bytes:,} bytes")


def _asked(request: urllib.request.Request, part: Path) -> Any:
    opener = urllib.request.build_opener(_Redirects)
    try:
        return opener.open(request, timeout=TIMEOUT_S)
    except urllib.error.HTTPError as error:
        error.close()
        reason = f"the server says {error.code} {' '.join(str(error.reason).split())}"
        if error.code == 416:  # the part is of another file
            part.unlink(missing_ok=True)
        elif error.code < 500:
            raise TransferError(reason) from None
        raise _BrokenOffError(reason) from None
    except urllib.error.URLError as error:
        raise TransferError(str(error.reason)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransferError(str(error) or type(error).__name__) from None


def _copied(answer: Any, file: Any, have: int, most: int) -> int:
    """Copy the answer's bytes; returns how many the file has then."""
    begun_s, came = time.monotonic(), 0
    while True:
        try:
            chunk = answer.read1(CHUNK)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise _BrokenOffError(f"{error or type(error).__name__} after {have:,} of {most:,} bytes") from None
        if not chunk:
            return have
        if have + len(chunk) > most:
            raise TransferError(f"the server sends more than the {most:,} bytes that the file has")
        file.write(chunk)
        have, came = have + len(chunk), came + len(chunk)
        spent_s = time.monotonic() - begun_s
        if spent_s > FROM_S and came < LEAST_RATE * spent_s:
            raise _BrokenOffError(f"the server sends less than {LEAST_RATE:,} bytes a second")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, ten at most, but never from https to anything else."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not newurl.startswith(("https://", f"{req.type}://")):
            raise urllib.error.URLError(f"the server redirects to {newurl}, which is not https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
