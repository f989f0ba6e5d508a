"""A study whose long videos are read in parts: each video has one outcome, as if it had been read as one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from ..errors import MDHRError, number_of
from ..outputs.naming import EVENTS, TABLE
from .crews.crew import Crew
from .fingerprint import fingerprint
from .joining import joined
from .outcome import Outcome
from .parts import Part, parts_folder, parts_of
from .places import Place
from .record import RECORD, Record, is_done
from .study import run_study
from .worker import Job

log = logging.getLogger("mdhr_sdk")
Tell = Callable[[Job, Outcome], None]


@dataclass
class Video:
    """A video that is read in parts.

    Attributes:
        job: of the whole.
        parts: base of a part's files -> the part, in order.
        outcomes: of those parts that are done with.
    """

    job: Job
    parts: dict[str, Part]
    outcomes: list[Outcome] = field(default_factory=list)

    def join(self, place: Place, key: str) -> Outcome | str:
        """Put the parts' tables together, and remove the parts; a text says why the video must be read as one.

        Raises:
            OutputError: the tables cannot be written.
        """
        job, outcome = self.job, Outcome(self.job.source, self.job.label, read=True)
        if failed := next((one.error for one in self.outcomes if one.state != "done" and one.error), None):
            return str(failed)
        mark = fingerprint(job.source.paths)
        outcome.total_s = sum(one.total_s for one in self.outcomes)
        if all(one.skipped for one in self.outcomes) and (before := is_done(place, job.base, mark, key)):
            outcome.skipped, outcome.frames, outcome.with_face = True, before.frames, before.with_face
            place.remove(parts_folder(job.base))  # a driver that was killed just then left them
            return outcome
        if not all(is_done(place, base, part.mark(mark), key) for base, part in self.parts.items()):
            return "the video was changed while they were read"
        tables = joined(place, list(self.parts))
        if isinstance(tables, str):
            return tables
        name = job.base.rpartition("/")[2]
        made = {f"{name}{end}": len(text.encode()) for end, text in tables.texts.items()}
        place.drop(f"{job.base}{RECORD}")
        for end in (TABLE, EVENTS):
            place.write(f"{job.base}{end}", tables.texts[end])
        outcome.frames, outcome.with_face, outcome.tracks = tables.frames, tables.with_face, {*tables.tracks}
        for counts in tables.counts:
            outcome.add(counts)
        numbers = tables.frames, tables.with_face, round(outcome.total_s, 3)
        record = Record(job.source.name, job.path, mark, key, made, *numbers)
        place.write(f"{job.base}{RECORD}", record.text())
        place.remove(parts_folder(job.base))
        return outcome


def run_split(
    jobs: Iterable[Job], minutes: float, crew: Crew, place: Place, tell: Tell, tick: Callable[[], None] = lambda: None
) -> None:
    """As `run_study`, with videos that are longer in parts of about so many minutes.

    Videos whose parts do not fit each other are read again, as one, after the others. Remote files are not split, since
    each part would fetch them.
    """
    todo, videos = list[Job](), dict[int, Video]()
    for job in jobs:
        parts = [] if job.url else _parts(job, minutes)
        if parts:
            video = Video(job, {f"{parts_folder(job.base)}/{part.number:04d}": part for part in parts})
            for base, part in video.parts.items():
                videos[len(todo)], label = video, f"{job.label}, part {part.number + 1}"
                todo.append(replace(job, number=len(todo), base=base, part=part, label=label))
        else:
            todo.append(replace(job, number=len(todo)))
    again: list[Job] = []

    def told(job: Job, outcome: Outcome) -> None:
        if job.part is None:
            tell(job, outcome)
            return
        video = videos[job.number]
        video.outcomes.append(outcome)
        if len(video.outcomes) < len(video.parts):
            return
        assert crew.described is not None
        whole = video.join(place, crew.described.key)
        if isinstance(whole, str):
            parts = number_of(len(video.parts), "part")
            log.warning("%s is read as one, since its %s do not fit: %s", video.job.label, parts, whole)
            place.remove(parts_folder(video.job.base))
            again.append(replace(video.job, number=len(todo) + len(again)))
        else:
            tell(video.job, whole)

    run_study(todo, crew, told, tick)
    run_study(again, crew, tell, tick)


def _parts(job: Job, minutes: float) -> list[Part]:
    try:
        return parts_of(job.source, minutes)
    except MDHRError:  # its worker says what is wrong with it
        return []
