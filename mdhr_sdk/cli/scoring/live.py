"""`mdhr live`: cameras and streams for hours, with outputs that are whole at any moment."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ...detector import AUDetector
from ...errors import ConfigError, MDHRError, number_of
from ...outputs.live.run_folder import LiveRun, live_folder
from ...outputs.naming import stems
from ..parts import shared
from ..parts.expanded import expanded
from ..parts.live.checking import check_all
from ..parts.live.logs import Teller, logs
from ..parts.live.opening import open_detector, open_sources
from ..parts.live.outputs import Outputs, open_outputs
from ..parts.live.session import Ended, LiveSession
from ..parts.live.settings import LiveSettings, LogFormat, LogLevel, Picture, Policy, live_settings
from ..parts.live.stopping import Stop
from ..parts.live.watch import dropped, sink_line
from ..parts.live.window import check_display
from ..parts.options import BAD_INPUT, Console, TrustCode, command_app

BROKEN, SOURCE_LOST, OUTPUT_LOST = 1, 3, 4  # exit codes
app = command_app()
log = logging.getLogger("mdhr_sdk")


@dataclass(frozen=True)
class Arguments:
    """The options of `mdhr live`; what they mean stands in `LiveSettings`."""

    sources: Annotated[
        Optional[list[str]],
        typer.Argument(metavar="SOURCE...", help="Cameras, URLs or files, each as ADDRESS or NAME=ADDRESS."),
    ] = None
    config: Annotated[Optional[Path], typer.Option(help="A YAML file with these options; see docs/live.md.")] = None
    check: Annotated[bool, typer.Option("--check", help="Try each source and output, and say what works.")] = False
    out: Annotated[Optional[str], typer.Option(help="Folder for tables and recordings; mdhr-output.")] = None
    csv: Annotated[bool, typer.Option("--csv", help="Tables of each source, whole at any moment.")] = False
    jsonl: Annotated[
        Optional[list[str]],
        typer.Option(metavar="-|FILE|tcp://|udp://", help="JSON Lines, to standard output, a file or a program."),
    ] = None
    record: Annotated[Optional[Picture], typer.Option(help="Record pictures as they came, or with scores.")] = None
    segment: Annotated[Optional[str], typer.Option(help="Length of a recording; 10m.")] = None
    keep: Annotated[
        Optional[list[str]], typer.Option(help="Remove older recordings: an age as 7d, a size as 20GB, or both.")
    ] = None
    serve: Annotated[Optional[str], typer.Option(metavar="[HOST:]PORT", help="Serve a page (extra: live).")] = None
    token: Annotated[
        Optional[str], typer.Option(envvar="MDHR_TOKEN", help="What the page asks for; better in MDHR_TOKEN.")
    ] = None
    mqtt: Annotated[Optional[str], typer.Option(metavar="mqtt://HOST[:PORT]/PREFIX", help="(extra: mqtt)")] = None
    lsl: Annotated[bool, typer.Option("--lsl", help="Lab streaming layer (extra: lsl).")] = False
    show: Annotated[bool, typer.Option("--show", help="Show a window with keys for control.")] = False
    lookahead: Annotated[Optional[int], typer.Option(help="Score a frame this many frames later; for edge 7.")] = None
    policy: Annotated[Optional[Policy], typer.Option(help="Score the newest frame, or each: complete.")] = None
    give_up_after: Annotated[
        Optional[str], typer.Option(help="End a source that is lost for so long, as 5m; without it, never.")
    ] = None
    region: shared.Region = None
    person: shared.Person = None
    reidentify: Annotated[
        bool, typer.Option("--reidentify", help="Who was away and looks as before has the same number again.")
    ] = False
    measures: Annotated[bool, typer.Option("--measures", help="Measure head pose, gaze and quality too.")] = False
    min_quality: Annotated[Optional[float], shared.MIN_QUALITY] = None
    calibrate_neutral: shared.CalibrateNeutral = None
    smooth: shared.Smooth = None
    model: shared.Model = None
    backend: Annotated[Optional[str], shared.BACKEND] = None
    device: Annotated[Optional[str], shared.DEVICE] = None
    precision: Annotated[Optional[str], shared.PRECISION] = None
    threads: shared.Threads = None
    max_faces: Annotated[Optional[int], typer.Option(help="Most faces per frame; 10.")] = None
    face_model: Annotated[Optional[str], shared.FACE_MODEL] = None
    faces: Annotated[Optional[str], shared.FACES] = None
    all_aus: shared.AllAus = False
    digest: shared.Digest = None
    trust_code: TrustCode = False
    log_level: Annotated[Optional[LogLevel], typer.Option(help="debug, info, warning or error; info.")] = None
    log_format: Annotated[Optional[LogFormat], typer.Option(help="text or json; text.")] = None


@app.command()
@expanded
def live(context: typer.Context, given: Arguments) -> None:
    """Score cameras and streams as they come, for hours, with outputs that are whole at any moment.

    Ctrl-C, TERM and HUP end it with whole files; with --config and without a terminal HUP reads the file again.
    Exit code: 0 ended as asked, 1 a fault of this program, 2 bad input, 3 a source was lost for good, 4 an output lost
    results.
    """
    typed = _typed(context)
    settings = live_settings(given.config, typed)
    if not settings.sources:
        raise ConfigError("mdhr live needs a source, as 0 or door=rtsp://...; name one, or give --config live.yaml")
    console = Console(stderr=True, markup=False, emoji=False)
    stop = Stop()
    with logs(console, settings.log_level, settings.log_format) as teller, stop.on_signals():
        if given.check:
            raise typer.Exit(check_all(settings))
        following = _Following(None if sys.stderr.isatty() else given.config, typed)
        before: LiveSettings | None = None
        while True:
            try:
                ended = _run(settings, stop, following.read, teller)
            except KeyboardInterrupt:  # before the run had begun, so there is nothing to finish
                raise typer.Exit from None
            except MDHRError as error:
                if before is None:
                    raise
                log.error("%s; going on with the settings from before", error)
                settings, before, stop.armed = before, None, False
                continue
            if stop.asked != "hangup" or following.settings is None or ended.hangs:
                break
            before, settings = settings, following.settings
            stop.renew()
            stop.armed = False
    if ended.hangs or teller.stuck:  # a thread in native code, or one that prints, would hold the interpreter
        os._exit(_exit_code(ended))
    raise typer.Exit(_exit_code(ended))


class _Following:
    """The settings of the run after this one.

    Attributes:
        settings: None if no run follows.

    Args:
        config: the file to read again after HUP; None if HUP ends the command.
    """

    def __init__(self, config: Path | None, typed: Mapping[str, Any]) -> None:
        self.settings: LiveSettings | None = None
        self._config, self._typed = config, typed

    def read(self) -> bool:
        """Read the file again; whether this run is to end."""
        if self._config is None:
            return True
        try:
            settings = live_settings(self._config, self._typed)
            open_sources(settings)
        except MDHRError as error:
            log.error("%s; going on with the settings from before", error)
            return False
        log.info("read '%s' again", self._config)
        self.settings = settings
        return True


def _typed(context: typer.Context) -> dict[str, Any]:
    """What stands on the command line, by setting."""
    given = {name: context.get_parameter_source(name) for name in context.params.keys() - {"config", "check"}}
    typed = {
        name for name, source in given.items() if source is not None and source.name in ("COMMANDLINE", "ENVIRONMENT")
    }
    return {name: value for name, value in context.params.items() if name in typed}


def _run(settings: LiveSettings, stop: Stop, on_hangup: Callable[[], bool], teller: Teller) -> Ended:
    """One run, from opening to its last words."""
    if settings.show:
        check_display()
    sources = open_sources(settings)
    names = [source.name for source in sources]
    out = Path(settings.out)
    files = settings.csv or settings.record is not None or settings.show
    with ExitStack() as stack:
        folder = stack.enter_context(live_folder(out)) if files else None
        for line in folder.found if folder is not None else ():
            log.warning("%s", line)
        detector = stack.enter_context(open_detector(settings))
        bases = dict(zip(names, (out / stem for stem in stems([(s.name, s.kind) for s in sources])), strict=True))
        stop.armed = True
        outputs = open_outputs(settings, detector.info, detector.codes, bases)
        if folder is not None:
            folder.begin(names)
        _greet(detector, settings, outputs, teller)
        ended = LiveSession(detector, sources, outputs, settings, stop, on_hangup, teller).run()
        _report(ended, stop)
        if folder is not None:
            _note(folder, ended)
        if ended.hangs:
            stack.pop_all()  # closing the detector would wait for what hangs; the process ends now
    return ended


def _greet(detector: AUDetector, settings: LiveSettings, outputs: Outputs, teller: Teller) -> None:
    log.info("model %s: %s; %s", detector.info.name, detector.info.tag, detector.choice)
    if not detector.info.trained:
        log.warning("this model is untrained: its scores mean nothing")
    names = [one.name for one in outputs.sinks.status]
    if names:
        log.info("results go to %s", ", ".join(names))
    elif not settings.show:
        log.warning("results are only counted; ask for an output: --csv, --jsonl, --record, --serve or --show")
    if outputs.served is not None and teller.console.is_terminal:  # it may hold the token, which belongs into no log
        teller.line(f"the page is at {outputs.served.url}")
    elif outputs.served is not None and "?" in outputs.served.url and settings.token is None:
        log.warning("the page asks for a new token that is shown on a terminal only; give your own in MDHR_TOKEN")


def _report(ended: Ended, stop: Stop) -> None:
    """The last words: what was captured, scored and dropped, what each output got, and why sources ended."""
    why = {"interrupt": "Ctrl-C", "terminate": "TERM", "hangup": "HUP", "user": "the window"}.get(stop.asked, "")
    log.info("ended%s", f" by {why}" if why else "")
    for name, one in ended.status.items():
        counts = f"captured {one.captured:,} = scored {one.scored:,} + {dropped(one.dropped_by or {'': one.dropped})}"
        again = f", {number_of(one.reconnects, 'reconnect')}" if one.reconnects else ""
        paused = ended.paused.get(name, 0)
        unwritten = f"; {number_of(paused, 'result')} not written, since it was paused" if paused else ""
        log.info("%s: %s%s%s", name, counts, again, unwritten)
    for sink in ended.sinks:
        log.log(logging.WARNING if sink.dropped else logging.INFO, "%s", sink_line(sink))
    if ended.hangs:
        log.warning("a source did not answer in time and is left behind; the files are whole")
    for error in ended.errors:
        log.error("%s", error)


def _note(folder: LiveRun, ended: Ended) -> None:
    sources = {
        name: {"captured": one.captured, "scored": one.scored, "dropped": dict(one.dropped_by)}
        for name, one in ended.status.items()
    }
    sinks = {one.name: {"written": one.written, "dropped": dict(one.dropped_by)} for one in ended.sinks}
    try:
        folder.end({"counts": sources, "outputs": sinks})
    except MDHRError as error:
        log.error("%s", error)


def _exit_code(ended: Ended) -> int:
    if ended.broken:
        return BROKEN
    if ended.source_lost:
        return SOURCE_LOST if any(one.scored for one in ended.status.values()) else BAD_INPUT
    return OUTPUT_LOST if any(sink.dropped for sink in ended.sinks) else 0
