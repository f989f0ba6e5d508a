"""What `mdhr live` says: plain lines, JSON that parses, and a held terminal that holds up nothing."""

from __future__ import annotations

import io
import json
import logging
import os
import threading

from mdhr_sdk.cli.parts.live.logs import VALUES, Teller, logs
from mdhr_sdk.cli.parts.live.watch import Watch, sink_line, table
from mdhr_sdk.cli.parts.options import Console
from mdhr_sdk.outputs.live.queued import SinkStatus
from mdhr_sdk.results import AUScore, FaceResult, FrameResult, ModelInfo, SourceStatus

log = logging.getLogger("mdhr_sdk")
MODEL = ModelInfo("demo", "bp4d", "resnet18", "torch", "cpu", True)


def test_lines_of_json_and_of_text() -> None:
    for kind in ("json", "text"):
        said = io.StringIO()
        with logs(Console(file=said), "info", kind):  # type: ignore[arg-type]
            log.info("door: live\x1b[31m [red]", extra={VALUES: {"source": "door", "fps_in": 25.0}})
            log.debug("not shown")
        (line,) = said.getvalue().splitlines()
        if kind == "json":
            told = json.loads(line)
            assert told["message"] == "door: live\\x1b[31m [red]" and told["fps_in"] == 25.0 and told["level"] == "info"
        else:
            assert line.endswith(" door: live\\x1b[31m [red]")
    assert log.propagate and not log.handlers


def test_a_pipe_that_nobody_reads_holds_up_nothing() -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as pipe, os.fdopen(read, "rb") as reader:
        teller = Teller(Console(file=pipe))
        for _ in range(5000):
            teller.line("x" * 200)
        teller.close()
        assert teller.stuck
        drain = threading.Thread(target=lambda: [None for _ in iter(lambda: reader.read1(1 << 16), b"")])
        drain.start()
        teller._thread.join(30)
        pipe.close()
        drain.join(30)


def test_the_table_tells_all_there_is() -> None:
    aus = {"AU12": AUScore("AU12", 0.9, True), "AU04": AUScore("AU04", 0.1, False)}
    face = FaceResult(0, (0.0, 0.0, 1.0, 1.0), None, aus)  # type: ignore[arg-type]
    watch = Watch(["door", "yard"])
    for delay in range(100):
        watch.count(FrameResult("door", delay, delay / 25, (face,), MODEL, delay_ms=float(delay)), paused=delay < 3)
    status = {
        "door": SourceStatus(110, 100, 10, name="door", state="live", dropped_by={"newer": 10}, fps_in=25.0),
        "yard": SourceStatus(name="yard", state="lost", reason="refused\x1b[2J"),
    }
    lines = watch.lines(status)
    assert lines[0].delays == "49 / 98" and lines[0].active == ("AU12",) and watch.paused == {"door": 3}
    assert "dropped 10 (newer 10)" in str(lines[0]) and json.dumps(lines[1].values)
    sink = SinkStatus("door_aus.csv", "failing", "full", 90, 5, {"full": 7})
    assert sink_line(sink) == "door_aus.csv: failing (full), 90 written, 5 waiting, dropped 7 (full 7)"
    said = io.StringIO()
    Console(file=said, markup=False, width=120).print(table(lines, [sink]))
    assert "49 / 98" in said.getvalue() and sink_line(sink) in said.getvalue() and "\x1b" not in said.getvalue()
