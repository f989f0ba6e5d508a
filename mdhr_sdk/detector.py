"""AUDetector: a video goes in, the action units of every face in every frame come out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from .arguments import flag
from .ending import at_work
from .errors import ConfigError, SourceError, deprecated, number_of
from .modelfolder import FolderConfig, ModelFolder
from .modelfolder.folder import Trust
from .modelfolder.selection import replaced, select
from .outputs import Results
from .pipeline.clips import ClipScoring
from .pipeline.clock import StageClock
from .pipeline.meshers import Meshers
from .pipeline.modes import Mode, Opened, Policy, Reading, checked, open_mode
from .pipeline.run import Plan, Run, in_turn, scoped, together
from .pipeline.scores.decide import Naming
from .pipeline.scores.geometry import GeometryModel, read_geometry
from .pipeline.scores.intensity import IntensityModel, read_intensity
from .pipeline.scores.neutral import checked_seconds
from .pipeline.scores.smoothing import OneEuro
from .pipeline.scoring import Scoring
from .pipeline.streams import StreamScoring
from .pipeline.turns import ResultStream, Turns
from .results import ModelInfo
from .runtime import Session, SessionOptions
from .runtime.stream.scorer import StreamScorer, check_ring_dtype
from .runtime.stream.stream_graphs import StreamGraphs
from .vision import TEMPLATES, FaceMesher, Scope, Source, list_sources
from .vision.faces.engine import choose_engine
from .vision.faces.mesher import check_max_faces
from .vision.sources.live.health import checked_patience
from .vision.sources.source import OnError

if TYPE_CHECKING:
    from typing_extensions import Unpack


class AUDetector:
    """Reads facial action units with an MDHR model.

    Made by `from_pretrained`. A detector does one run at a time, in one thread at a time, in the process that made
    it: a second thread and a forked process get InputError.

    Attributes:
        mode: 'clip' or 'stream', the default of `predict`.
        info: which model this is, where it runs, and whether it was trained.
        config: the model folder's configuration.
        codes: the reported AUs, ('AU01', 'AU02', ...) in the model's order.
        thresholds: code -> probability from which the AU occurs.
        choice: one line that says which backend was chosen and why.
        face_choice: which engine finds the faces, and why; `str` of it is one line.
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
        faces: str = "auto",
        all_aus: bool = False,
        ring_dtype: str = "float32",
        smoothing: float | None = None,
        opener: Callable[[Mode], Opened] | None = None,
        geometry: GeometryModel | None = None,
        intensity: IntensityModel | None = None,
    ) -> None:
        if config.preprocessing.template not in TEMPLATES:
            raise ConfigError(
                f"the model wants faces aligned by '{config.preprocessing.template}', which is none of "
                f"{', '.join(TEMPLATES)}; update mdhr_sdk"
            )
        self.config, self.choice = config, choice
        self._selection = select(config, thresholds, flag("all_aus", all_aus))
        self.thresholds, self.codes = dict(self._selection.thresholds), tuple(self._selection.thresholds)
        self._smooth_hz = 0.0 if smoothing is None else OneEuro(smoothing).cutoff_hz
        check_max_faces(max_faces)
        if face_model is not None and not Path(face_model).is_file():
            raise SourceError(f"face model '{face_model}' does not exist; give a MediaPipe face_landmarker.task")
        self.face_choice = choose_engine(faces, face_model)
        strong = () if intensity is None else self._selection.intensities
        self._facts = dict[str, Any](off=self._selection.off, faces=self.face_choice.name, intensities=strong)
        self.info = info = replace(info, **self._facts)
        self.mode: Mode = "stream" if isinstance(model, StreamGraphs) else "clip"
        self._opened: dict[Mode, Opened] = {self.mode: (model, info, choice)}
        self._opener, self._readers = opener, (geometry, intensity)
        self._ring_dtype, self._clock, self._turns = check_ring_dtype(ring_dtype), StageClock(), Turns()
        self._meshers = Meshers(lambda still: FaceMesher(max_faces, still, face_model, faces))

    @classmethod
    @at_work()
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
        faces: str = "auto",
        all_aus: bool = False,
        ring_dtype: str = "float32",
        digest: str | None = None,
        trust: Trust | None = None,
        smoothing: float | None = None,
    ) -> AUDetector:
        """Open a model folder.

        Args:
            folder: as made by `mdhr init` or `mdhr_sdk.save_model`; or 'edge', the model that comes with the package,
                even where a folder has that name: './edge' and `Path('edge')` are folders.
            backend: one of `mdhr_sdk.runtime.BACKENDS`; an error if it cannot run here. 'auto' takes the first that
                can, on CUDA before CPU; `detector.choice` says which, and why not those before it.
            device: 'auto', 'cpu', 'cuda' or 'cuda:N'.
            precision: 'fp32', 'fp16', 'bf16', 'int8', or 'auto': fp32 on a CPU, on CUDA fp16 if it was exported.
            threads: CPU threads of the backend; None for its own choice. On two cores 1 leaves one for finding faces.
            mode: the default of `predict`; the other mode is opened when it is first used.
            thresholds: code -> threshold in [0, 1], in place of the folder's.
            max_faces: most faces per frame; with 1 MediaPipe is faster, since it stops looking for others.
            face_model: a MediaPipe `face_landmarker.task` for the engine 'tasks'.
            faces: what finds faces: 'solutions', 'tasks' or 'onnx' (see docs/faces.md), or 'auto': the models in
                MediaPipe's wheel, else a `face_landmarker.task`. `detector.face_choice` says which, and why.
            all_aus: report AUs of reliability tier C too. A model whose AUs were never rated reports all.
            ring_dtype: how stream mode keeps a face's last frames: 'float32', or 'float16' or 'bfloat16', half as big.
            digest: 'sha256:...' as `mdhr digest` prints it: only a folder of these very files is opened.
            trust: 'code' runs TorchScript and engines that were not made on this machine, which can do whatever you
                can. ONNX and weights are data, and need no trust.
            smoothing: smooth the scores over time, and so decisions and events, by a one-euro filter with this
                cutoff in Hz; 1.0 takes most jitter. None, the default, for scores as the model gives them.

        Raises:
            ModelFolderError: the folder is missing, incomplete, not what its manifest says, or not that of `digest`.
            BackendError: the backend or device cannot run here.
            MissingDependencyError: MediaPipe is not installed, or cannot be the engine that was asked for.
            ConfigError: an unknown mode, code, engine or ring_dtype, a threshold outside [0, 1] or of an AU that is
                off, or a cutoff that is not above 0.
        """
        model_folder = ModelFolder.open(folder, digest, trust)
        options = SessionOptions(device, threads, precision)

        def opener(wanted: Mode) -> Opened:
            return open_mode(model_folder, backend, options, wanted)

        model, info, choice = opener(checked("mode", mode, Mode))
        return cls(
            model_folder.config, model, info, choice=choice, thresholds=thresholds, max_faces=max_faces,
            face_model=face_model, faces=faces, all_aus=all_aus, ring_dtype=ring_dtype, smoothing=smoothing,
            opener=opener, geometry=read_geometry(model_folder), intensity=read_intensity(model_folder),
        )  # fmt: skip

    @property
    def timings_s(self) -> dict[str, float]:
        """Seconds the last run spent in 'start' (of the face models), 'read', 'faces', 'align' and 'model'.

        Files are read and their faces found while the model runs, so the sum can be more than the run took.
        """
        return dict(self._clock.seconds)

    @overload
    def predict(self, source: object, stream: Literal[False] = False, **reading: Unpack[Reading]) -> Results: ...
    @overload
    def predict(self, source: object, stream: Literal[True], **reading: Unpack[Reading]) -> ResultStream: ...
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
        policy: Policy | None = None,
        on_error: OnError = "raise",
        scope: Scope | None = None,
        measures: bool = False,
        min_quality: float = 0.0,
    ) -> Results | ResultStream:
        """Score every frame of a source.

        In clip mode a face's frames are cut into consecutive windows of T, as in the paper; the last one is padded with
        its last frame and the padding dropped. In stream mode every frame is encoded once and scored in the window
        that ends `lookahead` frames later (see `StreamScorer`). In both, a face that is lost ends its clip
        or stream there, and so does a cut of the scene; when it returns, a new one begins.

        Args:
            source: a path, folder, glob, camera number, URL, BGR array, iterator of such arrays, or a batch: a list,
                tuple, Series, array or iterator of paths; see `mdhr_sdk.list_sources`. Files are read one after the
                other, cameras and URLs all at once.
            stream: False collects all results. True yields each as soon as it is complete and keeps none: at most T - 1
                frames later in clip mode, `lookahead` frames in stream mode. Use True for cameras.
            mode: 'clip' or 'stream'; None for the detector's own.
            lookahead: L of stream mode, 0 to T - 1. None for the least at which the window's edge changes no score, if
                T allows one: k + 2 = 7 for the paper's models.
            fps: frames per second of arrays and image sequences; 25 if None.
            sequence: whether the images of a folder are the frames of one video; None decides by their names.
            images: keep each frame's image in its result, as overlays need.
            calibrate_neutral_s: seconds at the beginning of each source that show every face neutral; later scores are
                made relative to them (`FaceResult.baseline` says which, `mdhr_sdk.pipeline.scores.neutral` how).
                None, the default, for scores as the model gives them.
            policy: what is done with frames that come faster than they are scored. 'complete' scores each, so that
                a live source falls behind; 'newest' drops all but the newest, and counts them in
                `FrameResult.dropped`. None for 'newest' if the source is live, 'complete' if it is a file.
            on_error: what is done when a source cannot be read. 'raise' ends the run with the error; 'skip' logs a
                warning and goes on with the other sources, also where a path of a batch leads to nothing. Both list
                it in `errors` of what is returned. A missing path that is not in a batch is an error at once.
            scope: what of each source is scored; None for all of it, or for the scope that a `Source` was given.
            measures: measure each face (`FaceMeasures`): its status then says why it is not to be trusted.
            min_quality: leave out faces of less quality, 0 to 1, and count them in `FrameResult.untrusted`.

        Raises:
            InputError: the detector is closed, at work in another thread, or was made before a fork;
                `SupersededError` when a stream is resumed after another `predict`.
            ConfigError: an unknown mode, policy or on_error, a lookahead out of range or in clip mode, no seconds.
            BackendError: the folder has no graphs for this mode that can run here.
            SourceError, InputError: the source cannot be read, or a still was to be calibrated. The results of all
                frames before come first; without `stream` they are in the error's `results`.
        """
        flag("stream", stream)
        with self._turns.first():
            sources = scoped(list_sources(source, fps=fps, sequence=sequence, on_error=on_error), scope)
            wanted = self.mode if mode is None else mode
            plan = self._plan(wanted, lookahead, calibrate_neutral_s, images, policy, on_error)
            frames = self._begin(in_turn(sources), plan.with_measures(measures, min_quality))
        return frames if stream else frames.collect(sources, self.codes)

    def stream(
        self,
        source: object,
        lookahead: int | None = None,
        policy: Policy | None = None,
        *,
        fps: float | None = None,
        sequence: bool | None = None,
        images: bool = False,
        calibrate_neutral_s: float | None = None,
        on_error: OnError = "raise",
        measures: bool = False,
        min_quality: float = 0.0,
        reconnect: bool = True,
        give_up_after_s: float | None = None,
        scope: Scope | None = None,
    ) -> ResultStream:
        """Yield every frame of one or more sources in stream mode, as soon as it is scored.

        At most 64 sources are read at once, each in a thread of its own, whether they come from a list, Series,
        iterator of paths, glob or folder. The faces of all that have a frame go to the model in one batch. Each result
        is as if its source were alone, in order within the source, which its `source` names. Files wait for each other;
        live sources wait for none. If a source breaks off, the others go on; with on_error='raise' its error comes
        last. A live source is opened again when it breaks off, and gives a result of status 'stale' each second in
        which nothing new comes. The returned stream's `status` tells how each source is; it works with `async for` too.
        Args: as `predict`; `source` may also be {"door": "rtsp://...", "yard": 0}.
            reconnect: open a camera or stream again when it breaks off; False makes that its error.
            give_up_after_s: a live source that has given nothing for so long is an error; None for never.

        Raises: as `predict`; InputError for more than 64 sources, which
        `predict(source, stream=True, mode="stream")` reads one after the other.
        """
        with self._turns.first():
            sources = together(scoped(list_sources(source, fps=fps, sequence=sequence, on_error=on_error), scope))
            plan = self._plan("stream", lookahead, calibrate_neutral_s, images, policy, on_error)
            plan = replace(plan, patience=checked_patience(reconnect, give_up_after_s))
            return self._begin([sources], plan.with_measures(measures, min_quality))

    def stream_together(self, sources: object, lookahead: int | None = None, **reading: Any) -> ResultStream:
        """Deprecated since 0.2: use `stream` with a list."""
        deprecated("AUDetector.stream_together(sources)", "AUDetector.stream(sources)", since="0.2", removed_in="0.4")
        return self.stream(sources, lookahead, **reading)

    def close(self) -> None:
        """Free the session and the face models; the detector cannot be used afterwards. May be called twice.

        In a forked process it frees nothing: the threads that it would wait for are not there.
        """
        if self._turns.forked:
            return
        self._turns.close()
        for model, _, _ in self._opened.values():
            model.close()
        self._meshers.close()

    def __enter__(self) -> AUDetector:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"AUDetector({self.info.tag}, {self.info.where}, {number_of(len(self.codes), 'AU')})"

    def _plan(
        self,
        mode: Mode,
        lookahead: int | None,
        neutral_s: float | None,
        images: bool,
        policy: Policy | None,
        on_error: OnError,
    ) -> Plan:
        begin, info = self._scoring(checked("mode", mode, Mode), lookahead, clock := StageClock())
        naming = self._naming(info, neutral_s)
        if policy is not None:
            checked("policy", policy, Policy)
        return Plan(begin, naming, self._meshers, clock, flag("images", images), policy, on_error)

    def _scoring(self, mode: Mode, lookahead: int | None, clock: StageClock) -> tuple[Callable[[], Scoring], ModelInfo]:
        """What makes the scoring of a group of sources, and the model that results name; opens the mode if need be."""
        if mode == "clip" and lookahead is not None:
            raise ConfigError(f"lookahead belongs to mode='stream'; got {lookahead!r} in clip mode")
        model, info = self._model(mode)
        if isinstance(model, StreamGraphs):
            scorer = StreamScorer(model, lookahead, self._ring_dtype)
            return lambda: StreamScoring(scorer, self.config, clock), replace(info, lookahead=scorer.lookahead)
        return lambda: ClipScoring(model, self.config, clock), info

    def _model(self, mode: Mode) -> tuple[Session | StreamGraphs, ModelInfo]:
        if mode not in self._opened:
            if self._opener is None:
                raise ConfigError(f"this detector was made for {self.mode} mode; use AUDetector.from_pretrained")
            self._opened[mode] = self._opener(mode)
        model, info, _ = self._opened[mode]
        return model, replace(info, **self._facts)

    def _naming(self, info: ModelInfo, neutral_s: float | None) -> Naming:
        seconds = 0.0 if neutral_s is None else checked_seconds(neutral_s)
        own = replaced(self.config, self.thresholds)
        info = replace(info, neutral_s=seconds, replaced=own, smooth_hz=self._smooth_hz)
        how = self.config.preprocessing, self._selection.places, self.config.events
        return Naming(info, self.thresholds, *how, False, 0.0, *self._readers)

    def _begin(self, groups: Sequence[Sequence[Source]], plan: Plan) -> ResultStream:
        """Begin a run, which ends the one before."""
        self._turns.begin(run := Run(groups, plan))
        self._clock = plan.clock
        return ResultStream(run, self._turns)
