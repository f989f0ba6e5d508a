"""For tests of the served page: asks it over real HTTP and WebSockets."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from websockets.sync.client import ClientConnection, connect

from mdhr_sdk.outputs.serve import ServeSink


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
