"""Opens what a live run reads with: its sources by their names, and the detector."""

from __future__ import annotations

from ....children import usable_cores
from ....detector import AUDetector
from ....errors import ConfigError
from ....modelfolder.bundled import DEFAULT
from ....vision import Source, list_sources
from ....vision.sources.source import OnError
from ..options import trust
from .settings import LiveSettings


def open_sources(settings: LiveSettings, on_error: OnError = "raise") -> list[Source]:
    """The sources by their names, not opened yet.

    Raises:
        ConfigError: a name for a folder or glob of several.
        SourceError: nothing usable behind an address; with 'skip' it comes when the source is opened.
    """
    sources: list[Source] = []
    for name, address in settings.named_sources:
        found = list_sources([address], on_error=on_error)
        if name and len(found) != 1:
            raise ConfigError(f"'{name}' names one source, and '{address}' is {len(found)}; leave the name out")
        sources += [found[0].renamed(name)] if name else found
    return list_sources(sources)


def open_detector(settings: LiveSettings) -> AUDetector:
    """The detector of a run, in stream mode.

    Raises:
        ConfigError: the model allows no such lookahead.
        MDHRError: as `AUDetector.from_pretrained`.
    """
    detector = AUDetector.from_pretrained(
        settings.model,
        settings.backend,
        settings.device,
        precision=settings.precision,
        threads=_threads(settings),
        mode="stream",
        max_faces=settings.max_faces,
        face_model=settings.face_model,
        faces=settings.faces,
        all_aus=settings.all_aus,
        digest=settings.digest,
        trust=trust(settings.trust_code),
        smoothing=settings.smooth,
    )
    most = detector.config.clip_length - 1
    if settings.lookahead is not None and settings.lookahead > most:
        detector.close()
        raise ConfigError(f"lookahead must be an integer from 0 to {most}; got {settings.lookahead}")
    return detector


def _threads(settings: LiveSettings) -> int | None:
    """CPU threads of the model if none were asked for: one of two cores is for decoding and faces."""
    if settings.threads is not None:
        return settings.threads
    return 1 if settings.model == DEFAULT and usable_cores() == 2 else None
