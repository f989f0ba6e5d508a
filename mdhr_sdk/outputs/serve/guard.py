"""Who may ask: checks the host, origin and token of every request before anything else sees it."""

from __future__ import annotations

import ipaddress
import logging
import secrets
from collections import Counter
from collections.abc import Sequence
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote_to_bytes, urlsplit

from ...errors import plain

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOCAL = ("localhost", "127.0.0.1", "::1")
OPEN = ("/healthz", "/readyz")  # they tell nothing that a stranger may not know
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
log = logging.getLogger("mdhr_sdk")


class Guard:
    """Passes on what may be asked, refuses the rest in one line, and adds the headers that keep a browser safe.

    - `Host` must be an address that this server is meant to have, or a page of another name, which an attacker lets
      point here, could read everything (DNS rebinding).
    - `Origin`, which browsers send for WebSockets, POST and requests between sites, must be this host, and
      `Sec-Fetch-Site` must not tell of another site.
    - With a token, it must come as `Authorization: Bearer`, as `?token=` or as the cookie that `/?token=` sets.

    Args:
        app: what is guarded.
        hosts: names and addresses that may be asked for, beside those of this machine itself.
        any_address: whether any IP address may be asked for, as when the server is bound to more than loopback.
        token: None for none.
        cookie: name of the cookie.
        refused: reason -> requests that were refused; counted here.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Sequence[str],
        any_address: bool,
        token: str | None,
        cookie: str,
        refused: Counter[str],
    ) -> None:
        self._app = app
        self._hosts = {host.lower() for host in (*LOCAL, *hosts)}
        self._any_address = any_address
        self._token = token
        self._cookie = cookie
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        from starlette.responses import PlainTextResponse, RedirectResponse

        async def safely(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                given = {name.lower() for name, _ in message.get("headers", ())}
                more = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *(one for one in more if one[0] not in given)]
            await send(message)

        headers = _headers(scope)
        reason, status, words = self._verdict(scope, headers)
        given = "token" in _query(scope)
        if given:
            scope["query_string"] = _without_token(scope["query_string"])  # which the server may write to a log
        if reason:
            self._refused[reason] += 1
            response: Any = PlainTextResponse(f"{words}\n", status, {"connection": "close"})
        elif self._token and scope["type"] == "http" and scope["path"] == "/" and given:
            response = RedirectResponse("/", 303)  # the address that stays in the browser's history has no token
            response.set_cookie(self._cookie, self._token, httponly=True, samesite="lax", path="/")
        else:
            response = self._app
        try:
            await response(scope, receive, safely)
        except Exception as error:
            log.warning("the served page could not answer a request for %s: %r", plain(scope["path"]), error)

    def _verdict(self, scope: Scope, headers: dict[str, str]) -> tuple[str, int, str]:
        """('', 0, '') for a request that is fine, else the reason, the HTTP status and what to tell."""
        host = headers.get("host", "")
        if not self._served(_name(host)):
            return "host", 421, f"this server is not '{plain(host):.80}'; ask for it by its address"
        origin = headers.get("origin")
        if origin is not None and _place(origin) != host.lower():
            return "origin", 403, f"pages of '{plain(origin):.80}' may not ask this server"
        if headers.get("sec-fetch-site") in ("cross-site", "same-site") and headers.get("sec-fetch-mode") != "navigate":
            return "origin", 403, "pages of other sites may not ask this server"
        if self._token and scope["path"] not in OPEN and not self._has_token(scope, headers):
            return "token", 401, "this needs the token: open the address that the program told when it started"
        return "", 0, ""

    def _served(self, name: str) -> bool:
        if name in self._hosts:
            return True
        try:
            return self._any_address and bool(ipaddress.ip_address(name))
        except ValueError:
            return False

    def _has_token(self, scope: Scope, headers: dict[str, str]) -> bool:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer.strip()] if kind.lower() == "bearer" else []
        given += _query(scope).get("token", [])
        try:
            cookies = SimpleCookie(headers.get("cookie", ""))
        except CookieError:
            cookies = SimpleCookie()
        given += [cookies[self._cookie].value] if self._cookie in cookies else []
        token = (self._token or "").encode()
        return any(secrets.compare_digest(one.encode("utf-8", "replace"), token) for one in given)


def _headers(scope: Scope) -> dict[str, str]:
    """By lower-case name; of one that comes twice, both, so that neither passes for the other."""
    found: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        joint = "; " if key == "cookie" else ", "
        found[key] = f"{found[key]}{joint}{text}" if key in found else text
    return found


def _query(scope: Scope) -> dict[str, list[str]]:
    return parse_qs(scope["query_string"].decode("latin-1"))


def _without_token(query: bytes) -> bytes:
    return b"&".join(part for part in query.split(b"&") if unquote_to_bytes(part.partition(b"=")[0]) != b"token")


def _place(origin: str) -> str:
    """'http://Door.local:80' -> 'door.local:80'; '' for what is no origin."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _name(host: str) -> str:
    """'[::1]:8000' -> '::1', 'Door.local:80' -> 'door.local'; '' for what is no host."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
