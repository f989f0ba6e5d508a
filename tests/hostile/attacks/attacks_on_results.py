"""Attacks by results that are read back or reported: tables, events, and what lies beside them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks_on_paths import SECRET, Attack

CODES, SCRIPT = ("AU01", "AU12"), "<script>alert(1)</script>"
BASE = "clip"


def folder(arena: Path) -> Path:
    """Where results lie; what is made in it is no harm."""
    place = arena / "copied"
    place.mkdir(exist_ok=True)
    return place


def written(arena: Path, source: str = "clip.mp4", note: str = "") -> Path:
    """Sound tables of three frames in all formats."""
    import numpy as np

    from mdhr_sdk.outputs.collection import Results
    from mdhr_sdk.results import AUEvent, AUScore, Ending, FaceResult, FrameResult, ModelInfo

    model = ModelInfo("edge", "synthetic", "mobilenet", "onnxruntime", "cpu", True)
    event = AUEvent(source, 0, "AU12", 0, 1, 2, 0.0, 0.04, 0.08, 0.9)
    ending, frames = Ending(events=(event,)), []
    for index in range(3):
        aus = {code: AUScore(code, 0.5, True) for code in CODES}
        face = FaceResult(0, (1.0, 2.0, 30.0, 40.0), np.zeros((478, 3), np.float32), aus)
        frames.append(FrameResult(source, index, index / 25, (face,), model, note=note, fps=25.0, ending=ending))
    results = Results(tuple(frames), model, fps=25.0, codes=CODES, kinds={source: "video"})
    results.save(folder(arena), timeline=False, formats=("native", "parquet", "jsonl"))
    return folder(arena)


def table(end: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    """The text of a sound table, changed; the other tables go."""

    def prepare(arena: Path) -> None:
        place = written(arena)
        path = next(place.glob(f"*{end}"))
        content = change(path.read_text())
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        for other in place.iterdir():
            if other != path and (other.suffix == ".parquet" or not other.name.endswith(("_events.csv", "_aus.csv"))):
                other.unlink()
        if end == ".jsonl":
            for other in place.glob("*.csv"):
                other.unlink()

    return prepare


def line(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    """A line of JSON Lines, changed."""

    def changed(text: str) -> str:
        first, rest = text.split("\n", 1)
        values = json.loads(first)
        change(values)
        return json.dumps(values) + "\n" + rest

    return table(".jsonl", changed)


def cell(name: str, value: str, end: str = "_aus.csv") -> Callable[[Path], None]:
    """A value of a CSV table's second row."""

    def changed(text: str) -> str:
        import csv
        import io

        rows = list(csv.reader(io.StringIO(text)))
        rows[1][rows[0].index(name)] = value
        out = io.StringIO()
        csv.writer(out).writerows(rows)
        return out.getvalue()

    return table(end, changed)


def parquet(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        from pyarrow import parquet as files

        place = written(arena)
        path = next(place.glob("*.parquet"))
        files.write_table(change(files.read_table(path)), path)
        for other in place.iterdir():
            if other != path:
                other.unlink()

    return prepare


def about(content: bytes) -> Callable[[Path], None]:
    return parquet(lambda found: found.replace_schema_metadata({b"mdhr_sdk": content}))


def many_rows(arena: Path) -> None:
    """Twenty million rows of one row, which take no place."""
    from pyarrow import parquet as files

    place = written(arena)
    path = next(place.glob("*.parquet"))
    row = files.read_table(path).drop_columns(["landmarks_px"]).slice(0, 1)
    part = row.take([0] * 200_000)
    with files.ParquetWriter(path, row.schema, compression="zstd") as writer:
        for _ in range(100):
            writer.write_table(part)
    for other in place.iterdir():
        if other != path:
            other.unlink()


def with_column(name: str, value: Any) -> Callable[[Any], Any]:
    def change(found: Any) -> Any:
        import pyarrow as pa

        column = pa.array([value] * found.num_rows)
        if name in found.column_names:
            return found.set_column(found.column_names.index(name), name, column)
        return found.append_column(name, column)

    return change


def sparse(name: str, size: int, begin: bytes = b"") -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        for path in folder(arena).iterdir():
            path.unlink()
        with (folder(arena) / name).open("wb") as file:
            file.write(begin)
            file.truncate(size)

    return prepare


def reads(arena: Path) -> str:
    """What is read is all of it used once."""
    from mdhr_sdk.outputs.collection import Results

    order = (".parquet", ".jsonl", "_aus.csv")
    paths = sorted(path for path in folder(arena).iterdir() if path.name.endswith(order))
    results = Results.from_file(paths[0])
    return f"{len(results)} frames, {len(results.to_dataframe())} rows, {len(results.events)} events"


def flipped(arena: Path) -> str:
    """Two hundred Parquet files with a byte or two changed."""
    from mdhr_sdk.errors import MDHRError

    path = next(folder(arena).glob("*.parquet"))
    sound, chance, refused = path.read_bytes(), random.Random(23), 0
    for _ in range(200):
        content = bytearray(sound)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(4, len(content))] = chance.randrange(256)
        path.write_bytes(content)
        try:
            reads(arena)
        except MDHRError:
            refused += 1
    return f"{refused} of 200 refused"


def reports(arena: Path) -> str:
    """The pages, in which no text of a table is markup, and no file of elsewhere."""
    from mdhr_sdk.outputs.report.study import find_tables, write_report

    files, errors = write_report(find_tables([folder(arena)]), folder(arena) / "pages")
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert SCRIPT not in text and "<img src=x" not in text, f"{path.name} holds a script"
        assert SECRET not in text and "of-elsewhere" not in text, f"{path.name} holds another file"
    if errors and not files:
        raise errors[0]
    return f"{len(files)} pages, {[str(error) for error in errors]}"


def marked_up(arena: Path) -> None:
    written(arena, source=f"{SCRIPT}.mp4", note=f"{SCRIPT}\"><img src=x onerror='alert(1)'>")


def table_of_elsewhere(arena: Path) -> None:
    place = written(arena, source="of-elsewhere.mp4")
    (arena / "home").mkdir(exist_ok=True)
    for path in sorted(place.iterdir()):
        path.rename(arena / "home" / path.name)
    own = written(arena)
    for path in sorted((arena / "home").iterdir()):
        (own / f"b{path.name}").symlink_to(path)


def overlay(make: Callable[[Path, Path], object]) -> Callable[[Path], None]:
    """What lies in the place of the annotated video."""

    def prepare(arena: Path) -> None:
        place = written(arena)
        make(arena, place / f"{BASE}_overlay.mp4")

    return prepare


def private_picture(arena: Path, path: Path) -> None:
    import cv2
    import numpy as np

    target = arena / "home" / "private.png"
    cv2.imwrite(str(target), np.zeros((40, 40, 3), np.uint8))
    path.symlink_to(target)


def slim_picture(arena: Path, path: Path) -> None:
    import cv2
    import numpy as np

    cv2.imwrite(str(path.with_suffix(".png")), np.zeros((60_000, 1, 3), np.uint8))
    path.with_suffix(".png").rename(path)


def reports_without_pictures(arena: Path) -> str:
    told = reports(arena)
    pages = [path.read_text() for path in (folder(arena) / "pages").glob("clip*.html")]
    assert not any("data:image/jpeg" in text for text in pages), "a picture of elsewhere is in a page"
    return told


DEEP = "[" * 100_000
ATTACKS = (
    Attack("CSV: a frame that is a word", table("_aus.csv", lambda text: text.replace(",0,", ",zero,", 1)), reads),
    Attack("CSV: a probability that is a word", cell("AU01_probability", "high"), reads),
    Attack("CSV: a track of 1e400", cell("track_id", "1e400"), reads),
    Attack("CSV: a time that is no number", cell("timestamp_s", "nan"), reads),
    Attack("CSV: a column left out", table("_aus.csv", lambda text: text.replace("AU01_probability", "x")), reads),
    Attack("CSV: a million columns", table("_aus.csv", lambda text: "a," * 450_000 + text), reads),
    Attack("CSV: rows shorter than 900 columns", table("_aus.csv", lambda t: "a," * 900 + t + "\n" * 3_000_000), reads),
    Attack("CSV: bytes that are no text", table("_aus.csv", lambda text: text + "\udcff\udcfe"), reads),
    Attack("CSV: a model of a megabyte", cell("model", "a (" + "b; " * 300_000 + ")"), reads),
    Attack("CSV: a model that backtracks", cell("model", "a: b c (trained on " + "; reliability " * 2_000), reads),
    Attack("CSV: 1 TB of holes", sparse("clip_aus.csv", 1 << 40, b"source,frame\n"), reads),
    Attack("CSV: 2 GB of holes", sparse("clip_aus.csv", 2 << 30, b"source,frame\n"), reads),
    Attack("events: a frame that is a word", cell("onset_frame", "x", "_events.csv"), reads),
    Attack("events: a time without end", cell("apex_s", "inf", "_events.csv"), reads),
    Attack("events: no table", table("_events.csv", lambda text: "\0" * 100), reads),
    Attack("lines: nested too deep", table(".jsonl", lambda text: '{"a":' + DEEP + "\n" + text), reads),
    Attack("lines: faces of another kind", line(lambda v: v.update(faces=[[]])), reads),
    Attack("lines: AUs of another kind", line(lambda v: v["faces"][0].update(aus=[1])), reads),
    Attack("lines: a time of another kind", line(lambda v: v.update(captured_at=5)), reads),
    Attack(
        "lines: a probability of another kind",
        line(lambda v: v["faces"][0]["aus"]["AU01"].update(probability=[])), reads,
    ),
    Attack("lines: a baseline of another kind", line(lambda v: v["faces"][0].update(baseline={})), reads),
    Attack("lines: a track of markup", line(lambda v: v["faces"][0].update(track_id=SCRIPT)), reads),
    Attack("lines: a frame of 1e400", line(lambda v: v.update(frame=float("inf"))), reads),
    Attack("lines: a model of another kind", line(lambda v: v.update(model=[1])), reads),
    Attack("lines: bytes that are no text", table(".jsonl", lambda text: text + '{"\udcff\n'), reads),
    Attack("lines: 3 GB of holes", sparse("clip.jsonl", 3 << 30, b"{"), reads),
    Attack("Parquet: twenty million rows in no place", many_rows, reads),
    Attack("Parquet: a frame that is a word", parquet(with_column("frame", "zero")), reads),
    Attack("Parquet: structures in a column", parquet(with_column("note", {"a": [{"b": 1}]})), reads),
    Attack("Parquet: a mesh of words", parquet(with_column("landmarks_px", ["a"] * 1434)), reads),
    Attack("Parquet: a model nested too deep", about(DEEP.encode()), reads),
    Attack("Parquet: a model of another kind", about(b"[1]"), reads),
    Attack("Parquet: fields of another kind", about(b'{"model": {"name": [], "off": 5}}'), reads),
    Attack("Parquet: 200 files with bytes changed", parquet(lambda found: found), flipped, refused=False),
    Attack("report: markup in names and notes", marked_up, reports, refused=False),
    Attack("report: markup as an AU", table("_aus.csv", lambda text: text.replace("AU12", SCRIPT)), reports),
    Attack("report: markup as an event's AU", cell("au", SCRIPT, "_events.csv"), reports),
    Attack(
        "report: markup as an event's track",
        line(lambda v: v.update(events=[{"source": "clip.mp4", "track_id": SCRIPT, "au": "AU12"}])), reports,
    ),
    Attack("report: a table of elsewhere", table_of_elsewhere, reports, refused=False),
    Attack("report: a picture of elsewhere", overlay(private_picture), reports_without_pictures, refused=False),
    Attack("report: a picture 1 wide and 60,000 high", overlay(slim_picture), reports, refused=False),
    Attack("report: a pipe as the overlay", overlay(lambda a, path: os.mkfifo(path)), reports, refused=False),
    Attack(
        "report: a sound as the overlay", overlay(lambda a, path: path.write_bytes(b"RIFF" * 99)), reports,
        refused=False,
    ),
    Attack("report: probabilities of 1e300", cell("AU01_probability", "1e300"), reports, refused=False),
    Attack("report: times of 1e300", cell("timestamp_s", "1e300"), reports, refused=False),
)  # fmt: skip
