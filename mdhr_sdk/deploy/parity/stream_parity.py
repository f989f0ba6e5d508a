"""The gate for streams: a folder's own graphs and the rings between them must answer as the clip model does."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np
import torch
from numpy.typing import NDArray

from ...errors import NotFiniteError
from ...model import MDHR
from ...model.dynamics import difference
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
    """Stream two videos side by side, 2 T - 1 frames each, and run the model in every window anew.

    Returns:
        Lookahead -> report on the scores, whose limits are those of the encoder's precision; or, where there are none
        because the streams answered NaN or infinity, that.
    """
    clip, frames = judge.probe(STREAMS, bytes_in=False)
    length = judge.config.clip_length
    there_and_back = [*range(length), *range(length - 2, -1, -1)]
    videos, tensors = clip[:, there_and_back], frames[:, there_and_back]
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
        wanted = np.stack([in_windows(judge.model, video, lookahead, length) for video in tensors])
        reports[lookahead] = report_on(
            graphs.encoder.precision, STREAMS, judge.thresholds([wanted]), [({"scores": wanted}, {"scores": got})]
        )
    return reports


@torch.inference_mode()
def in_windows(model: MDHR, video: torch.Tensor, lookahead: int, length: int) -> Array:
    """(F, 3, S, S) -> (F, N): what the model says of each frame in its window, differences before convolutions.

    A frame's window has at most `length` frames and ends `lookahead` frames after it, or with the video. Frames are
    encoded and differences projected once, which changes no number of the released order.
    """
    scales = model.encoder.backbone(video)
    static = model.encoder.static_tokens(scales.final)
    changes: tuple[torch.Tensor, ...] = ()
    if model.encoder.project is not None:
        changes = model.encoder.project([difference(m[None])[0] for m in scales.maps])
    rows = []
    for frame in range(len(video)):
        newest = min(frame + lookahead, len(video) - 1)
        oldest = max(0, newest - length + 1)
        output = model.head.from_differences(
            static[None, oldest : newest + 1], [change[None, oldest:newest] for change in changes]
        )
        rows.append(output.scores[0, frame - oldest])
    return torch.stack(rows).numpy()


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
