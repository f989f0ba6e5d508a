"""The two modes of a detector, and opening what runs them."""

from __future__ import annotations

from typing import Literal, TypedDict, cast, get_args

from ..errors import ConfigError
from ..modelfolder.folder import ModelFolder
from ..results import ModelInfo
from ..runtime import Session, SessionOptions, open_session
from ..runtime.stream.stream_graphs import StreamGraphs

Mode = Literal["clip", "stream"]
Opened = tuple[Session | StreamGraphs, ModelInfo, str]  # what runs a mode, as which model, and why so


def open_mode(folder: ModelFolder, backend: str, options: SessionOptions, mode: Mode) -> Opened:
    """Open what runs a mode.

    Raises:
        BackendError, ModelFolderError: as `open_session`.
    """
    model: Session | StreamGraphs
    if mode == "stream":
        model = StreamGraphs.open(folder, backend, options)
        session, choice = model.encoder, model.choice
    else:
        session, choice = open_session(folder, backend, options)
        model = session
    config = folder.config
    info = ModelInfo(
        name=folder.path.resolve().name,
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
    return model, info, choice


def checked_mode(mode: object) -> Mode:
    """`mode`, if there is such a one, or ConfigError."""
    if mode not in get_args(Mode):
        raise ConfigError(f"mode must be one of {', '.join(get_args(Mode))}; got {mode!r}")
    return cast(Mode, mode)


class Reading(TypedDict, total=False):
    """How sources are read; see `AUDetector.predict`."""

    fps: float | None
    sequence: bool | None
    images: bool
    mode: Mode | None
    lookahead: int | None
    calibrate_neutral_s: float | None
