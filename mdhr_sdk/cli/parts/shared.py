"""Options that `mdhr detect`, `mdhr batch` and `mdhr live` share.

Each is written as `name: shared.Name = default`, in a dataclass of which `expanded` makes the command's options. Groups
of options that stand together are dataclasses themselves. The defaults of `mdhr live` stand in its settings, so there
an option that was not given is None; where that makes another type, only the words are shared, as in `shared.BACKEND`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from ...errors import ConfigError
from ...modelfolder.bundled import DEFAULT
from ...modelfolder.folder import Trust
from ...outputs.files import FORMATS, MEASURED, Files
from ...pipeline import modes
from ...pipeline.scores.decide import check_quality
from ...vision import Scope
from ...vision.scope import read_person, read_region
from .logs import LogLevel
from .options import MODEL, TrustCode, trust
from .times import read_time

BACKEND = typer.Option(help="auto, or a backend of docs/backends.md.")
DEVICE = typer.Option(help="auto, cpu, cuda or cuda:N.")
PRECISION = typer.Option(help="auto, fp32, fp16, bf16 or int8.")
FACES = typer.Option(help="What finds faces: auto, solutions, tasks or onnx; see docs/faces.md.")
FACE_MODEL = typer.Option(help="A MediaPipe face_landmarker.task file.")
MIN_QUALITY = typer.Option(help="Leave out faces of less quality, 0 to 1; from 0.5 on a face is to be trusted.")

# What scores, and how
Model = Annotated[Optional[str], typer.Option(help=f"{MODEL}; by default {DEFAULT}.")]
Digest = Annotated[Optional[str], typer.Option(help="Take only the model folder of this digest; see mdhr digest.")]
Backend = Annotated[str, BACKEND]
Device = Annotated[str, DEVICE]
Precision = Annotated[str, PRECISION]
Threads = Annotated[Optional[int], typer.Option(help="CPU threads of the model; chosen if not given.")]
Mode = Annotated[modes.Mode, typer.Option(help="Windows of T frames as in the paper, or frame by frame.")]
Lookahead = Annotated[
    Optional[int], typer.Option(help="Stream mode: score a frame this many frames later, 0 to T - 1; for edge 7.")
]
Smooth = Annotated[
    Optional[float],
    typer.Option(help="Smooth the scores: cutoff in Hz of a one-euro filter, as 1; lower is smoother."),
]
CalibrateNeutral = Annotated[
    Optional[str],
    typer.Option(help="Seconds at the beginning that show neutral faces, as in 2s; later scores are relative to them."),
]
AllAus = Annotated[bool, typer.Option("--all-aus", help="Report AUs of reliability tier C too.")]

# What is scored
MaxFaces = Annotated[int, typer.Option(help="Most faces per frame.")]
FaceModel = Annotated[Optional[Path], FACE_MODEL]
Faces = Annotated[str, FACES]
MinQuality = Annotated[float, MIN_QUALITY]
Start = Annotated[Optional[str], typer.Option(help="Score from this time on: 90, 1:30 or 0:01:30.5.")]
End = Annotated[Optional[str], typer.Option(help="Score up to this time.")]
Every = Annotated[Optional[int], typer.Option(help="Score one frame of so many.")]
SampleFps = Annotated[Optional[float], typer.Option(help="Score at most so many frames a second.")]
Region = Annotated[
    Optional[str],
    typer.Option(help="Score faces with their middle in it: 'x,y,w,h', or corners 'x,y x,y x,y', in pixels."),
]
Person = Annotated[Optional[str], typer.Option(help="Score one face: largest, central, first, or a track id.")]

# What is written and said
Measures = Annotated[
    bool, typer.Option("--measures", help="Measure head pose, gaze and quality too; openface and others do so.")
]
Overlay = Annotated[bool, typer.Option(help="Write the annotated video or image.")]
Codec = Annotated[str, typer.Option(help="Codec of the annotated video: h264, vp9 or av1.")]
Timeline = Annotated[bool, typer.Option(help="Draw the scores over time.")]
Format = Annotated[str, typer.Option(help=f"Tables to write, separated by commas: {', '.join(FORMATS)}.")]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Pass over files whose results are there, of the same content, model and options."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but warnings and errors.")]
Level = Annotated[Optional[LogLevel], typer.Option(help="Show the log from this level on, with times.")]


@dataclass(frozen=True)
class Where:
    """What runs the model; fields of `DetectOptions`."""

    backend: Backend = "auto"
    device: Device = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class Trusted:
    """Which AUs and files are trusted."""

    all_aus: AllAus = False
    digest: Digest = None
    trust_code: TrustCode = False

    @property
    def trust(self) -> Trust | None:
        return trust(self.trust_code)


@dataclass(frozen=True)
class Drawn:
    """What is drawn of a source."""

    overlay: Overlay = True
    codec: Codec = "h264"
    timeline: Timeline = True


@dataclass(frozen=True)
class Tables:
    """What is written into tables."""

    format: Format = "native"
    measures: Measures = False
    min_quality: MinQuality = 0.0

    def files(self, drawn: Drawn) -> Files:
        """All that is written; raises as `Files`, and ConfigError for a `min_quality` that cannot be."""
        formats = tuple(one.strip() for one in self.format.split(","))
        if drawn.codec != "h264" and not drawn.overlay:
            raise ConfigError(f"--codec belongs to the annotated video; got {drawn.codec} together with --no-overlay")
        measures = self.measures or check_quality(self.min_quality) > 0 or not {*MEASURED}.isdisjoint(formats)
        return Files(drawn.overlay, drawn.codec, drawn.timeline, formats, measures)


@dataclass(frozen=True)
class Part:
    """What of a source is scored."""

    start: Start = None
    end: End = None
    every: Every = None
    sample_fps: SampleFps = None
    region: Region = None
    person: Person = None

    def scope(self) -> Scope:
        """What the options mean.

        Raises:
            ConfigError: an option cannot be read, or they do not go together.
        """
        return Scope(
            start_s=0.0 if self.start is None else read_time("--start", self.start, zero=True),
            end_s=None if self.end is None else read_time("--end", self.end),
            every=1 if self.every is None else self.every,
            sample_fps=self.sample_fps,
            region=None if self.region is None else read_region(self.region),
            person=None if self.person is None else read_person(self.person),
        )
