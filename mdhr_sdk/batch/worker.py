"""What a worker does: it opens the model once, then reads one file after the other."""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

from ..atomic import LOCK, write_whole
from ..errors import MDHRError, OutputError, SourceError
from ..outputs.naming import whole_path
from ..pipeline.clock import StageClock
from ..pipeline.tuned import tuned_process
from ..vision import Source, list_sources
from .fingerprint import fingerprint
from .options import DetectOptions
from .outcome import Outcome
from .parts import BOUNDS, Bounds, Part, whole_base
from .places import Folder, destination, fetched
from .record import RECORD, Record, check_free, is_done, left_over
from .writer import SourceWriter


@dataclass(frozen=True)
class Job:
    """One source and where its results go.

    Attributes:
        number: in the order in which they were given.
        source: as it is opened; of a `url` only its name, kind and scope count.
        label: how it is called.
        base: what the names of its files begin with, below the destination: 'P01/video'.
        size_bytes: of its files; 0 if it is not known.
        url: of a file that fsspec fetches; '' for files of this machine.
        part: of a video that is read in parts; `base` is then that of the part.
    """

    number: int
    source: Source
    label: str
    base: str
    size_bytes: int = 0
    url: str = ""
    part: Part | None = None

    @property
    def path(self) -> str:
        """Where the source lies, from the top on; of a URL without its login."""
        return str(whole_path(self.source.name))

    @property
    def whole(self) -> str:
        """The base of the whole source's files."""
        return self.base if self.part is None else whole_base(self.base)


class Worker:
    """Reads files into results, whole or not at all.

    Files are made in a hidden folder and moved to their names when all are complete; the record comes last. Settings of
    the whole process are changed until it is closed (`tuned_process`).

    Args:
        out: path or URL of the destination.
        resume: pass over what has a record of the same source and options.
    """

    def __init__(self, options: DetectOptions, out: str, resume: bool = False) -> None:
        self._options = options
        self._resume = resume
        with ExitStack() as stack:
            stack.enter_context(tuned_process())
            self._detector = stack.enter_context(closing(options.open()))
            self._place = destination(out)
            self._staging = stack.enter_context(self._place.staging())
            self.described = options.describe(self._detector)
            self._open = stack.pop_all()

    def run(self, job: Job) -> Outcome:
        """Read one file. Its errors are in what is returned; results of a file that broke off are marked incomplete."""
        outcome = Outcome(job.source, job.label)
        clock = StageClock()
        with clock("total"):
            try:
                self._read(job, outcome, clock)
            except MDHRError as error:
                outcome.error = outcome.error or error.with_traceback(None)
            finally:
                self._clear()
        spent = {**self._detector.timings_s, **clock.seconds}
        outcome.total_s = spent.pop("total")
        outcome.timings_s = spent if outcome.frames and not outcome.skipped else {}  # or they are another file's
        outcome.tell_kept()
        return outcome

    def close(self) -> None:
        """Free the model and the hidden folder."""
        self._open.close()

    def _read(self, job: Job, outcome: Outcome, clock: StageClock) -> None:
        with ExitStack() as stack:
            began_s, source = time.perf_counter(), job.source.scoped(self._options.scope)
            files = [job.url] if job.url else source.paths
            mark = content = fingerprint(files) if files else ""
            if self._done(job, job.whole, outcome, mark):
                return
            if job.part is not None:
                source, mark = source.scoped(job.part.scope_of(source.scope)), job.part.mark(content)
                if self._done(job, job.base, outcome, mark):
                    return
            before = check_free(self._place, job.whole, job.path, content)
            if job.url:
                source = _named(stack.enter_context(fetched(job.url, self._staging)), source)
            outcome.source = source
            self._write(source, job, outcome, clock, content)
            outcome.failures = [self._renamed(error, job) for error in outcome.failures]
            outcome.error = outcome.error and self._renamed(outcome.error, job)
            made = self._publish(job, outcome)
            if job.part is None:
                outcome.stale = left_over(self._place, job.base, before, made)
            if mark and outcome.complete and not outcome.failures:
                seconds, key = round(time.perf_counter() - began_s, 3), self.described.key
                counts = outcome.frames, outcome.with_face, seconds
                record = Record(source.name, job.path, mark, key, made, *counts)
                self._place.write(f"{job.base}{RECORD}", record.text())

    def _done(self, job: Job, base: str, outcome: Outcome, mark: str) -> bool:
        """Whether an earlier run has done it; a file that was moved may change at its new place from now on."""
        record = is_done(self._place, base, mark, self.described.key) if self._resume and mark else None
        if record is not None:
            outcome.skipped = outcome.read = True
            outcome.frames, outcome.with_face = record.frames, record.with_face
            if record.path != job.path:
                self._place.write(f"{base}{RECORD}", replace(record, path=job.path).text())
        return record is not None

    def _write(self, source: Source, job: Job, outcome: Outcome, clock: StageClock, content: str) -> None:
        """Read the source, of which the fingerprint is known, into files in the hidden folder."""
        base = self._staging / Path(job.base).name
        writer = SourceWriter(self._detector.thresholds, outcome, base, self._options.files)
        reading, bounds = self._options.reading, None if job.part is None else Bounds(job.part)
        if bounds is not None:
            reading["images"] = True
        try:
            with closing(self._detector.predict(source, stream=True, **reading)) as results:
                for result in results:
                    if bounds is None or bounds.takes(result):
                        with clock("write"):
                            writer.write(result, counted=bounds is None or bounds.end is None)
                    if writer.given_up or (bounds is not None and bounds.over):
                        break
            outcome.read = not writer.given_up
            self._check(source, job, content)
        except MDHRError as error:
            outcome.error = error.with_traceback(None)  # a traceback would keep the frames in memory
        finally:
            writer.close()
        if bounds is not None:
            outcome.files.append(base.with_name(f"{base.name}{BOUNDS}"))
            write_whole(outcome.files[-1], json.dumps({**bounds.as_json(), "counts": outcome.counts}))
        with clock("timeline"):
            writer.draw()

    def _check(self, source: Source, job: Job, content: str) -> None:
        """Raise if what was read changed meanwhile, or another process made results of that name."""
        if source.paths and fingerprint(source.paths) != content:
            raise SourceError(
                f"{source.name} was changed while it was read, so nobody knows what its results are of; read it again "
                "when it is complete"
            )
        check_free(self._place, job.whole, job.path, content)

    def _renamed(self, error: MDHRError, job: Job) -> MDHRError:
        """The error with the name that a file was to get: nobody finds the hidden one. The disk is the same."""
        hidden = f"{self._staging}{os.sep}"
        if not isinstance(self._place, Folder) or hidden not in str(error):
            return error
        return OutputError(str(error).replace(hidden, f"{(self._place.root / job.base).parent}{os.sep}"))

    def _publish(self, job: Job, outcome: Outcome) -> dict[str, int]:
        """Move the files to their names; returns name -> bytes. A record of earlier results goes before them."""
        folder, made = job.base.rpartition("/")[0], dict[str, int]()
        if outcome.complete:
            self._place.drop(f"{job.base}{RECORD}")
        files, replaced = outcome.files, set[Path]()
        outcome.files = []
        for file in files:
            name = f"{folder}/{file.name}" if folder else file.name
            size, before = file.stat().st_size, self._place.size(name)
            path = Path(self._place.put(file, name))
            outcome.files.append(path)
            replaced |= set() if before is None else {path}
            made[file.name] = size
        outcome.replaced = replaced
        return made

    def _clear(self) -> None:
        """Leave nothing of this file in the hidden folder."""
        for path in self._staging.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != LOCK:
                path.unlink(missing_ok=True)


def _named(copy: Path, source: Source) -> Source:
    """The copy of a remote file under its own name."""
    (found,) = list_sources(copy)
    return found.renamed(source.name).scoped(source.scope)
