"""The report: pages that hold all that they show, and an index of people and conditions."""

from __future__ import annotations

import base64
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

from mdhr_sdk.errors import InputError, MissingDependencyError
from mdhr_sdk.measures import FaceMeasures
from mdhr_sdk.outputs import Results
from mdhr_sdk.outputs.pictures.encoder import Encoder
from mdhr_sdk.outputs.report.page import summarise
from mdhr_sdk.outputs.report.study import find_tables, read_about, write_report
from mdhr_sdk.outputs.report.thumbnails import apexes, pictures
from mdhr_sdk.results import AUEvent, Ending

pytest.importorskip("jinja2")


class Page(HTMLParser):
    """Its tags, what they refer to, and its text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data):
        self.text += data


def event(au: str, apex_s: float, peak: float, track: int = 0) -> AUEvent:
    frame = round(25 * apex_s)
    return AUEvent("clip.mp4", track, au, frame - 2, frame, frame + 2, apex_s - 0.08, apex_s, apex_s + 0.08, peak)


@pytest.fixture
def saved(tmp_path, frame, rated, codes):
    """Writes results of 50 frames as `mdhr detect` does, with an overlay."""

    def save(source: str = "clip.mp4", folder: str = "results", overlay: bool = False) -> Path:
        ending = Ending(events=(event("AU12", 0.4, 0.9), event("AU01", 1.2, 0.7)))
        size = (64, 96) if overlay else None
        frames = [
            replace(rated(i, source=source, size=size, faces=int(i not in (20, 21))), ending=ending) for i in range(50)
        ]
        results = Results(tuple(frames), frames[0].model, fps=25.0, codes=codes, kinds={source: "video"})
        results.save(tmp_path / folder, timeline=False)
        return tmp_path / folder

    return save


def test_a_page_tells_curves_events_faces_and_what_can_be_trusted(tmp_path, saved, codes):
    files, errors = write_report(find_tables([saved()]), tmp_path / "report")
    assert not errors and [path.name for path in files] == ["clip.html", "index.html"]
    page = Page(files[0])
    assert page.tags.count("svg") == len(codes)
    assert "50 frames, 2.0 s; a face in 48 frames" in page.text and "ok 48, no_face 2" in page.text
    assert "A" in page.text and "reliable" in page.text and "trained on synthetic faces only" in page.text
    rows = re.findall(r"<td>(AU\d\d) .*?</td><td>0</td>\s*<td>([\d.]+)", files[0].read_text())
    assert rows == [("AU12", "0.32"), ("AU01", "1.12")]
    assert "were not measured" in page.text


def test_pages_are_whole_without_a_network(tmp_path, saved):
    files, _ = write_report(find_tables([saved(overlay=True)]), tmp_path / "report")
    for path in files:
        page = Page(path)
        assert all(
            link.startswith("data:image/jpeg;base64,") or link in ("index.html", "clip.html") for link in page.links
        )
        assert "http" not in re.sub(r"http-equiv|http://www.w3.org/2000/svg", "", path.read_text())
    assert Page(files[0]).tags.count("img") == 2, "a picture at each apex"


def test_hostile_names_stay_text(tmp_path, saved):
    name = '<script>alert("x")</script>&.mp4'
    files, _ = write_report(find_tables([saved(source=name)]), tmp_path / "report")
    assert name in Page(files[0]).text and Page(files[0]).tags.count("script") == 0
    assert Page(files[-1]).tags.count("script") == 1, "its own"


def test_the_index_has_people_and_conditions(tmp_path, saved, codes):
    for number in (1, 2, 3):
        saved(source=f"p{number}.mp4")
    (tmp_path / "about.csv").write_text(
        "source,person,condition\np1,Ann,calm\np2,Ann,stress\np3,Ben,calm\np4,Cy,calm\n"
    )
    files, _ = write_report(
        find_tables([tmp_path / "results"]), tmp_path / "report", read_about(tmp_path / "about.csv")
    )
    text = files[-1].read_text()
    assert "no result is of: p4</p>" in text and "are not told of" not in text and "results of 2 models" not in text
    table = tmp_path / "results/p3_aus.csv"
    (tmp_path / "other_aus.csv").write_text(re.sub("p3.mp4", "q.mp4", table.read_text()).replace("demo:", "other:"))
    both, _ = write_report(find_tables([table, tmp_path / "other_aus.csv"]), tmp_path / "both")
    assert "These are results of 2 models" in both[-1].read_text()
    bodies = re.findall(r"<tbody>(.*?)</tbody>", text, re.S)
    assert [re.findall(r"<tr><td>(\w+)</td><td>(\d)</td><td>(\d+)</td>", body) for body in bodies[:2]] == [
        [("Ann", "2", "96"), ("Ben", "1", "48")], [("calm", "2", "96"), ("stress", "1", "48")],
    ]  # fmt: skip
    own = Results.from_file(tmp_path / "results/p3_aus.csv").to_dataframe()
    share = re.findall(r'data-share="([\d.]+)" data-per_minute="([\d.]*)"', bodies[0].split("Ben")[1])
    place = codes.index("AU12")
    assert float(share[place][0]) == pytest.approx(own["AU12_occurrence"].mean())


def test_a_line_that_means_two_sources_counts_for_none(tmp_path, saved):
    for person in ("P01", "P02"):
        saved(folder=person, source=f"study/{person}/a.mp4")
    about = tmp_path / "about.csv"
    for named, warned in ((("a",), True), (("P01/a", "P02/a.mp4"), False)):
        about.write_text("source,person\n" + "".join(f"{name},of {name[:3]}\n" for name in named))
        files, _ = write_report(find_tables([tmp_path]), tmp_path / "report", read_about(about))
        text = files[-1].read_text()
        assert ("told of several sources, and counts for none: a;" in text) == warned
        assert ("of P01" in text and "of P02" in text) != warned


def test_measured_faces_have_a_curve_of_quality(tmp_path, rated, codes):
    def measured(index):
        one = FaceMeasures(0.0, 50.0, 0.0, 5.0, 0.0, 0.0, 80.0, 0.3, 1.0, 0.4, "turned_away")
        frame = rated(index)
        return replace(frame, faces=tuple(replace(face, measures=one) for face in frame.faces))

    results = Results(tuple(map(measured, range(10))), rated(0).model, fps=25.0, codes=codes)
    results.save(tmp_path / "results", timeline=False)
    files, _ = write_report(find_tables([tmp_path / "results"]), tmp_path / "report")
    assert "0 % of the faces can be trusted" in Page(files[0]).text and "turned_away 10" in Page(files[0]).text


def test_a_table_that_cannot_be_read_is_told_and_the_others_are_there(tmp_path, saved):
    folder = saved()
    (folder / "broken_aus.csv").write_text("nothing\n")
    (folder / "late_aus.incomplete.csv").write_bytes((folder / "clip_aus.csv").read_bytes())
    files, errors = write_report(find_tables([folder]), tmp_path / "report")
    assert len(errors) == 1 and "broken_aus.csv" in str(errors[0])
    assert (
        "left out: " in Page(files[-1]).text and "was not read to its end" in Page(tmp_path / "report/late.html").text
    )


def test_the_best_table_of_each_source_is_taken(tmp_path, saved):
    folder = saved()
    for name in ("clip_aus.jsonl", "clip_aus.incomplete.csv", "clip_openface.csv"):
        (folder / name).write_text("")
    assert [table.path.name for table in find_tables([folder])] == ["clip_aus.csv"]
    (empty := tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="there is no table in"):
        find_tables([empty])
    with pytest.raises(InputError, match="there is no '"):
        find_tables([tmp_path / "missing"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("person\nAnn\n", "needs the columns source"),
        ("source,person\na,1\na,2\n", "tells of 'a' twice"),
        ("source,person\na,Ann,b,c\n", "more cells than its header"),
        ("source;person\na;Ann\n", "parted by ';' and not ','"),
        ("source\tperson\na\tAnn\n", r"parted by '\\t' and not ','"),
    ],
)
def test_what_is_told_of_sources_is_checked(tmp_path, content, words):
    (tmp_path / "about.csv").write_text(content)
    with pytest.raises(InputError, match=words):
        read_about(tmp_path / "about.csv")


def test_what_spreadsheets_make_of_the_lines_is_read(tmp_path):
    about = tmp_path / "about.csv"
    about.write_text("source, person ,condition\n a, Ann,calm \n,,\nb,'Bo <b>,calm\n,,\n", encoding="utf-8-sig")
    assert read_about(about).to_numpy().tolist() == [["a", "Ann", "calm"], ["b", "'Bo <b>", "calm"]]
    for encoding in ("cp1252", "utf-16"):
        about.write_text("source,person\na,Zoë\n", encoding=encoding)
        with pytest.raises(InputError, match="no text in UTF-8; save it as 'CSV UTF-8'"):
            read_about(about)
    with pytest.raises(InputError, match="there is no file"):
        read_about(tmp_path / ("long" * 99))
    with pytest.raises(InputError, match="there is no 'long"):
        find_tables([Path("long" * 99)])


def test_a_folder_named_twice_counts_once_and_a_source_of_two_tables_is_told(tmp_path, saved):
    folder = saved().parent
    assert len(find_tables([folder, folder / ".." / folder.name])) == 1
    shutil.copytree(folder, tmp_path / "copy")
    files, _ = write_report(find_tables([folder, tmp_path / "copy"]), tmp_path / "report")
    assert "several tables are of one source, and each counts: " in files[-1].read_text()


def test_apexes_are_the_strongest_of_each_face_and_unit():
    events = [event("AU12", 1, 0.6), event("AU12", 2, 0.9), event("AU12", 3, 0.8, track=1), event("AU01", 4, 0.3)]
    assert [one.apex_s for one in apexes(events)] == [2, 3, 4]
    assert [one.apex_s for one in apexes(events, most=2)] == [2, 3]


def test_apexes_are_shown_at_their_times_where_a_video_begins_late(tmp_path):
    video = Encoder(tmp_path / "overlay.mp4", (64, 64), 25.0, "h264")
    for number in range(60):
        video.write(np.full((64, 64, 3), 20 + 3 * number, np.uint8), 6 + number / 25)
    video.close()
    for apex_s, grey in ((6.0, 20), (6.4, 50), (7.2, 110)):
        (image,) = pictures(tmp_path / "overlay.mp4", [event("AU12", apex_s, 0.9)]).values()
        coded = np.frombuffer(base64.b64decode(image.partition(",")[2]), np.uint8)
        assert cv2.imdecode(coded, cv2.IMREAD_COLOR).mean() == pytest.approx(grey, abs=2.5)


def test_without_jinja_the_extra_is_named(tmp_path, saved, monkeypatch):
    tables = find_tables([saved()])
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(MissingDependencyError, match=r"\[report\]"):
        write_report(tables, tmp_path / "report")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no chromium")
def test_the_index_is_filtered_and_sorted_in_a_browser(tmp_path, saved):
    playwright = pytest.importorskip("playwright.sync_api")
    for number in (1, 2, 3):
        saved(source=f"p{number}.mp4")
    files, _ = write_report(find_tables([tmp_path / "results"]), tmp_path / "report")
    with playwright.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page()
        troubles: list[str] = []
        page.on("console", lambda told: troubles.append(told.text))
        page.on("pageerror", lambda told: troubles.append(str(told)))
        page.goto(files[-1].as_uri())
        cell = page.locator("table.groups td[data-mean]").first
        assert cell.inner_text().endswith(" %")
        page.select_option("#kind", "mean")
        assert 0 <= float(cell.inner_text()) <= 1
        page.fill("#words", "p2")
        assert page.locator("table.groups tbody tr:visible").count() == 1
        page.fill("#words", "")
        page.locator("table.groups th").first.click()
        down = page.locator("table.groups tbody tr td:first-child").all_inner_texts()
        page.locator("table.groups th").first.press("Enter")
        assert page.locator("table.groups th").first.get_attribute("aria-sort") == "descending"
        assert page.locator("table.groups tbody tr td:first-child").all_inner_texts() == down[::-1] and len(down) == 3
        browser.close()
    assert not troubles


def test_no_page_takes_the_name_of_the_index(saved, tmp_path):
    (page, index), errors = write_report(find_tables([saved("index.mp4")]), tmp_path / "report")
    assert not errors and index.name == "index.html" and page.name in Page(index).links and page != index


def test_events_a_minute_of_parquet_tables_are_those_beside_it(saved, tmp_path, codes):
    pytest.importorskip("pyarrow")
    table = saved() / "clip_aus.csv"
    own = Results.from_file(table)
    own.save(tmp_path / "other", timeline=False, formats=("parquet",))
    (found,) = find_tables([tmp_path / "other"])
    rates = [summarise(Results.from_file(path), "", False, True).faces[0].per_minute for path in (table, found.path)]
    assert rates[0] == rates[1] and rates[0]["AU12"] == pytest.approx(60 * 25 / 48) and found.has_events
