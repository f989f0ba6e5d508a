"""Several data sets in a run: the union of their AUs, unknown where a set lacks one; people and pictures kept apart."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mdhr_sdk.errors import ConfigError
from mdhr_sdk.modelfolder.folder import ModelFolder
from mdhr_sdk.training.data.clip_windows import ClipDataset
from mdhr_sdk.training.data.folds import fold_data
from mdhr_sdk.training.data.several import label_set_of
from mdhr_sdk.training.evaluate.folder_scoring import score_folder
from mdhr_sdk.training.fit import runs
from mdhr_sdk.training.fit.settings import DataSettings, MoreData, Settings, read_settings
from tiny_tree import write_tree


def test_groups_of_the_first_set_stay_and_new_aus_get_their_own() -> None:
    both = label_set_of(DataSettings(dataset="bp4d", more=(MoreData("disfa", "l", "i"),)))
    assert both.name == "bp4d+disfa" and both.aus == (1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17, 23, 24, 25, 26)
    groups = {group.name: group.aus for group in both.layout.groups}
    assert groups["up"] == (1, 2, 4, 7) and groups["disfa-mid"] == (9,) and groups["disfa-low"] == (25, 26)
    with pytest.raises(ConfigError, match="two data sets are called 'bp4d'"):
        label_set_of(DataSettings(dataset="bp4d", more=(MoreData("bp4d", "l", "i"),)))


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Two labs with people of the same names; the second codes AU 25 in place of AU 12."""
    root = tmp_path_factory.mktemp("two")
    config = write_tree(root / "a")
    write_tree(root / "b", name="tiny2", aus=(1, 4, 25))
    more = [{"dataset": str(root / "b/tiny.yaml"), "lists": str(root / "b/list"), "images": str(root / "b/img")}]
    return read_settings(config, [f"data.more={json.dumps(more)}", "trainer.epochs=1"])


def test_frames_know_their_set_and_only_its_aus(two: Settings) -> None:
    data = fold_data(two, 1)
    assert data.label_set.aus == (1, 4, 12, 25) and data.sets == ("tiny", "tiny2")
    assert data.judged_on == {"tiny": {"anna", "ben"}, "tiny2": {"anna", "ben"}}
    labels, subjects = data.frames.labels, np.array(data.frames.subjects)
    first = np.char.startswith(subjects, "tiny/")
    assert first.sum() == (~first).sum() == 20
    assert (labels[first][:, 3] == -1).all() and (labels[~first][:, 2] == -1).all()
    assert (labels[first][:, :3] >= 0).all() and data.weights.shape == (4,)
    assert len(data.train) == 8 and len({run.start for run in data.frames.runs}) == 4  # no run over two sets
    assert isinstance(data.validation, ClipDataset)
    places = [data.validation.place(row) for row in (0, 20)]  # anna of one set is not anna of the other
    assert places == [Path(one.images) / "anna/0.jpg" for one in (two.data, two.data.more[0])]
    assert data.validation[0]["clip"].shape == (4, 64, 64, 3)


@pytest.mark.slow
def test_a_run_of_two_sets_notes_whom_it_saw_in_each(two: Settings, tmp_path: Path) -> None:
    runs.start(two, tmp_path / "run", [1])
    (path,) = runs.train(tmp_path / "run", fold_data)
    note = json.loads(ModelFolder.open(path).read("trained_on.json"))
    assert (note["dataset"], note["earlier"][0]["dataset"]) == ("tiny", "tiny2")
    alone = [f"data.{key}={getattr(two.data.more[0], key)}" for key in ("dataset", "lists", "images")]
    done = score_folder(ModelFolder.open(path), None, ["trainer.accelerator=cpu", "data.workers=0", *alone], [1])
    assert done.shared.both == ("AU01", "AU04", "AU25") and done.shared.model == ("AU12",) and done.shared.data == ()
    with pytest.raises(ConfigError, match=r"trained on 2 of the subjects \(cara, dan\) that fold 2 tests"):
        score_folder(ModelFolder.open(path), None, ["trainer.accelerator=cpu", "data.workers=0", *alone], [2])
