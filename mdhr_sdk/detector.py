"""AUDetector: a video goes in, the action units of every face in every frame come out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, overload

from .errors import ConfigError, InputError, MDHRError, SourceError, SupersededError
from .modelfolder import FolderConfig, ModelFolder
from .modelfolder.selection import replaced, select
from .outputs import Results
from .pipeline.clips import ClipModel, ClipScoring
from .pipeline.clock import StageClock
from .pipeline.decide import Naming
from .pipeline.modes import Mode, Opened, Reading, checked_mode, open_mode
from .pipeline.neutral import NeutralBaseline
from .pipeline.readers import few_enough
from .pipeline.run import find_ahead, run
from .pipeline.scoring import Scoring
from .pipeline.streams import SharedStreams, StreamScoring
from .pipeline.together import run_together
from .pipeline.waiting import Pipeline
from .results import FrameResult, ModelInfo
from .runtime import Session, SessionOptions
from .runtime.stream.scorer import StreamScorer, check_ring_dtype
from .runtime.stream.stream_graphs import StreamGraphs
from .vision import TEMPLATES, FaceMesher, Source, list_sources

if TYPE_CHECKING:
    from typing_extensions import Unpack


CLOSED = "this detector is closed; open a new one with AUDetector.from_pretrained"


class AUDetector:
    """Reads facial action units with an MDHR model.

    Made by `from_pretrained`. One detector reads one source at a time and is not to be shared between threads.

    Attributes:
        mode: 'clip' or 'stream': what `predict` does if it is not told.
        info: which model this is, where it runs, and whether it was trained.
        config: the model folder's configuration.
        codes: ('AU01', 'AU02', ...) of the AUs that are reported, in the model's order.
        thresholds: code -> probability from which the AU occurs.
        choice: one line that says which backend was chosen and why.
    """

    def __init__(
        self,
        config: FolderConfig,
        model: Session | StreamGraphs,
        info: ModelInfo,
        *,
        choice: str = "",
        thresholds: Mapping[str, float] | None = None,
        max_faces: int = 10,
        face_model: str | Path | None = None,
        all_aus: bool = False,
        ring_dtype: str = "float32",
        opener: Callable[[Mode], Opened] | None = None,
    ) -> None:
        if config.preprocessing.template not in TEMPLATES:
            raise ConfigError(
                f"the model wants faces aligned by '{config.preprocessing.template}', which is none of "
                f"{', '.join(TEMPLATES)}; update mdhr_sdk"
            )
        self.config = config
        self.choice = choice
        self._selection = select(config, thresholds, all_aus)
        self.thresholds = dict(self._selection.thresholds)
        self.codes = tuple(self.thresholds)
        self.info = info = replace(info, off=self._selection.off)
        if not isinstance(max_faces, int) or max_faces < 1:
            raise ConfigError(f"max_faces must be an integer of at least 1; got {max_faces!r}")
        if face_model is not None and not Path(face_model).is_file():
            raise SourceError(f"face model '{face_model}' does not exist; give a MediaPipe face_landmarker.task")
        self.mode: Mode = "stream" if isinstance(model, StreamGraphs) else "clip"
        self._opened: dict[Mode, Opened] = {self.mode: (model, info, choice)}
        self._opener = opener
        self._clock = StageClock()
        self._closed = False
        self._max_faces = max_faces
        self._ring_dtype = check_ring_dtype(ring_dtype)
        self._face_model = face_model
        self._meshers: dict[bool, FaceMesher] = {}
        self._ahead = ExitStack()  # ends the thread in which the current run finds faces

    @classmethod
    def from_pretrained(
        cls,
        folder: str | Path,
        backend: str = "auto",
        device: str = "auto",
        *,
        precision: str = "auto",
        threads: int | None = None,
        mode: Mode = "clip",
        thresholds: Mapping[str, float] | None = None,
        max_faces: int = 10,
        face_model: str | Path | None = None,
        all_aus: bool = False,
        ring_dtype: str = "float32",
    ) -> AUDetector:
        """Open a model folder.

        Args:
            folder: as made by `mdhr init` or `mdhr_sdk.model.save_model`; or the text 'edge', which is the model that
                comes with the package, also where a folder has that name: './edge' and `Path('edge')` are folders.
            backend: one of `mdhr_sdk.runtime.BACKENDS`; one that cannot run is an error. 'auto' takes the first of
                them that can, on CUDA before CPU, and `detector.choice` says which and why not those before it.
            device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
            precision: 'fp32', 'fp16', 'bf16', 'int8', or 'auto': fp32 on a CPU, on CUDA fp16 where a graph of it is.
            threads: CPU threads of the backend; None for its own choice. With 1 of two cores the faces of a video
                file are found beside it sooner.
            mode: what is opened now, and what `predict` does if it is not told; the other is opened when it is used.
            thresholds: code -> threshold in [0, 1], in place of the folder's.
            max_faces: most faces a frame; 1 makes MediaPipe faster, since it stops looking for others.
            face_model: a MediaPipe `face_landmarker.task`, in place of the models in MediaPipe's wheel.
            all_aus: report AUs of reliability tier C too. They are off otherwise: results, tables and `codes` are
                without them. A model whose AUs were never rated reports all.
            ring_dtype: how a stream keeps a face's last frames: 'float32', or 'float16' or 'bfloat16' in little more
                than half of the memory (see `mdhr_sdk.runtime.stream.scorer.StreamScorer`).

        Raises:
            ModelFolderError: the folder is missing, incomplete or not what its manifest says.
            BackendError: the backend or device cannot run here.
            ConfigError: an unknown mode, code or ring_dtype, or a threshold outside [0, 1] or of an AU that is off.
        """
        model_folder = ModelFolder.open(folder)
        options = SessionOptions(device, threads, precision)

        def opener(wanted: Mode) -> Opened:
            return open_mode(model_folder, backend, options, wanted)

        model, info, choice = opener(checked_mode(mode))
        return cls(
            model_folder.config, model, info, choice=choice, thresholds=thresholds, max_faces=max_faces,
            face_model=face_model, all_aus=all_aus, ring_dtype=ring_dtype, opener=opener,
        )  # fmt: skip

    @property
    def timings_s(self) -> dict[str, float]:
        """Seconds the last run spent in 'start' (of the face models), 'read', 'faces', 'align' and 'model'.

        Of files, reading and finding faces go on beside the model, so the sum can be more than the run took.
        """
        return dict(self._clock.seconds)

    @overload
    def predict(self, source: object, stream: Literal[False] = False, **reading: Unpack[Reading]) -> Results: ...
    @overload
    def predict(self, source: object, stream: Literal[True], **reading: Unpack[Reading]) -> Iterator[FrameResult]: ...
    def predict(
        self,
        source: object,
        stream: bool = False,
        *,
        mode: Mode | None = None,
        lookahead: int | None = None,
        fps: float | None = None,
        sequence: bool | None = None,
        images: bool = False,
        calibrate_neutral_s: float | None = None,
    ) -> Results | Iterator[FrameResult]:
        """Score every frame of a source.

        In clip mode a face's frames are cut into consecutive windows of T, as in the paper; the last one is padded with
        its last frame and the padding dropped. In stream mode every frame is encoded once and scored in the window
        that ends `lookahead` frames later (see `StreamScorer`). In both, a face that is lost ends its clip
        or stream there, and so does a cut of the scene; when it returns, a new one begins.

        Args:
            source: a path, folder, glob, camera number, URL, BGR array, iterator of those, or a list as a batch;
                see `mdhr_sdk.vision.list_sources`.
            stream: False collects all results; True yields each as it is complete, at most T - 1 frames later in
                clip mode, `lookahead` frames in stream mode, and keeps nothing. Cameras want True.
            mode: 'clip' or 'stream'; None for the detector's own.
            lookahead: L of stream mode, 0 to T - 1; None for the least that leaves no frame at a window's edge where
                the model has one: k + 2 = 7 for the paper's.
            fps: frames a second of arrays and image sequences; 25 if None.
            sequence: whether the images of a folder are the frames of one video; None decides by their names.
            images: keep each frame's image in its result, as overlays need.
            calibrate_neutral_s: seconds at the beginning of each source that show every face neutral; later scores are
                made relative to them (see `mdhr_sdk.pipeline.neutral` for how, and `FaceResult.baseline` for which).
                None, the default, for scores as the model gives them.

        Raises:
            InputError: the detector is closed; `SupersededError` when a stream is resumed after another `predict`.
            ConfigError: an unknown mode, a lookahead out of range or in clip mode, or seconds that are not above 0.
            BackendError: the folder has no graphs for this mode that can run here.
            SourceError, InputError: the source cannot be read, or is a still that is to be calibrated. One that breaks
                off gives the results of all frames before the break first; without `stream` they are in the error's
                `results`.
        """
        if self._closed:
            raise InputError(CLOSED)
        sources = list_sources(source, fps=fps, sequence=sequence)
        begin, info = self._scoring(self.mode if mode is None else checked_mode(mode), lookahead)
        naming = self._naming(info, calibrate_neutral_s)
        clock = self._begin_clock()
        frames = (result for one in sources for result in self._run(one, begin, naming, images, clock))
        return frames if stream else self._collect(frames, sources, naming.info)

    def stream(self, source: object, lookahead: int | None = None, **reading: Any) -> Iterator[FrameResult]:
        """Yield every frame of a source as it becomes due: `predict` with stream=True and mode='stream'."""
        return self.predict(source, True, mode="stream", lookahead=lookahead, **reading)

    def stream_together(
        self,
        sources: list[object],
        lookahead: int | None = None,
        *,
        fps: float | None = None,
        sequence: bool | None = None,
        images: bool = False,
        calibrate_neutral_s: float | None = None,
    ) -> Iterator[FrameResult]:
        """Yield every frame of several sources as it becomes due, the faces of all that have one in one batch.

        Each result is as `stream` gives it for its source alone, in order within the source, and tells by its `source`
        which that is: `list_sources` keeps names apart. Every source is read in a thread of its own; files wait for
        each other, cameras for none, and of a camera or live stream the newest frame is taken: what came meanwhile is
        passed over, and not counted. A source that breaks off ends; the others go on, and its error comes last.

        Args, Raises: as `predict`; InputError also for more than 64 sources.
        """
        if self._closed:
            raise InputError(CLOSED)
        listed = few_enough(list_sources(sources, fps=fps, sequence=sequence))
        scorer, info = self._scorer(lookahead)
        naming = self._naming(info, calibrate_neutral_s)
        clock = self._begin_clock()
        streams = SharedStreams(scorer, self.config, clock)

        def mesher(still: bool) -> FaceMesher:
            with clock("start"):
                return FaceMesher(self._max_faces, still, self._face_model)

        return run_together(listed, streams, naming, mesher, clock, images, lambda: self._check_current(clock))

    def close(self) -> None:
        """Free the session and the face models; the detector cannot be used after it. May be called twice."""
        self._closed = True
        self._ahead.close()
        for model, _, _ in self._opened.values():
            model.close()
        for mesher in self._meshers.values():
            mesher.close()
        self._meshers.clear()

    def __enter__(self) -> AUDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AUDetector({self.info.tag}, {self.info.where}, {len(self.codes)} AUs)"

    def _scoring(self, mode: Mode, lookahead: int | None) -> tuple[Callable[[StageClock], Scoring], ModelInfo]:
        """What makes a source's scoring, and the model that its results name; opens the mode if it is not yet."""
        if mode == "clip" and lookahead is not None:
            raise ConfigError(f"lookahead belongs to mode='stream'; got {lookahead!r} in clip mode")
        if mode == "stream":
            scorer, info = self._scorer(lookahead)
            return lambda clock: StreamScoring(scorer, self.config, clock), info
        session, info = self._model(mode)
        clips = ClipModel(cast(Session, session), self.config)
        return lambda clock: ClipScoring(clips, clock), info

    def _scorer(self, lookahead: int | None) -> tuple[StreamScorer, ModelInfo]:
        graphs, info = self._model("stream")
        assert isinstance(graphs, StreamGraphs)
        scorer = StreamScorer(graphs, lookahead, self._ring_dtype)
        return scorer, replace(info, lookahead=scorer.lookahead)

    def _model(self, mode: Mode) -> tuple[Session | StreamGraphs, ModelInfo]:
        if mode not in self._opened:
            if self._opener is None:
                raise ConfigError(f"this detector was made for {self.mode} mode; use AUDetector.from_pretrained")
            self._opened[mode] = self._opener(mode)
        model, info, _ = self._opened[mode]
        return model, replace(info, off=self._selection.off)

    def _naming(self, info: ModelInfo, neutral_s: float | None) -> Naming:
        seconds = 0.0 if neutral_s is None else NeutralBaseline(neutral_s).seconds
        info = replace(info, neutral_s=seconds, replaced=replaced(self.config, self.thresholds))
        return Naming(info, self.thresholds, self.config.preprocessing, self._selection.places)

    def _run(
        self, source: Source, begin: Callable[[StageClock], Scoring], naming: Naming, images: bool, clock: StageClock
    ) -> Iterator[FrameResult]:
        self._check_current(clock)
        with source, ExitStack() as self._ahead:
            naming.check(source)
            pipeline = Pipeline(begin(clock), naming, self._mesher(source.info.still), clock, images)
            check = partial(self._check_current, clock)
            found = self._ahead.enter_context(find_ahead(source, pipeline, clock, check))
            yield from run(source, pipeline, found, check)

    def _begin_clock(self) -> StageClock:
        """The clock of a new run, and the token that it is the current one; the run before no longer finds faces."""
        self._ahead.close()
        self._clock = StageClock()
        return self._clock

    def _check_current(self, clock: StageClock) -> None:
        if clock is not self._clock or self._closed:
            raise SupersededError(
                "this stream has ended: the detector began another predict() or was closed; call predict() again, "
                "or use a detector of its own for each source"
            )

    def _collect(self, frames: Iterator[FrameResult], sources: list[Source], info: ModelInfo) -> Results:
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
        results = Results(tuple(kept), info, fps=fps, codes=self.codes, timings_s=self.timings_s)
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
