"""The choices for a run, and how the model is opened for it."""

from __future__ import annotations

from typing import Any, Literal, TypedDict, TypeVar, get_args

from ..errors import ConfigError
from ..modelfolder.folder import ModelFolder
from ..results import ModelInfo
from ..runtime import Session, SessionOptions, open_session, open_streams
from ..runtime.stream.stream_graphs import StreamGraphs
from ..vision.scope import Scope
from ..vision.sources.source import OnError

Choice = TypeVar("Choice")
Mode = Literal["clip", "stream"]
Policy = Literal["newest", "complete"]  # if frames come faster than results: keep the newest, or all
Opened = tuple[
    Session | StreamGraphs, ModelInfo, str
]  # what runs a mode, the model's description, and why it was chosen


def open_mode(folder: ModelFolder, backend: str, options: SessionOptions, mode: Mode) -> Opened:
    """Open what runs a mode; raises as `open_session`."""
    if mode == "stream":
        graphs = open_streams(folder, backend, options)
        session, choice = graphs.encoder, graphs.choice
    else:
        graphs = None
        session, choice = open_session(folder, backend, options)
    return session if graphs is None else graphs, model_info(folder, session), choice


def model_info(folder: ModelFolder, session: Session) -> ModelInfo:
    """What results say of a model that a session runs."""
    config = folder.config
    return ModelInfo(
        name=_shown(config.name or folder.path.resolve().name),
        label_set=config.model.label_set.name,
        backbone=config.model.backbone,
        backend=session.backend,
        device=session.device,
        precision=session.precision,
        trained=config.trained,
        licence=config.licence,
        trained_on=config.trained_on,
        tiers=config.tiers,
    )


def _shown(name: str) -> str:
    """A model's name as tables begin a cell with it: a spreadsheet would run what begins as a formula."""
    return name.lstrip("=+-@ \t") or "model"


def checked(name: str, value: Choice, choices: Any) -> Choice:
    """`value` of the argument `name`, or ConfigError if it is none of the `choices`, a Literal."""
    if value not in get_args(choices):
        raise ConfigError(f"{name} must be one of {', '.join(get_args(choices))}; got {value!r}")
    return value


class Reading(TypedDict, total=False):
    """How sources are read; see `AUDetector.predict`."""

    fps: float | None
    sequence: bool | None
    images: bool
    mode: Mode | None
    lookahead: int | None
    calibrate_neutral_s: float | None
    policy: Policy | None
    on_error: OnError
    scope: Scope | None
    measures: bool
    min_quality: float
