"""`mdhr report`, and the formats of `mdhr detect`, as a person types them."""

from __future__ import annotations

import pytest

TABLE = """source,frame,timestamp_s,status,note,track_id,x0_px,y0_px,x1_px,y1_px,AU12_probability,AU12_occurrence,model
clip.mp4,0,0.0,ok,,0,1.0,2.0,3.0,4.0,0.9,1,demo: bp4d resnet18
clip.mp4,1,0.04,no_face,,,,,,,,,demo: bp4d resnet18
"""


def test_pages_and_an_index_are_written(tmp_path, mdhr):
    pytest.importorskip("jinja2")
    (tmp_path / "clip_aus.csv").write_text(TABLE)
    code, told, _ = mdhr("report", tmp_path, "--out", tmp_path / "report")
    assert code == 0 and "wrote 1 page and" in told
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"clip.html", "index.html"}


def test_what_cannot_be_read_is_one_line_and_the_exit_code_says_so(tmp_path, mdhr):
    pytest.importorskip("jinja2")
    (tmp_path / "clip_aus.csv").write_text(TABLE)
    (tmp_path / "bad_aus.csv").write_text("no table\n")
    code, told, errors = mdhr("report", tmp_path, "--out", tmp_path / "report")
    assert code == 2 and "wrote 1 page" in told and errors.count("\n") == 1 and "bad_aus.csv" in errors
    code, _, errors = mdhr("report", tmp_path / "none", "--out", tmp_path / "report")
    assert code == 2 and errors.startswith("error: there is no ") and errors.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [(("--format", "excel"), "native, openface, pyfeat, parquet, jsonl; got 'excel'"),
     (("--min-quality", "2"), "min_quality must be in [0, 1]"), (("--format", ""), "got ''")],
)  # fmt: skip
def test_wrong_formats_and_qualities_are_refused_before_anything_is_written(tmp_path, mdhr, demo_path, options, words):
    code, _, errors = mdhr("detect", demo_path, "--out", tmp_path / "out", *options)
    assert code == 2 and words in errors and not (tmp_path / "out").exists()


@pytest.mark.slow
def test_every_format_of_a_real_clip_is_written_and_read_back(tmp_path, mdhr, demo_path):
    pytest.importorskip("pyarrow")
    from mdhr_sdk import Results

    code, _, errors = mdhr("detect", demo_path, "--out", tmp_path, "--no-overlay", "--no-timeline",
                              "--format", "native,openface,pyfeat,parquet,jsonl")  # fmt: skip
    assert code == 0, errors
    tables = [Results.from_file(tmp_path / name) for name in ("demo_aus.csv", "demo_aus.parquet", "demo_aus.jsonl")]
    assert {len(one) for one in tables} == {310} and len(tables[0].events) == len(tables[2].events) > 5
    first, second, third = (one.to_dataframe() for one in tables)
    assert (
        first["AU12_probability"].tolist() == second["AU12_probability"].tolist() == third["AU12_probability"].tolist()
    )
    assert first["yaw_deg"].abs().max() < 20 and (first["quality"] > 0.5).all()
