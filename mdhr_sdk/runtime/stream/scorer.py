"""Exact streaming: every frame is encoded once, and scored as the clip model would.

The score of frame s at lookahead L is what the clip model gives at the position of s in the window that ends at frame
s + L: the last T frames, or as many as there are since the stream began. When a stream ends, its last L frames are
scored in the window of its last frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ...errors import ConfigError, InputError, NotFiniteError, number_of
from ...modelfolder.config import FolderConfig
from ..session import Session, check_inputs, finite, joined, not_finite
from .device_rings import place_rings
from .rings import RING_DTYPES, Map, Ring, RingSettings, Rows, Window
from .stream_graphs import StreamGraphs

MAX_BATCH = 16  # frames per call: bounds memory when many faces come together
Array = NDArray[np.float32]
Number = TypeVar("Number", bound=np.generic)


@dataclass(frozen=True, eq=False)
class StreamScore:
    """Scores of one frame of one stream.

    Attributes:
        key: the stream.
        frame: number of the frame in it, from 0.
        scores: (N,) float32 in [0, 1].
        delay_frames: frames of this stream that came after it before it was scored; less than L at the end.
    """

    key: Hashable
    frame: int
    scores: Array
    delay_frames: int


@dataclass
class _Stream:
    ring: Ring
    seen: int = 0
    held: deque[tuple[int, Array]] = field(default_factory=deque)  # scored before they are due


def default_lookahead(config: FolderConfig) -> int:
    """The least L without edge effects where T allows one, k + 2; else half of the clip."""
    settled = (config.model.k if config.model.mfd else 0) + config.model.temporal_reach
    return settled if 2 * settled < config.clip_length else config.clip_length // 2


def check_ring_dtype(dtype: str) -> str:
    """`dtype`, if it is one of `RING_DTYPES`.

    Raises:
        ConfigError: it is not.
    """
    if dtype not in RING_DTYPES:
        raise ConfigError(f"ring_dtype must be one of {', '.join(RING_DTYPES)}; got {dtype!r}")
    return dtype


class StreamScorer:
    """Scores any number of streams, one face each, in batches. Streams come and go, and never mix.

    Attributes:
        graphs: what it runs; the caller's to close.
        lookahead: L, in frames.
        settings: what the streams' rings share.
        place: where rings, and features on the way to them, lie: 'cuda:0', or 'the host', and why not on a device.
        stream_bytes: memory that a stream holds at most, there.
    """

    def __init__(self, graphs: StreamGraphs, lookahead: int | None = None, ring_dtype: str = "float32") -> None:
        """Begin without streams.

        Args:
            lookahead: L, 0 to T - 1; None for `default_lookahead`.
            ring_dtype: how differences of frames are kept: 'float32', exact; or 'float16' or 'bfloat16' in little more
                than half of the memory, each difference rounded once, to 11 or 8 bits.

        Raises:
            ConfigError: a lookahead out of range, or a dtype that there is not.
        """
        config = graphs.config
        lookahead = default_lookahead(config) if lookahead is None else lookahead
        whole = isinstance(lookahead, int | np.integer) and not isinstance(lookahead, bool)
        if not whole or not 0 <= lookahead < config.clip_length:
            raise ConfigError(f"lookahead must be an integer from 0 to {config.clip_length - 1}; got {lookahead!r}")
        check_ring_dtype(ring_dtype)
        self.graphs = graphs
        self.lookahead = int(lookahead)
        model = config.model
        settings = RingSettings(
            lookahead, config.clip_length, model.k if model.mfd else 0, model.temporal_reach, graphs.parameters,
            ring_dtype, graphs.threads,
        )  # fmt: skip
        self.place, dynamics = place_rings(settings, graphs)
        self.settings = replace(settings, dynamics=dynamics)
        self.stream_bytes = self.settings.ring_bytes(config)
        self._streams: dict[Hashable, _Stream] = {}

    @property
    def keys(self) -> tuple[Hashable, ...]:
        """The streams that are open."""
        return tuple(self._streams)

    def push(self, frames: Mapping[Hashable, Array]) -> list[StreamScore]:
        """Take the next frame of some streams; a key that is new begins a stream.

        Args:
            frames: key -> (3, S, S) float32, normalised RGB, as `mdhr_sdk.vision.prepare` gives.

        Returns:
            The scores that are now due: frame t - L of each stream that has it.

        Raises:
            InputError: a frame of another shape or dtype, or one that is not finite.
            BackendError: the backend fails. Streams that had taken their frame are then ended, without their last
                scores, which could be wrong.
            NotFiniteError: the model answers NaN or infinity for some streams, the error's `keys`. Only these are
                ended; what is due of the others, which go on, lies in the error's `scores`.
        """
        if not frames:
            return []
        given = [np.asarray(frame) for frame in frames.values()]
        if len(given) > 1 and len(shapes := {frame.shape for frame in given}) > 1:
            raise InputError(f"expected frames of one shape; got {sorted(shapes)}")
        stacked = stacked_rows(given)
        if not np.isfinite(stacked).all():
            raise InputError("expected finite frames; got NaN or infinity")
        if self.settings.dynamics is not None and self.settings.dynamics.on_device:
            return self._push(list(frames), self._kept_features(stacked))
        return self.push_features(list(frames), _in_batches(self.graphs.encoder, {"frames": stacked}))

    def push_features(self, keys: Sequence[Hashable], features: Mapping[str, Array]) -> list[StreamScore]:
        """As `push`, for frames encoded elsewhere: `features` as the encoder graph gives them, one row per key.

        Raises:
            InputError: a key comes twice, or the features are not the encoder's.
            BackendError, NotFiniteError: as `push`.
        """
        if not keys:
            return []
        specs = self.graphs.encoder.outputs
        check_inputs(specs, features)
        static, *maps = (features[spec.name] for spec in specs)
        if len(set(keys)) < len(keys) or any(len(array) != len(keys) for array in (static, *maps)):
            raise InputError(
                f"expected different keys, and a row of the features for each; got "
                f"{number_of(len(keys), 'key')} and {number_of(len(static), 'row')}"
            )
        return self._push(keys, [(static, maps)])

    def _push(self, keys: Sequence[Hashable], parts: Iterable[tuple[Array, Sequence[Map]]]) -> list[StreamScore]:
        """The features of all keys, in their order, in one part or more."""
        streams: dict[Hashable, _Stream] = {}
        rows: list[Rows] = []
        try:
            for static, maps in parts:
                some = keys[len(streams) : len(streams) + len(static)]
                streams |= {key: self._streams.setdefault(key, _Stream(self.settings.ring())) for key in some}
                rows += self.settings.push([streams[key].ring for key in some], static, maps)
            for stream in streams.values():
                stream.seen += 1
            return self._score(streams, dict(zip(keys, rows, strict=True)), self.lookahead)
        except NotFiniteError:
            raise
        except BaseException:  # also Ctrl-C: what was half pushed would be scored as another frame
            for key in streams:
                del self._streams[key]
            raise

    def _kept_features(self, frames: Array) -> Iterator[tuple[Array, Sequence[Map]]]:
        """Static tokens on the host, maps on the encoder's device until the next part."""
        encoder = self.graphs.encoder
        static, *maps = (spec.name for spec in encoder.outputs)
        for start in range(0, len(frames), MAX_BATCH):
            for part in encoder.run_kept({"frames": frames[start : start + MAX_BATCH]}, maps):
                yield part.arrays[static], [part.kept[name] for name in maps]

    def finish(self, keys: Iterable[Hashable] | None = None) -> list[StreamScore]:
        """End streams, all of them by default: returns the scores of their last L frames, and forgets them.

        Raises:
            InputError: there is no such stream.
            BackendError, NotFiniteError: as `push`; all of these streams are ended.
        """
        chosen = list(dict.fromkeys(self._streams if keys is None else keys))
        if unknown := [key for key in chosen if key not in self._streams]:
            raise InputError(f"expected keys of open streams; got {unknown}; open are {list(self._streams)}")
        if not chosen:
            return []
        streams = {key: self._streams.pop(key) for key in chosen}
        rows = self.settings.finish([stream.ring for stream in streams.values()])
        return self._score(streams, dict(zip(streams, rows, strict=True)), 0)

    @property
    def branches(self) -> bool:
        """Whether `so_far` can be asked: not where rings lie on a device."""
        return self.settings.dynamics is None or not self.settings.dynamics.on_device

    def so_far(self, keys: Sequence[Hashable]) -> list[StreamScore]:
        """What `finish` would return now for these open streams, which go on. It costs about as much as `push`.

        Raises:
            BackendError, NotFiniteError: as `push`; after the latter its streams are ended.
        """
        own = [self._streams[key] for key in keys]
        twins = {key: _Stream(one.ring.branch(), one.seen, one.held.copy()) for key, one in zip(keys, own, strict=True)}
        rows = self.settings.finish([twin.ring for twin in twins.values()])
        return self._score(twins, dict(zip(twins, rows, strict=True)), 0)

    def discard(self) -> None:
        """Forget all streams without scoring their last frames."""
        self._streams.clear()

    def _score(self, streams: dict[Hashable, _Stream], rows: dict[Hashable, Rows], wait: int) -> list[StreamScore]:
        """Nodes of all rows in one batch, scores of all windows in another, then what is due `wait` frames later."""
        # Not left to the graphs: some backends make numbers of NaN.
        good = {key: own for key, own in rows.items() if finite(*(array for array in own if array is not None))}
        windows = self._windows(streams, good)
        if windows:
            nodes = stacked_rows([window.nodes for _, window in windows])
            scores = _in_batches(self.graphs.temporal, {"nodes": nodes})["scores"]
            for (key, window), row in zip(windows, scores, strict=True):
                if finite(row):
                    streams[key].held.append((window.frame, np.clip(row, 0.0, 1.0)))
                else:
                    good.pop(key, None)
        due = []
        for key in good:
            stream = streams[key]
            while stream.held and stream.seen - 1 - stream.held[0][0] >= wait:
                frame, row = stream.held.popleft()
                due.append(StreamScore(key, frame, row, stream.seen - 1 - frame))
        if broken := tuple(key for key in streams if key not in good):
            raise self._ended(broken, due)
        return due

    def _ended(self, broken: tuple[Hashable, ...], due: list[StreamScore]) -> NotFiniteError:
        """Forget streams whose answers are no numbers."""
        for key in broken:
            self._streams.pop(key, None)
        names = ", ".join(map(str, broken))
        error = NotFiniteError(f"stream {names}: {not_finite(self.graphs.encoder, self.settings.dtype)}")
        error.keys, error.scores = broken, tuple(due)
        return error

    def _windows(self, streams: dict[Hashable, _Stream], rows: dict[Hashable, Rows]) -> list[tuple[Hashable, Window]]:
        """The windows that the nodes of these rows complete."""
        nodes = self._nodes(list(rows.values()))
        windows: list[tuple[Hashable, Window]] = []
        start = 0
        for key, own in rows.items():
            windows += [(key, one) for one in streams[key].ring.windows(nodes[start : start + len(own.static)])]
            start += len(own.static)
        return windows

    def _nodes(self, rows: list[Rows]) -> Array:
        if sum(len(own.static) for own in rows) == 0:
            model = self.graphs.config.model
            return np.empty((0, len(model.label_set.aus), model.au_width), np.float32)
        inputs = {"static": _concatenated([own.static for own in rows])}
        if self.settings.parameters is not None:
            inputs["motion"] = _concatenated([own.motion for own in rows if own.motion is not None])
        return _in_batches(self.graphs.relations, inputs)["nodes"]


def stacked_rows(arrays: list[NDArray[Number]]) -> NDArray[Number]:
    """As `np.stack`, which takes a while for the one array that there mostly is."""
    return np.asarray(arrays[0][None]) if len(arrays) == 1 else np.stack(arrays)


def _concatenated(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _in_batches(session: Session, inputs: Mapping[str, Array]) -> dict[str, Array]:
    count = len(next(iter(inputs.values())))
    parts = [
        session.run({name: np.ascontiguousarray(array[start : start + MAX_BATCH]) for name, array in inputs.items()})
        for start in range(0, count, MAX_BATCH)
    ]
    return parts[0] if len(parts) == 1 else joined(parts)
