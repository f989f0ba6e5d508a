"""The counts of a served run, as Prometheus reads them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...results import FrameResult
from .board import Board
from .hub import Hub
from .pictures import Pictures

if TYPE_CHECKING:
    from prometheus_client.core import Metric

STATES = ("connecting", "live", "stale", "lost", "reconnecting", "ended")
DELAYS_S = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0)
KINDS = ("ws", "sse", "frames")


class Metrics:
    """Asked for by `/metrics`; the delays are counted as results come, all else is read when it is asked for."""

    def __init__(self, board: Board, hub: Hub, pictures: Pictures) -> None:
        from prometheus_client import CollectorRegistry, Histogram

        self._board, self._hub, self._pictures = board, hub, pictures
        self._registry = CollectorRegistry()
        self._delay = Histogram(
            "mdhr_delay_seconds", "From a frame's arrival to its result.", ["source"],
            registry=self._registry, buckets=DELAYS_S,
        )  # fmt: skip
        self._registry.register(self)  # type: ignore[arg-type]

    def add(self, result: FrameResult) -> None:
        """Count a result."""
        self._delay.labels(result.source).observe(result.delay_ms / 1000)

    def text(self) -> tuple[bytes, str]:
        """All counts, and their content type."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return generate_latest(self._registry), CONTENT_TYPE_LATEST

    def collect(self) -> Iterator[Metric]:
        """What the registry asks for."""
        yield from self._of_results()
        yield from self._of_states()
        yield from self._of_clients()

    def _of_results(self) -> Iterator[Metric]:
        results = _counter("mdhr_results", "Results that were given.", "source")
        faces = _gauge("mdhr_faces", "Faces in the newest result.", "source")
        occurring = _gauge(
            "mdhr_au_occurring_faces", "Faces of the newest result in which an AU occurs.", "source", "au"
        )
        events = _counter("mdhr_events", "Events that ended.", "source", "au")
        for name, seen in self._board.sources.items():
            results.add_metric([name], seen.results)
            faces.add_metric([name], len(seen.newest.faces))
            codes = [code for face in seen.newest.faces for code, score in face.aus.items() if score.occurrence]
            for code in sorted(set(codes)):
                occurring.add_metric([name, code], codes.count(code))
            for code, count in seen.occurred.items():
                events.add_metric([name, code], count)
        yield from (results, faces, occurring, events)

    def _of_states(self) -> Iterator[Metric]:
        states = self._board.states()
        state = _gauge("mdhr_source_state", "1 for the state that a source is in.", "source", "state")
        dropped = _counter("mdhr_frames_dropped", "Frames that gave no result.", "source", "reason")
        for name, told in states.items():
            for one in STATES if "state" in told else ():
                state.add_metric([name, one], float(told["state"] == one))
            for reason, count in told.get("dropped_by", {"any": told.get("dropped", 0)}).items():
                dropped.add_metric([name, reason], count)
        yield from (state, dropped)
        yield from (
            _filled(_counter(f"mdhr_{metric}", words, "source"), states, key)
            for metric, words, key in (
                ("frames_captured", "Frames that came.", "captured"),
                ("frames_scored", "Frames whose result was given.", "scored"),
                ("reconnects", "Times a source was opened again.", "reconnects"),
            )
        )
        yield _filled(_gauge("mdhr_source_fps_in", "Frames a second that come.", "source"), states, "fps_in")
        yield _filled(_gauge("mdhr_source_fps_out", "Results a second.", "source"), states, "fps_out")

    def _of_clients(self) -> Iterator[Metric]:
        clients = _gauge("mdhr_clients", "Clients that are there.", "kind")
        dropped = _counter("mdhr_clients_dropped", "Clients that were dropped since they were too slow.", "kind")
        for kind in KINDS:
            clients.add_metric([kind], self._hub.count(kind))
            dropped.add_metric([kind], self._hub.dropped[kind])
        refused = _counter("mdhr_requests_refused", "Requests that were refused.", "reason")
        for reason, count in self._hub.refused.items():
            refused.add_metric([reason], count)
        late = _counter("mdhr_results_late", "Results that the page left out, since it could not keep up.")
        late.add_metric([], self._board.late)
        made = _counter("mdhr_pictures_encoded", "Pictures that were drawn and encoded.")
        made.add_metric([], self._pictures.made)
        yield from (clients, dropped, refused, late, made)


def _filled(metric: Any, states: dict[str, dict[str, Any]], key: str) -> Any:
    for name, told in states.items():
        if told.get(key) is not None:
            metric.add_metric([name], told[key])
    return metric


def _counter(name: str, words: str, *labels: str) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(name, words, labels=labels)


def _gauge(name: str, words: str, *labels: str) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, words, labels=labels)
