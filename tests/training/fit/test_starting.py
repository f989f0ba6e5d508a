"""What a model takes of another, by AU and not by place, and what is said of it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch

from mdhr_sdk.aus import LabelSet, RegionGroup, RegionLayout
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.model import save_model
from mdhr_sdk.training.fit.saving import trained_on
from mdhr_sdk.training.fit.weights.starting import difference, origin, started, starting_model
from patterns import LABELS, settings

OTHER = LabelSet(
    "other", (1, 4, 9, 12, 25), RegionLayout((RegionGroup("up", "up", (1, 4)), RegionGroup("low", "low", (9, 12, 25))))
)


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("start") / "earlier"
    return save_model(starting_model(settings(), LABELS), path, trained=True, provenance="made for a test").path


def test_what_fits_is_matched_by_au(earlier: Path) -> None:
    model, taken = started(settings(f"start.folder={earlier}", "start.take=fitting"), OTHER)
    theirs, ours = starting_model(settings(f"start.folder={earlier}"), LABELS).state_dict(), model.state_dict()
    assert taken is not None and set(taken.whole) >= {name for name in ours if name.startswith("encoder.")}
    rows = {1: 0, 4: 1, 12: 2}  # AU -> place in the earlier model
    for place, au in enumerate(OTHER.aus):
        same = torch.equal(ours["head.score.reference"][place], theirs["head.score.reference"][rows.get(au, 0)])
        assert same == (au in rows)
    own = ours["head.relations.extractors.1.linear.weight"].unflatten(0, (3, -1))  # AU9, AU12, AU25
    assert torch.equal(own[1], theirs["head.relations.extractors.1.linear.weight"])
    for name, kept in (("head.relations.heads.0.weight", True), ("head.relations.heads.1.weight", False)):
        assert (name in taken.whole) == kept == (name not in taken.new)
    assert torch.equal(ours["head.relations.heads.0.weight"], theirs["head.relations.heads.0.weight"])
    told = taken.told()
    assert "encoder.backbone" in told and "the rows of AU01 AU04 AU12 in" in told and "start" in told


def test_the_backbone_alone_is_taken_whole_or_not_at_all(earlier: Path) -> None:
    words = (f"start.folder={earlier}", "start.take=backbone", "model.au_width=8")
    model, taken = started(settings(*words), OTHER)
    theirs = starting_model(settings(f"start.folder={earlier}"), LABELS).state_dict()
    assert taken is not None and taken.whole and all(name.startswith("encoder.backbone.") for name in taken.whole)
    assert all(torch.equal(model.state_dict()[name], theirs[name]) for name in taken.whole)
    with pytest.raises(
        ConfigError, match=r"differs .* in backbone \(test_resnet there, resnet18 here\); set model.back"
    ):
        started(settings(*words, "model.backbone=resnet18"), OTHER)


def test_fields_that_differ_are_told_by_name(earlier: Path) -> None:
    with pytest.raises(ConfigError) as error:
        starting_model(settings(f"start.folder={earlier}", "model.k=2"), OTHER)
    told = str(error.value)
    assert "label_set (mine with AUs 1 4 12 there, other with AUs 1 4 9 12 25 here), k (5 there, 2 here); make" in told
    assert "LabelSet(" not in told and "start.take=fitting" in told
    same = settings().model_config(LABELS)
    assert difference(same, same) == ""


def test_smaller_faces_than_the_weights_know_are_warned_of(earlier: Path, caplog: pytest.LogCaptureFixture) -> None:
    large = save_model(starting_model(settings("model.input_size_px=96"), LABELS), earlier.with_name("large")).path
    with caplog.at_level(logging.WARNING):
        kept = origin(settings(f"start.folder={large}"), LABELS)
    assert "reads faces of 96 px, and model.input_size_px is 64" in caplog.text and kept["taken"]["new"] == []
    caplog.clear()
    origin(settings(f"start.folder={earlier}", "model.input_size_px=96"), LABELS)
    assert not caplog.records and origin(settings(), LABELS) == {}


@pytest.mark.parametrize(
    ("data", "before", "told"),
    [
        ("bp4d", "", ""),
        ("synthetic", "", "synthetic faces only"),
        ("bp4d", "synthetic faces only", "synthetic faces, then bp4d"),
        ("synthetic", "synthetic faces only", "synthetic faces only"),
        ("bp4d", "synthetic faces, then bp4d", "synthetic faces, then bp4d"),
        ("x" * 60, "synthetic faces only", "synthetic faces, then more"),
    ],
)
def test_what_a_start_learnt_from_is_kept(data: str, before: str, told: str) -> None:
    assert trained_on(data, before) == told
