"""The gate for streams: a folder's own graphs and the rings between them must answer as the clip model does."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

from ...errors import NotFiniteError
from ...modelfolder.config import FolderConfig
from ...runtime.stream.scorer import StreamScore, StreamScorer, default_lookahead
from ...runtime.stream.stream_graphs import StreamGraphs
from .judge import Judge
from .report import Broken, ParityReport, report_on

STREAMS = 2
LATER = 3  # frames that the second stream begins after the first
Array = NDArray[np.float32]


def stream_lookaheads(config: FolderConfig) -> tuple[int, ...]:
    """Lookahead 0, and the smallest one without edge effects, if T allows one."""
    return tuple(dict.fromkeys((0, default_lookahead(config))))


def compare_streams(judge: Judge, graphs: StreamGraphs) -> dict[int, ParityReport | Broken]:
    """Stream two videos side by side, 2 T - 1 frames each, and run the reference in every window anew.

    Returns:
        Lookahead -> report on the scores, whose limits are those of the encoder's precision; or, where there are none
        because the streams answered NaN or infinity, that.
    """
    _, frames = judge.probe(STREAMS, bytes_in=False)
    length = judge.config.clip_length
    there_and_back = [*range(length), *range(length - 2, -1, -1)]
    videos = frames[:, there_and_back]
    features = _encoded(graphs, videos)
    reports: dict[int, ParityReport | Broken] = {}
    for lookahead in stream_lookaheads(judge.config):
        scorer = StreamScorer(graphs, lookahead)
        try:
            due = [score for keys, own in features for score in scorer.push_features(keys, own)]
            got = _rows([*due, *scorer.finish()], len(there_and_back))
        except NotFiniteError as error:
            reports[lookahead] = Broken(str(error))
            continue
        wanted = np.stack([judge.reference.in_windows(video, lookahead, length) for video in videos])
        pairs = [({"scores": wanted}, {"scores": got})]
        thresholds, against = judge.thresholds([wanted]), judge.reference.against
        reports[lookahead] = report_on(graphs.encoder.precision, STREAMS, thresholds, pairs, against)
    return reports


def _encoded(graphs: StreamGraphs, videos: Array) -> list[tuple[list[Hashable], dict[str, Array]]]:
    """Step by step, the videos that have a frame then, and its features."""
    steps = []
    for step in range(videos.shape[1] + LATER * (len(videos) - 1)):
        frames = {i: step - LATER * i for i in range(len(videos)) if 0 <= step - LATER * i < videos.shape[1]}
        stacked = np.stack([videos[i, frame] for i, frame in frames.items()])
        steps.append((list[Hashable](frames), graphs.encoder.run({"frames": stacked})))
    return steps


def _rows(scores: list[StreamScore], frames: int) -> Array:
    """(streams, F, N)."""
    found = np.full((STREAMS, frames, len(scores[0].scores)), np.nan, np.float32)
    for score in scores:
        assert isinstance(score.key, int)
        found[score.key, score.frame] = score.scores
    return found
