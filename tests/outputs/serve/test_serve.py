"""The served page over real HTTP and WebSockets: what it gives, and that it waits for nobody."""

from __future__ import annotations

import json
import re
import socket
import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timezone
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from mdhr_sdk.errors import OutputError
from mdhr_sdk.outputs.jsonl import as_json, end_as_json
from mdhr_sdk.outputs.serve import Calibrate, Mark, ServeSink
from mdhr_sdk.results import AUEvent, SourceStatus
from processes import until
from served import ask, counted, follow, heard

NOON = datetime(2026, 11, 30, 12, tzinfo=timezone.utc)
EVENT = AUEvent("clip.mp4", 0, "AU12", 3, 5, 9, 0.12, 0.2, 0.36, 0.9)


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
    earlier, result = rated(0), replace(rated(1, faces=2), events=(EVENT,), dropped=3, delay_ms=41.5, captured_at=NOON)
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
        assert moment["0"]["AU01"] == [round(earlier.faces[0]["AU01"].probability, 2), 1, None]
        served.write(result)
        assert heard(client) == {"type": "frame", **as_json(result)}
        told = heard(client, "status")["sources"]["clip.mp4"]
        assert told["results"] == 2 and told["dropped"] == 3 and told["delay_p99_ms"] == 41.5 and told["faces"] == 2
        with follow(served) as later:
            assert heard(later, "hello")["events"] == [
                {"type": "event", **EVENT.row(), "at": "2026-11-30T12:00:00.080Z"}
            ]
    events = (json.loads(line[6:]) for line in iter(lines.readline, b"") if line.startswith(b"data: "))
    assert next(events)["type"] == "hello"
    assert next(one for one in events if one["type"] == "frame") == {"type": "frame", **as_json(result)}
    stream.close()


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


@pytest.mark.slow
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
        kinds = ("ws", "sse")
        until(lambda: [counted(served)["mdhr_clients_dropped_total", kind] for kind in kinds] == [50, 50])
        until(lambda: descriptors() < begin + 120)  # the server keeps none of their connections
        counts = counted(served)
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


def test_sources_that_are_long_gone_are_forgotten(served, frame):
    for index in range(70):
        served.write(frame(index, source=f"{index}.mp4"))
    until(lambda: ("mdhr_results_total", "69.mp4") in counted(served))
    names = [key[1] for key in counted(served) if key[0] == "mdhr_results_total"]
    assert names == [f"{index}.mp4" for index in range(6, 70)]


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
