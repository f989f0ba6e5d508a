"""AUDetector: a video goes in, the action units of every face in every frame come out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from pathlib import Path
from typing import Literal, overload

from .config import FolderConfig
from .errors import ConfigError, InputError, MDHRError, SourceError
from .folder import ModelFolder
from .outputs import Results
from .pipeline import ClipPipeline, Scorer, StageClock
from .results import FrameResult, ModelInfo
from .runtime import Session, SessionOptions, open_session
from .vision import TEMPLATES, FaceMesher, Source, list_sources


class SupersededError(InputError):
    """A stream that is resumed after its detector went on to another source."""


class AUDetector:
    """Reads facial action units with an MDHR model.

    Made by `from_pretrained`. One detector reads one source at a time and is not to be shared between threads.

    Attributes:
        info: which model this is, where it runs, and whether it was trained.
        config: the model folder's configuration.
        codes: ('AU01', 'AU02', ...) in the model's order.
        thresholds: code -> probability from which the AU occurs.
        choice: one line that says which backend was chosen and why.
    """

    def __init__(
        self,
        config: FolderConfig,
        session: Session,
        info: ModelInfo,
        *,
        choice: str = "",
        thresholds: Mapping[str, float] | None = None,
        max_faces: int = 10,
        face_model: str | Path | None = None,
    ) -> None:
        if config.preprocessing.template not in TEMPLATES:
            raise ConfigError(
                f"the model wants faces aligned by '{config.preprocessing.template}', which is none of "
                f"{', '.join(TEMPLATES)}; update mdhr_sdk"
            )
        self.config = config
        self.info = info
        self.choice = choice
        self.codes = config.model.label_set.codes
        own = dict(zip(self.codes, config.thresholds, strict=True))
        self.thresholds = own | _checked(thresholds or {}, self.codes)
        if not isinstance(max_faces, int) or max_faces < 1:
            raise ConfigError(f"max_faces must be an integer of at least 1; got {max_faces!r}")
        if face_model is not None and not Path(face_model).is_file():
            raise SourceError(f"face model '{face_model}' does not exist; give a MediaPipe face_landmarker.task")
        self._scorer = Scorer(session, config, info, self.thresholds)
        self._clock = StageClock()
        self._closed = False
        self._max_faces = max_faces
        self._face_model = face_model
        self._meshers: dict[bool, FaceMesher] = {}

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        backend: str = "auto",
        device: str = "auto",
        *,
        precision: str = "auto",
        threads: int | None = None,
        thresholds: Mapping[str, float] | None = None,
        max_faces: int = 10,
        face_model: str | Path | None = None,
    ) -> AUDetector:
        """Open a model folder.

        Args:
            folder: as made by `mdhr init` or `mdhr_sdk.model.save_model`.
            backend: one of `mdhr_sdk.runtime.BACKENDS`; one that cannot run is an error. 'auto' takes the first of
                them that can, on CUDA before CPU, and `detector.choice` says which and why not those before it.
            device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
            precision: 'fp32', 'fp16', 'bf16', 'int8', or 'auto': fp32 on a CPU, on CUDA fp16 where a graph of it is.
            threads: CPU threads of the backend; None for its own choice.
            thresholds: code -> threshold in [0, 1], in place of the folder's.
            max_faces: most faces a frame; 1 makes MediaPipe faster, since it stops looking for others.
            face_model: a MediaPipe `face_landmarker.task`, in place of the models in MediaPipe's wheel.

        Raises:
            ModelFolderError: the folder is missing, incomplete or not what its manifest says.
            BackendError: the backend or device cannot run here.
            ConfigError: an unknown code or a threshold outside [0, 1].
        """
        model_folder = ModelFolder.open(folder)
        session, choice = open_session(model_folder, backend, SessionOptions(device, threads, precision))
        config = model_folder.config
        info = ModelInfo(
            name=model_folder.path.resolve().name,
            label_set=config.model.label_set.name,
            backbone=config.model.backbone,
            backend=session.backend,
            device=session.device,
            precision=session.precision,
            trained=config.trained,
            licence=config.licence,
        )
        return cls(
            config, session, info, choice=choice, thresholds=thresholds, max_faces=max_faces, face_model=face_model
        )

    @property
    def timings_s(self) -> dict[str, float]:
        """Seconds the last run spent in 'start' (of the face models), 'read', 'faces', 'align' and 'model'."""
        return dict(self._clock.seconds)

    @overload
    def predict(
        self, source: object, stream: Literal[False] = False, *, fps: float | None = ..., sequence: bool | None = ...,
        images: bool = ...,
    ) -> Results: ...  # fmt: skip
    @overload
    def predict(
        self, source: object, stream: Literal[True], *, fps: float | None = ..., sequence: bool | None = ...,
        images: bool = ...,
    ) -> Iterator[FrameResult]: ...  # fmt: skip
    def predict(
        self,
        source: object,
        stream: bool = False,
        *,
        fps: float | None = None,
        sequence: bool | None = None,
        images: bool = False,
    ) -> Results | Iterator[FrameResult]:
        """Score every frame of a source, in clip mode: consecutive windows of T frames, as in the paper.

        The last window of a face is padded with its last frame and the padding dropped. A face that is lost ends
        its clip there; when it returns, a new one begins. A still is a clip of one frame.

        Args:
            source: a path, folder, glob, camera number, URL, BGR array, iterator of those, or a list as a batch;
                see `mdhr_sdk.vision.list_sources`.
            stream: False collects all results; True yields each as its clip is complete, at most T - 1 frames
                later, and keeps nothing. Cameras want True.
            fps: frames a second of arrays and image sequences; 25 if None.
            sequence: whether the images of a folder are the frames of one video; None decides by their names.
            images: keep each frame's image in its result, as overlays need.

        Raises:
            InputError: the detector is closed; `SupersededError` when a stream is resumed after another `predict`.
            SourceError, InputError: the source cannot be read. A source that breaks off gives the results of all
                frames before the break first; without `stream` they are in the error's `results`.
        """
        if self._closed:
            raise InputError("this detector is closed; open a new one with AUDetector.from_pretrained")
        sources = list_sources(source, fps=fps, sequence=sequence)
        clock = self._clock = StageClock()  # also the token of this run
        frames = (result for one in sources for result in self._run(one, images, clock))
        return frames if stream else self._collect(frames, sources)

    def close(self) -> None:
        """Free the session and the face models; the detector cannot be used after it. May be called twice."""
        self._closed = True
        self._scorer.session.close()
        for mesher in self._meshers.values():
            mesher.close()
        self._meshers.clear()

    def __enter__(self) -> AUDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AUDetector({self.info.tag}, {self.info.where}, {len(self.codes)} AUs)"

    def _run(self, source: Source, images: bool, clock: StageClock) -> Iterator[FrameResult]:
        self._check_current(clock)
        with source:
            pipeline = ClipPipeline(self._scorer, self._mesher(source.info.still), clock, images)
            broken: BaseException | None = None
            try:
                for frame in clock.each("read", source):
                    self._check_current(clock)
                    yield from pipeline.push(frame)
            except SupersededError:
                raise
            except MDHRError as error:  # the frames before it are scored before it shows
                broken = error
            except KeyboardInterrupt as stop:  # how a camera ends: its last frames count too
                if not source.live:
                    raise
                broken = stop
            yield from pipeline.flush()
            if broken is not None:
                raise broken

    def _check_current(self, clock: StageClock) -> None:
        if clock is not self._clock or self._closed:
            raise SupersededError(
                "this stream has ended: the detector began another predict() or was closed; call predict() again, "
                "or use a detector of its own for each source"
            )

    def _collect(self, frames: Iterator[FrameResult], sources: list[Source]) -> Results:
        kept: list[FrameResult] = []
        broken: MDHRError | None = None
        try:
            kept.extend(frames)
        except MDHRError as error:
            broken = error
        except KeyboardInterrupt:
            if not any(one.live for one in sources):  # Ctrl-C is how a camera ends
                raise
        fps = sources[0].info.fps if kept and len(sources) == 1 else 0.0
        results = Results(tuple(kept), self.info, fps=fps, codes=self.codes, timings_s=self.timings_s)
        if broken is not None:
            broken.results = results
            raise broken
        return results

    def _mesher(self, still: bool) -> FaceMesher:
        with self._clock("start"):
            if still not in self._meshers:
                self._meshers[still] = FaceMesher(self._max_faces, still, self._face_model)
            self._meshers[still].reset()
        return self._meshers[still]


def _checked(thresholds: Mapping[str, float], codes: tuple[str, ...]) -> dict[str, float]:
    if not isinstance(thresholds, Mapping):
        raise ConfigError(f"thresholds must be given by code, as {{'{codes[0]}': 0.4}}; got {thresholds!r}")
    for code, value in thresholds.items():
        if code not in codes:
            raise ConfigError(f"no threshold for '{code}': this model scores {', '.join(codes)}")
        if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:
            raise ConfigError(f"the threshold of {code} must lie in [0, 1]; got {value!r}")
    return dict(thresholds)
