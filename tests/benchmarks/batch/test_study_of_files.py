"""What the benchmarks of many files are made of."""

from __future__ import annotations

from pathlib import Path

from benchmarks.batch.study_of_files import leftovers, make_study, records, tables
from mdhr_sdk.vision import list_sources


def test_a_study_is_made_of_short_films_some_of_them_broken(tmp_path: Path) -> None:
    assert make_study(tmp_path, 5, 6) == 1
    films = sorted(tmp_path.glob("P*/*.mp4"))
    assert [film.parent.name for film in films] == ["P00", "P01", "P02", "P03", "P04"]
    with list_sources(films[4])[0] as source:
        assert len(list(source)) == 6
    assert films[3].stat().st_size == 2003
    (tmp_path / "P00" / "a_run.json").touch()
    (tmp_path / "P00" / "a_aus.incomplete.csv").touch()
    assert records(tmp_path) == 1 and list(tables(tmp_path)) == ["P00/a_aus.incomplete.csv"]
    assert leftovers(tmp_path) == [str(tmp_path / "P00" / "a_aus.incomplete.csv")]
