"""Servers as they are: Motion JPEG of any form, addresses of single pictures, and refusals that tell their cause."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from itertools import islice

import cv2
import pytest

from made_videos import index_of, numbered
from mdhr_sdk.errors import ConfigError, SourceError
from mdhr_sdk.vision import list_sources
from mdhr_sdk.vision.sources.live.address import live_source
from mdhr_sdk.vision.sources.live.health import Retries

JPEGS = [cv2.imencode(".jpg", numbered(index))[1].tobytes() for index in range(6)]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=b\r\n\r\n"
PART = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%s\r\n"
TEXT = b"--b\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok\r\n"
FORMS: dict[str, Callable[[bytes], bytes]] = {
    "usual": lambda jpeg: PART % (len(jpeg), jpeg),
    "no dashes": lambda jpeg: (PART % (len(jpeg), jpeg))[2:],
    "too long": lambda jpeg: PART % (2 * len(jpeg), jpeg),
    "too short": lambda jpeg: PART % (90, jpeg),
    "text between": lambda jpeg: PART % (len(jpeg), jpeg) + TEXT,
    "line feeds": lambda jpeg: PART.replace(b"\r", b"") % (len(jpeg), jpeg),
    "preamble": lambda jpeg: b"several parts follow\r\n\r\n" + PART % (len(jpeg), jpeg),
}


@pytest.fixture
def answers() -> Iterator[Callable[..., str]]:
    """Answers each request with the next of these texts, the last one again and again; returns the address."""
    with contextlib.ExitStack() as stack:

        def start(*texts: bytes) -> str:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            left = list(texts)

            def serve() -> None:
                with contextlib.suppress(OSError):
                    while True:
                        with server.accept()[0] as one, contextlib.suppress(OSError):
                            one.recv(1 << 16)
                            one.sendall(left.pop(0) if len(left) > 1 else left[0])

            threading.Thread(target=serve, daemon=True).start()
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            return f"127.0.0.1:{server.getsockname()[1]}"

        yield start


@pytest.mark.parametrize("form", FORMS)
def test_motion_jpeg_of_any_form_is_read(form: str, answers, caplog) -> None:
    caplog.set_level("INFO", "mdhr_sdk")
    host = answers(HEAD + b"".join(map(FORMS[form], JPEGS)))
    (source,) = list_sources(f"http://{host}/cam")
    for _ in range(2):  # what broke off at once is read in another way when it is opened again
        seen = []
        with pytest.raises(SourceError, match="stopped after"), source:
            for frame in source:
                seen.append(index_of(frame.image))
    assert seen == [0, 1, 2, 3, 4, 5]
    told = f"http://{host}/cam sends Motion JPEG of an unusual form; it is read as one JPEG after the other"
    assert caplog.messages == [told] * (form in ("too long", "too short", "text between"))


def test_an_address_of_single_pictures_is_asked_again_if_that_is_wanted(answers) -> None:
    texts = [b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + jpeg for jpeg in JPEGS]
    with live_source(f"http://{answers(*texts)}/a.jpg#fps=30") as source:
        assert source.info.live and source.info.fps == 30
        assert [index_of(frame.image) for frame in islice(source, 6)] == [0, 1, 2, 3, 4, 5]
    with (
        pytest.raises(SourceError, match="gives one picture and ends; add #fps=2 to ask"),
        live_source(f"http://{answers(texts[0])}/a.jpg") as source,
    ):
        list(source)
    with pytest.raises(ConfigError, match="fps belongs to cameras, raw pictures and http:// addresses"):
        live_source("rtsp://h/x#fps=2")


@pytest.mark.parametrize(
    ("answer", "login", "told"),
    [
        (b"401 Unauthorized", "", r"asks for a login \(401\); put it into the address, as http://USER:PASSWORD@HOST/"),
        (b"401 Unauthorized", "me:SECRET@", r"refuses this login \(401\); correct the user and password"),
        (b"403 Forbidden", "me:SECRET@", r"forbids it \(403\); give a user who may see it"),
        (b"404 Not Found", "", r"nothing at this path \(404\); correct the path"),
        (b"429 Too Many Requests", "", r"refuses the request \(429 Too Many Requests\)"),
        (b"503 Busy", "", r"the server fails \(5XX\)"),
        (b"302 Found\r\nLocation: /x", "", "it redirects in a circle"),
        (b"200 OK\r\nContent-Type: text/html", "", "what came is no video"),
    ],
)
def test_a_refusal_tells_its_cause_and_what_to_do(answer: bytes, login: str, told: str, answers) -> None:
    host = answers(b"HTTP/1.1 %s\r\nConnection: close\r\n\r\n<html>%s</html>" % (answer, b"<p>log in</p>" * 9))
    with pytest.raises(SourceError, match=rf"cannot open stream http://{host}/x: .*{told}") as caught:
        live_source(f"http://{login}{host}/x?key=SECRET").__enter__()
    assert "SECRET" not in str(caught.value)


def test_a_host_that_is_not_there_tells_so(monkeypatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        host = f"127.0.0.1:{server.getsockname()[1]}"
    for scheme in ("http", "rtsp"):
        with pytest.raises(SourceError, match="nothing listens at this host and port; check the address"):
            live_source(f"{scheme}://{host}/x").__enter__()
    with pytest.raises(SourceError, match="a port is at most 65535; got 99999 in http://h:99999/x"):
        live_source("http://me:SECRET@h:99999/x")


def test_a_login_that_was_refused_is_tried_seldom() -> None:
    refused, other = Retries(), Retries()
    assert all(2.5 <= refused.pause_s(refused=True) <= 60 for _ in range(9)) and refused.pause_s(refused=True) >= 30
    assert all(other.pause_s() <= 1 for _ in range(9))
