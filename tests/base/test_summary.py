"""Statistics of tables, worked out again by pandas and SciPy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import jaccard
from scipy.stats import pearsonr

from mdhr_sdk import summary
from mdhr_sdk.errors import ConfigError, InputError


@pytest.fixture
def table() -> pd.DataFrame:
    """Two sources, two faces in the first, with frames that do not count."""
    rng = np.random.default_rng(1)
    rows = []
    for source, track in (("a.mp4", 0), ("a.mp4", 1), ("b.mp4", 0)):
        for frame in range(40):
            one = {"source": source, "frame": frame, "status": "ok", "track_id": track}
            for code, rate in (("AU01", 0.2), ("AU12", 0.6)):
                p = rng.uniform()
                one |= {f"{code}_probability": p, f"{code}_occurrence": int(p < rate)}
            rows.append(one)
    table = pd.DataFrame(rows)
    table.loc[:4, "status"] = "neutral"
    table.loc[5:6, "status"] = "turned_away"
    table.loc[50, ["status", "track_id", "AU01_probability", "AU01_occurrence"]] = ["no_face", np.nan, np.nan, np.nan]
    return table


def test_rates_and_means_of_each_face(table):
    counted = table[table.status.isin(("ok", "turned_away")) & table.track_id.notna()]
    rates = summary.occurrence_rate(table)
    for (source, track), own in counted.groupby(["source", "track_id"]):
        assert rates.loc[(source, track), "frames"] == len(own)
        assert rates.loc[(source, track), "AU12"] == pytest.approx(own.AU12_occurrence.sum() / len(own))
    means = summary.mean_probability(table, by=["source"])
    assert means.loc["b.mp4", "AU01"] == pytest.approx(table[table.source == "b.mp4"].AU01_probability.mean())
    assert summary.occurrence_rate(table, trusted=True).loc[("a.mp4", 0), "frames"] == 33


def test_your_own_columns_make_groups_and_intensity_counts_where_there_is_one(table):
    table["condition"] = np.where(table.source == "a.mp4", "calm", "stress")
    assert list(summary.occurrence_rate(table, by=["condition"]).index) == ["calm", "stress"]
    with pytest.raises(InputError, match="AU12_intensity; got none"):
        summary.mean_intensity(table)
    table["AU12_intensity"] = 5 * table.AU12_probability
    found = summary.mean_intensity(table, by=["source"])
    assert list(found) == ["frames", "AU12"]
    assert found.loc["b.mp4", "AU12"] == pytest.approx(5 * table[table.source == "b.mp4"].AU12_probability.mean())


def test_co_occurrence_is_that_of_scipy(table):
    counted = table[~table.status.isin(summary.SILENT) & table.track_id.notna()]
    one, two = (counted[f"{code}_occurrence"].to_numpy(float) for code in ("AU01", "AU12"))
    assert summary.co_occurrence(table).loc["AU01", "AU12"] == pytest.approx(1 - jaccard(one > 0, two > 0))
    assert summary.co_occurrence(table, "phi").loc["AU12", "AU01"] == pytest.approx(pearsonr(one, two)[0])
    share = summary.co_occurrence(table, "share")
    assert share.loc["AU01", "AU12"] == pytest.approx((one * two).mean()) and share.loc["AU12", "AU12"] == two.mean()
    table["AU01_occurrence"] = 0
    assert np.isnan(summary.co_occurrence(table, "phi").loc["AU01", "AU12"])
    with pytest.raises(InputError, match="jaccard, phi or share"):
        summary.co_occurrence(table, "cosine")


def test_what_says_nothing_makes_no_numbers(table):
    """Empty cells, a group without a name, one frame, no face: as pandas counts them, NaN where nothing is known."""
    table.loc[10:30, "AU01_occurrence"] = np.nan
    counted = table[~table.status.isin(summary.SILENT) & table.track_id.notna()]
    pairs = counted[["AU01_occurrence", "AU12_occurrence"]].astype(float)
    told = summary.co_occurrence(table.astype({"AU12_occurrence": "Int64"}), "phi")
    np.testing.assert_allclose(told, pairs.corr())
    known = pairs.dropna()
    assert summary.co_occurrence(table, "share").loc["AU01", "AU12"] == (known.prod(axis=1)).mean()
    assert summary.co_occurrence(table, "share").loc["AU12", "AU12"] == pairs.AU12_occurrence.mean()
    table["condition"] = np.where(table.source == "a.mp4", "calm", None)
    rates = summary.occurrence_rate(table, by="condition")
    assert rates.frames.sum() == len(counted) and rates.index.isna().sum() == 1, "no row is lost without a word"
    one = table.iloc[[7]]
    assert summary.occurrence_rate(one)["frames"].tolist() == [1]
    assert summary.co_occurrence(one, "phi").isna().all().all(), "one frame has no correlation"
    none = table[table.status == "no_face"]
    assert summary.occurrence_rate(none).empty and summary.co_occurrence(none).isna().all().all()
    events = events_of(f0=[1.0, np.nan], f1=[1.0])
    assert summary.onset_synchrony(events, ("a.mp4", 0), ("a.mp4", 1)).loc["AU12", "share"] == 1
    assert summary.onset_synchrony(events.iloc[:0], ("a.mp4", 0), ("a.mp4", 1)).empty
    with pytest.raises(InputError, match=r"duration_s is 0\.5, and an onset comes at 1 s"):
        summary.onset_synchrony(events, ("a.mp4", 0), ("a.mp4", 1), duration_s=0.5)
    longer = pd.concat([events, events.assign(source="longer.mp4", onset_s=100.0)])
    assert len(summary.onset_synchrony(longer, ("a.mp4", 0), ("a.mp4", 1), duration_s=2.0)), "of other sources any"
    with pytest.raises(ConfigError, match="trusted must be True or False"):
        summary.occurrence_rate(table, trusted="no")


def events_of(**onsets: list[float]) -> pd.DataFrame:
    rows = [
        {"source": "a.mp4", "track_id": int(name[1]), "au": "AU12", "onset_s": onset, "onset_cut": 0}
        for name, times in onsets.items()
        for onset in times
    ]
    return pd.DataFrame(rows)


def test_synchrony_worked_out_by_hand():
    events = events_of(f0=[1.0, 5.0, 9.0], f1=[1.2, 5.4, 20.0, 30.0])
    found = summary.onset_synchrony(events, ("a.mp4", 0), ("a.mp4", 1)).loc["AU12"]
    assert (found["first"], found["second"], found["together"]) == (3, 4, 2)
    assert found["share"] == pytest.approx(4 / 7) and found["lag_s"] == pytest.approx(0.3)
    assert np.isnan(found["by_chance"])
    events.loc[0, "onset_cut"] = 1
    assert summary.onset_synchrony(events, ("a.mp4", 0), ("a.mp4", 1)).loc["AU12", "first"] == 2


def test_pairs_are_as_many_as_an_assignment_finds_where_onsets_are_apart():
    rng = np.random.default_rng(3)
    one = np.sort(rng.uniform(0, 300, 40))
    one = one[np.concatenate(([True], np.diff(one) > 1.2))]
    other = np.sort(one + rng.normal(0, 0.4, len(one)))
    found = summary.onset_synchrony(events_of(f0=one, f1=other), ("a.mp4", 0), ("a.mp4", 1), 0.5, 300.0).loc["AU12"]
    cost = np.where(np.abs(other[None] - one[:, None]) <= 0.5, np.abs(other[None] - one[:, None]), 1e3)
    rows, columns = linear_sum_assignment(cost)
    assert found["together"] == (cost[rows, columns] < 1e3).sum()
    assert found["by_chance"] < 0.35 < found["share"]


def test_the_share_by_chance_of_evenly_spread_onsets():
    """Onsets every 10 s, a window of 1 s either way: a fifth of all shifts bring them together."""
    every = list(np.arange(5.0, 200, 10))
    found = summary.onset_synchrony(events_of(f0=every, f1=every), ("a.mp4", 0), ("a.mp4", 1), 1.0, 200.0).loc["AU12"]
    assert found["share"] == 1 and found["by_chance"] == pytest.approx(0.2, abs=0.02)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("AU12_occurrence", 2, "0 or 1 in the column AU12_occurrence; got 2"),
        ("AU12_occurrence", "yes", "0 or 1 in the column AU12_occurrence; got 'yes'"),
        ("AU12_probability", 7.0, "0 to 1 in the column AU12_probability; got 7"),
        ("AU12_probability", np.inf, "got inf"),
    ],
)
def test_a_cell_that_is_no_such_number_is_an_error(table, column, value, told):
    function = summary.occurrence_rate if "occur" in column else summary.mean_probability
    with pytest.raises(InputError, match=told):
        function(table.assign(**{column: value}))
    texts = table.assign(**{column: table[column].astype(str).replace("nan", None)})
    pd.testing.assert_frame_equal(function(texts), function(table))


def test_what_is_mixed_or_no_table_is_told(table, caplog):
    summary.occurrence_rate(pd.concat([table.assign(model="a"), table.assign(model="b")]))
    assert "scores of 2 models" in caplog.text
    for wrong in (table.to_dict(), "a_aus.csv", None, pd.concat([table, table[["AU12_occurrence"]]], axis=1)):
        with pytest.raises(InputError, match=r"DataFrame|each column once"):
            summary.occurrence_rate(wrong)
    for by in (3, None, ["source", "source"], []):
        with pytest.raises(InputError, match="group by"):
            summary.occurrence_rate(table, by=by)
    events = events_of(f0=[1.0], f1=[1.1])
    for first, second in ((0, 1), (("a", "0"), ("a", 1)), (("a", 0), ("a", 0))):
        with pytest.raises(InputError, match=r"a face is|two faces"):
            summary.onset_synchrony(events, first, second)
    for cut in ("False", np.nan):
        with pytest.raises(InputError, match="0 or 1 in the column onset_cut"):
            summary.onset_synchrony(events.assign(onset_cut=cut), ("a.mp4", 0), ("a.mp4", 1))


def test_tables_of_another_kind_are_refused_in_one_line(table):
    with pytest.raises(InputError, match="without the column status"):
        summary.occurrence_rate(table.drop(columns="status"))
    with pytest.raises(InputError, match="expected the column person"):
        summary.occurrence_rate(table, by=["person"])
    with pytest.raises(InputError, match="none called onset_cut"):
        summary.onset_synchrony(events_of(f0=[1.0]).drop(columns="onset_cut"), ("a", 0), ("a", 1))
    with pytest.raises(InputError, match="above 0"):
        summary.onset_synchrony(events_of(f0=[1.0]), ("a", 0), ("a", 1), window_s=0)


def test_a_source_that_no_event_names_is_told_and_groups_that_are_not_there_are_not_made(table, caplog):
    events = pd.DataFrame([{"source": "/data/a.mp4", "track_id": 0, "au": "AU12", "onset_s": 1.0, "onset_cut": 0}])
    assert summary.onset_synchrony(events, ("a.mp4", 0), ("/data/a.mp4", 0)).loc["AU12", "first"] == 0
    assert "no event is of face 0 of 'a.mp4'" in caplog.text and "/data/a.mp4" in caplog.text
    known = table.astype({"source": "category", "track_id": "category"})
    assert list(summary.occurrence_rate(known).index) == [("a.mp4", 0), ("a.mp4", 1), ("b.mp4", 0)]
