"""Whom and what the served page refuses, over real HTTP and WebSockets."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs.serve import Mark, ServeSink
from served import ask, counted, follow, heard

TOKEN = "0123456789abcdef0123"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:9"}, 200),
        ({"Host": "[::1]:80"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "127.0.0.1.evil.example"}, 421),
        ({"Host": "192.168.0.7"}, 421),
        ({"Host": ""}, 421),
        ({"Host": "[::1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://[::1"}, 403),
        ({"Origin": "http://127.0.0.1:1"}, 403),
        ({"Host": "localhost", "Origin": "http://localhost"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
    ],
)
def test_other_names_and_other_sites_are_refused(shared, headers, status):
    """DNS rebinding has the wrong Host, a foreign page the wrong Origin; WebSockets and buttons are refused alike."""
    before = refused(shared)
    assert ask(shared, "/", **headers)[0] == status
    command = ask(shared, "/mark", "POST", {}, **headers)
    assert command[0] == (202 if status == 200 else status)
    assert status != 200 or isinstance(shared.commands.get(), Mark)
    assert shared.commands.empty()
    if status != 200 and headers.get("Host", "x") not in ("", "[::1"):
        for path in ("/ws", "/frames?source=clip.mp4"):
            with pytest.raises(InvalidStatus) as answer, raw_websocket(shared, path, headers):
                pass
            assert answer.value.response.status_code == status
        assert refused(shared) == before + 4


def refused(sink: ServeSink) -> float:
    return sum(value for key, value in counted(sink).items() if key[0] == "mdhr_requests_refused_total")


@contextmanager
def raw_websocket(sink: ServeSink, path: str, headers: dict[str, str]) -> Iterator[ClientConnection]:
    """With a Host of one's own, which the library takes from the address."""
    host, rest = headers.get("Host", f"127.0.0.1:{sink.port}"), {k: v for k, v in headers.items() if k != "Host"}
    with (
        socket.create_connection(("127.0.0.1", sink.port)) as line,
        connect(f"ws://{host}{path}", sock=line, additional_headers=rest, proxy=None) as client,
    ):
        yield client


def test_a_token_is_asked_for_everywhere_but_of_probes(rated, caplog):
    caplog.set_level("INFO", "uvicorn.error")  # as in a program that runs uvicorn itself
    with ServeSink(port=0, token=TOKEN) as sink:
        for path in ("/", "/page.js", "/events", "/metrics", f"/?token={TOKEN}0", "/metrics?token=%ff"):
            assert ask(sink, path)[0] == 401, path
        assert ask(sink, "/metrics", Cookie="mdhr_token_1=x; =; bad[")[0] == 401
        assert ask(sink, "/mark", "POST", {})[0] == 401 and sink.commands.empty()
        assert ask(sink, "/healthz")[0] == 200 and ask(sink, "/readyz")[0] == 503
        with pytest.raises(InvalidStatus), follow(sink):
            pass
        assert ask(sink, "/metrics", Authorization=f"Bearer {TOKEN}")[0] == 200
        status, headers, _ = ask(sink, sink.url[sink.url.index("/?") :])
        assert status == 303 and headers["location"] == "/" and "HttpOnly" in headers["set-cookie"]
        assert "SameSite=lax" in headers["set-cookie"]
        cookie = headers["set-cookie"].split(";")[0]
        assert ask(sink, "/", Cookie=cookie)[0] == 200
        assert ask(sink, f"/page.js?a=1&token={TOKEN}")[0] == 200
        for way in ({"additional_headers": {"Cookie": cookie}}, {"path": f"/ws?token={TOKEN}"}):
            with follow(sink, **way) as client:
                sink.write(rated(0))
                assert heard(client)["source"] == "clip.mp4"
    assert "/ws" in caplog.text and TOKEN not in caplog.text


def test_the_network_gets_a_token_and_loopback_need_not():
    assert "token" not in ServeSink().url and "token" not in ServeSink("::1").url
    urls = [ServeSink("0.0.0.0").url for _ in range(2)]
    tokens = [re.fullmatch(r"http://[^/]+:8000/\?token=([0-9a-f]{32})", url)[1] for url in urls]
    assert tokens[0] != tokens[1]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"port": 70000}, "from 0 to 65535"),
        ({"token": "short"}, "at least 16 letters"),
        ({"token": "x" * 20 + "; Path"}, "nothing else"),
        ({"width_px": 0}, "from 16 to 3840"),
    ],
)
def test_settings_that_cannot_be(settings, words):
    with pytest.raises(InputError, match=words):
        ServeSink(**settings)


def test_an_address_that_cannot_be_had_is_one_line(shared, frame):
    with pytest.raises(OutputError, match=rf"127.0.0.1:{shared.port}: address already in use; choose another port"):
        ServeSink(port=shared.port).__enter__()
    with pytest.raises(OutputError, match=r"^the page cannot be served on no\.such\.host\.invalid:8000: [^\n]+$"):
        ServeSink("no.such.host.invalid").__enter__()
    with pytest.raises(OutputError, match="inside its 'with' block"):
        ServeSink().write(frame(0))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/calibrate", b"{", 400),
        ("/calibrate", b"[" * 4000, 400),
        ("/calibrate", b"\xff\xfe", 400),
        ("/calibrate", [], 422),
        ("/calibrate", {"track_id": True}, 422),
        ("/calibrate", {"track_id": -1}, 422),
        ("/calibrate", {"source": "other"}, 422),
        ("/calibrate", {"source": {}, "more": 1}, 422),
        ("/mark", {"text": "x" * 201}, 422),
        ("/mark", {"text": 5}, 422),
        ("/mark", b"x" * 5000, 413),
    ],
)
def test_a_request_that_makes_no_sense_is_no_command(shared, path, body, status):
    assert ask(shared, path, "POST", body)[0] == status and shared.commands.empty()


def test_commands_that_nobody_takes_do_not_pile_up(served):
    answers = [ask(served, "/mark", "POST", {})[0] for _ in range(70)]
    assert answers == [202] * 64 + [503] * 6
    assert ask(served, "/mark", "POST", b"{}", Content_Type="text/plain")[0] == 415
    assert ask(served, "/mark")[0] == 405


def test_a_message_that_is_too_long_ends_its_client_only(shared, frame):
    with follow(shared) as good, follow(shared) as bad:
        heard(bad, "hello")
        bad.send("x" * 5000)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                bad.recv(timeout=30)
        assert closed.value.rcvd.code == 1009
        shared.write(frame(0))
        assert heard(good)["frame"] == 0


def test_no_more_clients_than_there_may_be(served, monkeypatch):
    monkeypatch.setattr("mdhr_sdk.outputs.serve.hub.CLIENTS", 1)
    with follow(served) as client:
        heard(client, "hello")
        assert ask(served, "/events")[0] == 503
        for path in ("/ws", "/frames?source=clip.mp4"):
            with pytest.raises(InvalidStatus) as answer, follow(served, path):
                pass
            assert answer.value.response.status_code == 503
    assert counted(served)["mdhr_requests_refused_total", "full"] == 3


def test_what_is_no_http_harms_nobody(shared):
    rng = np.random.default_rng(3)
    for size in (1, 20, 400, 70000):
        for start in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n"):
            with socket.create_connection(("127.0.0.1", shared.port)) as line, suppress(OSError):
                line.sendall(start + rng.bytes(size))
    assert ask(shared, "/healthz")[0] == 200


def test_what_is_missing_is_named_with_its_extra():
    code = "import sys; sys.modules['uvicorn'] = None\nfrom mdhr_sdk.outputs.serve import ServeSink\nServeSink()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingDependencyError: this needs the package 'uvicorn'" in done.stderr and "'.[live]'" in done.stderr
