"""Results for an MQTT broker, as home automation and dashboards read them."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from ...errors import ConfigError, OutputError, require
from ...results import AUEvent, Ending, FrameResult
from ..jsonl import as_json, json_line

if TYPE_CHECKING:
    from typing_extensions import Self

PORT, TLS_PORT = 1883, 8883
KEEPALIVE_S = 20
LAST_S = 0.5  # how long the last messages may take


class MqttSink:
    """Publishes `PREFIX/SOURCE/frame` (each frame, as `as_json` gives it) and `PREFIX/SOURCE/event` (each event).

    Frames go with QoS 0, events with QoS 1. `PREFIX/status` is retained: 'online', and 'offline' once this has ended or
    was killed. In a source's name '/', '+' and '#' become '_'.

    Attributes:
        name: the broker, without login.

    Args:
        address: 'mqtt://[USER:PASSWORD@]HOST[:PORT]/PREFIX', or 'mqtts://' for TLS; the prefix is 'mdhr' if missing.

    Raises:
        ConfigError: another address.
        MissingDependencyError: on entering, the extra 'mqtt' is not installed.
        OutputError: on writing, there is no connection now; see `QueuedSink`, which tries again.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port, parts = None, None, urlsplit("")
        if not host or parts.scheme not in ("mqtt", "mqtts"):
            raise ConfigError("an MQTT broker is mqtt://HOST[:PORT]/PREFIX, or mqtts:// for TLS; check the address")
        self._tls = parts.scheme == "mqtts"
        self._host, self._port = host, port or (TLS_PORT if self._tls else PORT)
        self._user = None if parts.username is None else unquote(parts.username)
        self._password = None if parts.password is None else unquote(parts.password)
        self._prefix = _topic(parts.path.strip("/"), keep="/") or "mdhr"
        self.name = f"{parts.scheme}://{host}:{self._port}/{self._prefix}"
        self._client: Any = None
        self._endings: dict[Ending, str] = {}
        self._refused = ""

    def __enter__(self) -> Self:
        mqtt = require("paho.mqtt.client", "mqtt")
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if self._user is not None:
            self._client.username_pw_set(self._user, self._password)
        if self._tls:
            self._client.tls_set()
        self._client.will_set(f"{self._prefix}/status", "offline", qos=1, retain=True)
        self._client.on_connect = self._connected
        self._client.reconnect_delay_set(min_delay=1, max_delay=10)
        self._client.connect_async(self._host, self._port, KEEPALIVE_S)
        self._client.loop_start()
        return self

    def connect(self, within_s: float) -> None:
        """Wait until the broker has answered; OutputError if it does not, or refuses."""
        until = time.monotonic() + within_s
        while not self._client.is_connected():
            if time.monotonic() >= until:
                raise OutputError(self._absent)
            time.sleep(0.02)

    def write(self, result: FrameResult) -> None:
        """Publish one frame and the events that ended in it."""
        if not self._client.is_connected():
            raise OutputError(self._absent)
        source = _topic(result.source)
        self._endings.setdefault(result.ending, source)
        self._publish(f"{source}/frame", json_line(as_json(result)))
        for event in result.events:
            self._tell(source, event)

    def __exit__(self, *_: object) -> None:
        if self._client is None:
            return
        try:
            if self._client.is_connected():
                for ending, source in self._endings.items():
                    for event in ending.events:
                        self._tell(source, event)
                last = self._client.publish(f"{self._prefix}/status", "offline", qos=1, retain=True)
                last.wait_for_publish(LAST_S)
            self._client.disconnect()
        finally:
            self._client.loop_stop()

    def _tell(self, source: str, event: AUEvent) -> None:
        self._publish(f"{source}/event", json_line(event.row()), qos=1)

    def _publish(self, topic: str, line: bytes, qos: int = 0) -> None:
        sent = self._client.publish(f"{self._prefix}/{topic}", line.rstrip(b"\n"), qos=qos)
        if qos == 0 and sent.rc:  # it would be lost; paho itself keeps what has QoS 1
            raise OutputError(self._absent)

    def _connected(self, client: Any, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        self._refused = str(reason) if reason.is_failure else ""
        if not reason.is_failure:
            client.publish(f"{self._prefix}/status", "online", qos=1, retain=True)

    @property
    def _absent(self) -> str:
        why = f"refuses: {self._refused}" if self._refused else "does not answer"
        return f"the broker {self._host}:{self._port} {why}; check its address, its login and that it runs"


def _topic(name: str, keep: str = "") -> str:
    """A name as a part of a topic."""
    return re.sub("[/+#\0]".replace("/", "" if keep else "/"), "_", name)
