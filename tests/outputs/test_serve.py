"""The served page over real HTTP and WebSockets: what it gives, whom it refuses, and that it waits for nobody."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from mdhr_sdk.errors import InputError, OutputError
from mdhr_sdk.outputs.jsonl import as_json, end_as_json
from mdhr_sdk.outputs.serve import Calibrate, Mark, ServeSink
from mdhr_sdk.results import AUEvent, SourceStatus
from processes import until

TOKEN = "0123456789abcdef0123"
EVENT = AUEvent("clip.mp4", 0, "AU12", 3, 5, 9, 0.12, 0.2, 0.36, 0.9)


@pytest.fixture
def served() -> Iterator[ServeSink]:
    with ServeSink(port=0) as sink:
        yield sink
    assert not sink._thread.is_alive()


@pytest.fixture(scope="module")
def shared() -> Iterator[ServeSink]:
    """For requests that change nothing: each server takes 0.2 s to end."""
    with ServeSink(port=0) as sink:
        yield sink


def ask(sink: ServeSink, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, Any, str]:
    """Status, headers and text of an answer."""
    connection = HTTPConnection("127.0.0.1", sink.port, timeout=30)
    sent = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(method, path, sent, given | {key.replace("_", "-"): value for key, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def follow(sink: ServeSink, path: str = "/ws", **more: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{sink.port}{path}", proxy=None, compression=None, **more)


def heard(client: ClientConnection, kind: str = "frame") -> dict[str, Any]:
    """The next message of a kind."""
    while (message := json.loads(client.recv(timeout=30)))["type"] != kind:
        pass
    return message


def counted(sink: ServeSink) -> dict[tuple[str, ...], float]:
    """(name, label values by the labels' names) -> value, as Prometheus' own parser reads the page."""
    families = text_string_to_metric_families(ask(sink, "/metrics")[2])
    return {
        (one.name, *(value for _, value in sorted(one.labels.items()))): one.value
        for family in families
        for one in family.samples
    }


def test_the_page_is_its_own_and_asks_nobody_else(shared):
    status, headers, text = ask(shared, "/")
    assert status == 200 and headers["content-type"].startswith("text/html")
    assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"
    names, todo = set(), {*re.findall(r'(?:href|src)="([^"]+)"', text)}
    while todo:
        name = todo.pop()
        names.add(name)
        status, _, text = ask(shared, name)
        assert status == 200 and not re.search(r"https?://(?!www\.w3\.org/2000/svg)|eval\(|innerHTML", text), name
        todo |= {f"/{one}" for one in re.findall(r'from "\./([^"]+)"', text)} - names
    assert {"/page.js", "/page.css", "/timeline.js", "/icon.svg"} <= names
    assert [ask(shared, path)[0] for path in ("/none", "/../sink.py", "/%2e%2e/sink.py", "/page.js/..")] == [404] * 4


def test_results_are_the_same_json_on_both_ways(served, rated):
    earlier, result = rated(0), replace(rated(1, faces=2), events=(EVENT,), dropped=3, delay_ms=41.5)
    served.write(earlier)
    until(lambda: ask(served, "/readyz")[0] == 200)
    stream = HTTPConnection("127.0.0.1", served.port, timeout=30)
    stream.request("GET", "/events")
    lines = stream.getresponse()
    assert lines.headers["content-type"].startswith("text/event-stream")
    with follow(served) as client:
        hello = heard(client, "hello")
        assert hello["newest"] == {"clip.mp4": as_json(earlier)} and hello["names"]["AU12"] == "lip corner puller"
        ((_, moment),) = hello["history"]["clip.mp4"]
        assert moment["0"]["AU01"] == [round(earlier.faces[0]["AU01"].probability, 2), 1]
        served.write(result)
        assert heard(client) == {"type": "frame", **as_json(result)}
        told = heard(client, "status")["sources"]["clip.mp4"]
        assert told["results"] == 2 and told["dropped"] == 3 and told["delay_p99_ms"] == 41.5 and told["faces"] == 2
        with follow(served) as later:
            assert heard(later, "hello")["events"] == [{"type": "event", **EVENT.row()}]
    events = (json.loads(line[6:]) for line in iter(lines.readline, b"") if line.startswith(b"data: "))
    assert next(events)["type"] == "hello"
    assert next(one for one in events if one["type"] == "frame") == {"type": "frame", **as_json(result)}
    stream.close()


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


def test_buttons_are_commands(served, frame):
    served.write(frame(0, faces=2))
    until(lambda: "clip.mp4" in ask(served, "/metrics")[2])
    with follow(served) as client:
        assert ask(served, "/calibrate", "POST", {"source": "clip.mp4", "track_id": 1})[0] == 202
        assert ask(served, "/calibrate", "POST", {})[0] == 202
        assert ask(served, "/mark", "POST", {"source": "clip.mp4", "text": " laughs \x1b[2J\n"})[0] == 202
        mark = heard(client, "mark")
    assert served.commands.get() == Calibrate("clip.mp4", 1) and served.commands.get() == Calibrate("", None)
    told = served.commands.get()
    assert isinstance(told, Mark) and told.text == mark["text"] == "laughs \\x1b[2J" and told.source == "clip.mp4"
    assert mark["at"].endswith("Z") and served.commands.empty()


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


def test_who_does_not_read_is_dropped_and_nobody_waits(served, frame):
    """A hundred clients never read, half of them on events; another one gets every result meanwhile."""
    big, begin = frame(0, faces=10), descriptors()
    upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    ws = f"GET /ws HTTP/1.1\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n{upgrade}"
    with ExitStack() as stack:
        for words in (ws, "GET /events HTTP/1.1\r\n") * 50:
            mute = stack.enter_context(socket.socket())
            mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            mute.connect(("127.0.0.1", served.port))
            mute.sendall(f"{words}Host: localhost\r\n\r\n".encode())
        good = stack.enter_context(follow(served))
        until(lambda: counted(served)["mdhr_clients", "ws"] == 51 and counted(served)["mdhr_clients", "sse"] == 50)
        for index in range(1, 600):
            served.write(replace(big, index=index))
            assert heard(good)["frame"] == index
        until(lambda: descriptors() < begin + 120)  # the server keeps none of their connections
        counts = counted(served)
        assert counts["mdhr_clients_dropped_total", "ws"] == counts["mdhr_clients_dropped_total", "sse"] == 50
        assert counts["mdhr_clients", "ws"] == 1 and counts["mdhr_results_late_total",] == 0


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_a_hundred_clients_get_every_result(served, frame):
    with ExitStack() as stack:
        clients = [stack.enter_context(follow(served)) for _ in range(100)]
        for index in range(20):
            served.write(frame(index))
        for client in clients:
            assert [heard(client)["frame"] for _ in range(20)] == list(range(20))
        assert counted(served)["mdhr_clients", "ws"] == 100


def test_writing_never_waits_for_the_server(frame):
    """The server's thread is held: what it cannot take is left out and counted."""
    with ServeSink(port=0) as sink:
        held, go = threading.Event(), threading.Event()
        sink._loop.call_soon_threadsafe(lambda: (held.set(), go.wait(60)))
        assert held.wait(60)
        for index in range(300):
            sink.write(frame(index))
        go.set()
        until(lambda: counted(sink).get(("mdhr_results_total", "clip.mp4")) == 256)
        assert counted(sink)["mdhr_results_late_total",] == 44


def test_pictures_are_made_for_watchers_once_for_all(served, frame):
    import cv2

    def picture(index: int) -> Any:
        return replace(frame(index, faces=2), image=np.full((720, 1280, 3), index, np.uint8))

    for index in range(10):
        served.write(picture(index))
    until(lambda: counted(served).get(("mdhr_results_total", "clip.mp4")) == 10)
    assert counted(served)["mdhr_pictures_encoded_total",] == 0
    with ExitStack() as stack:
        watchers = [stack.enter_context(follow(served, "/frames?source=clip.mp4")) for _ in range(3)]
        first = [one.recv(timeout=30) for one in watchers]
        assert first[0] == first[1] == first[2] and counted(served)["mdhr_pictures_encoded_total",] == 1
        seen = cv2.imdecode(np.frombuffer(first[0], np.uint8), cv2.IMREAD_COLOR)
        assert seen.shape == (360, 640, 3) and abs(int(seen[300, 600, 0]) - 9) <= 2
        assert np.ptp(seen[5:50, 10:45].astype(int)) > 100  # the box, at half its size
        served.write(picture(200))  # nobody has asked for the next one yet
        for one in watchers[:2]:
            one.send("next")
        assert watchers[0].recv(timeout=30) == watchers[1].recv(timeout=30)
        assert counted(served)["mdhr_pictures_encoded_total",] == 2
        with pytest.raises(TimeoutError):
            watchers[2].recv(timeout=0.05)


def test_who_asks_for_no_more_pictures_is_dropped(served, frame, monkeypatch):
    monkeypatch.setattr("mdhr_sdk.outputs.serve.routes.ANSWER_S", 0.05)
    served.write(replace(frame(0), image=np.zeros((8, 8, 3), np.uint8)))
    with follow(served, "/frames?source=clip.mp4") as watcher:
        assert watcher.recv(timeout=30)
        with pytest.raises(ConnectionClosed):
            watcher.recv(timeout=30)
    until(lambda: counted(served)["mdhr_clients_dropped_total", "frames"] == 1)
    assert counted(served)["mdhr_clients", "frames"] == 0


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


def test_sources_that_are_long_gone_are_forgotten(served, frame):
    for index in range(70):
        served.write(frame(index, source=f"{index}.mp4"))
    until(lambda: ("mdhr_results_total", "69.mp4") in counted(served))
    names = [key[1] for key in counted(served) if key[0] == "mdhr_results_total"]
    assert names == [f"{index}.mp4" for index in range(6, 70)]


def test_what_is_no_http_harms_nobody(shared):
    rng = np.random.default_rng(3)
    for size in (1, 20, 400, 70000):
        for start in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n"):
            with socket.create_connection(("127.0.0.1", shared.port)) as line, suppress(OSError):
                line.sendall(start + rng.bytes(size))
    assert ask(shared, "/healthz")[0] == 200


def test_metrics_and_readiness_follow_the_states(served, frame):
    assert ask(served, "/healthz")[0] == 200 and ask(served, "/readyz")[0] == 503
    by = {"newer": 2, "start": 1}
    status = SourceStatus(12, 9, 3, state="live", reconnects=2, dropped_by=by, fps_in=25.0, fps_out=20.04)
    states = {"door": status}
    served.status = lambda: states
    served.write(replace(frame(0, source="door", faces=2), delay_ms=120.0, events=(EVENT,)))
    until(lambda: ask(served, "/readyz")[0] == 200)
    counts = counted(served)
    expected = {
        ("mdhr_results_total", "door"): 1,
        ("mdhr_frames_captured_total", "door"): 12,
        ("mdhr_frames_dropped_total", "newer", "door"): 2,
        ("mdhr_reconnects_total", "door"): 2,
        ("mdhr_source_state", "door", "live"): 1,
        ("mdhr_source_state", "door", "lost"): 0,
        ("mdhr_source_fps_in", "door"): 25,
        ("mdhr_faces", "door"): 2,
        ("mdhr_events_total", "AU12", "door"): 1,
        ("mdhr_au_occurring_faces", "AU01", "door"): 2,
        ("mdhr_delay_seconds_bucket", "0.1", "door"): 0,
        ("mdhr_delay_seconds_bucket", "0.15", "door"): 1,
    }
    assert {key: counts.get(key) for key in expected} == expected
    states["door"] = replace(status, state="lost", reason="no answer for 3 s")
    assert ask(served, "/readyz")[0] == 503
    with follow(served) as client:
        told = heard(client, "status")["sources"]["door"]
    assert told["reason"] == "no answer for 3 s" and told["dropped_by"] == by
    served.status = lambda: 1 / 0
    assert "door" in ask(served, "/metrics")[2]  # states are missing, and told so in the log


def test_the_end_reaches_every_client_and_leaves_no_thread(frame):
    with ExitStack() as stack:
        with ServeSink(port=0) as sink:
            client = stack.enter_context(follow(sink))
            watcher = stack.enter_context(follow(sink, "/frames?source=none"))
            idle = stack.enter_context(socket.create_connection(("127.0.0.1", sink.port)))
            mute = stack.enter_context(socket.create_connection(("127.0.0.1", sink.port)))
            mute.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            heard(client, "hello")
            result = frame(0)
            result.ending.events = (EVENT,)
            sink.write(result)
        assert heard(client)["frame"] == 0  # also what was written last
        assert heard(client) == {"type": "frame", **end_as_json("clip.mp4", result.model, result.ending)}
        for one in (client, watcher):
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    one.recv(timeout=30)
            assert closed.value.rcvd.code in (1001, 1012)
        assert idle.recv(1) == b""
        assert not sink._thread.is_alive()
        with pytest.raises(OutputError, match="open a new sink"):
            sink.write(frame(1))
        with pytest.raises(OutputError, match="make a new ServeSink"):
            sink.__enter__()
        sink.close()
        with pytest.raises(OSError):
            socket.create_connection(("127.0.0.1", sink.port))


def test_a_server_that_fails_is_told_by_the_next_result(frame):
    with ServeSink(port=0) as sink:
        sink.write(replace(frame(0), delay_ms="no number"))
        until(lambda: not sink._thread.is_alive())
        with pytest.raises(OutputError, match="the served page has ended: TypeError"):
            sink.write(frame(1))


def test_what_is_missing_is_named_with_its_extra():
    code = "import sys; sys.modules['uvicorn'] = None\nfrom mdhr_sdk.outputs.serve import ServeSink\nServeSink()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingDependencyError: this needs the package 'uvicorn'" in done.stderr and "'.[live]'" in done.stderr
