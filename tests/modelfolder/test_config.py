"""Configurations: what they allow, and `config.json` there and back."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mdhr_sdk.aus import ACTION_UNITS, LABEL_SETS, REGIONS, LabelSet, RegionGroup, RegionLayout, label_set
from mdhr_sdk.errors import ConfigError
from mdhr_sdk.modelfolder.config import MOST_PIXELS, MOST_RING, EventRule, FolderConfig, ModelConfig, Preprocessing

BP4D = label_set("bp4d")
PRINTABLE = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=60)
EDGES = ("cross_active", "cross_full", "full", "local")


@st.composite
def label_sets(draw: st.DrawFn) -> LabelSet:
    aus = draw(st.permutations(sorted(ACTION_UNITS)))[: draw(st.integers(1, 12))]

    def layout() -> RegionLayout:
        places = draw(st.lists(st.sampled_from(sorted(REGIONS)), min_size=len(aus), max_size=len(aus)))
        groups = (RegionGroup(r, r, tuple(a for a, p in zip(aus, places, strict=True) if p == r)) for r in REGIONS)
        return RegionLayout(tuple(group for group in groups if group.aus), draw(st.booleans()))

    return LabelSet(draw(PRINTABLE), tuple(aus), layout(), layout() if draw(st.booleans()) else None)


@st.composite
def model_configs(draw: st.DrawFn) -> ModelConfig:
    width = st.integers(1, 4096)
    auxiliary, graph = draw(st.booleans()), draw(st.booleans())
    return ModelConfig(
        label_set=draw(st.sampled_from(sorted(LABEL_SETS)).map(label_set) | label_sets()),
        backbone=draw(st.sampled_from(["resnet50", "swin_base", "resnet18"])),
        k=draw(st.integers(1, 100)),
        input_size_px=draw(st.integers(2, 20)) * 32,
        mfd=draw(st.booleans()),
        scales=tuple(sorted(draw(st.sets(st.integers(1, 4), min_size=1)))),
        fusion=draw(st.sampled_from(["adaptive", "adaptive_paper", "sum", "concat"])),
        regions=draw(st.sampled_from(["released", "paper"])),
        extractors=draw(st.booleans()),
        auxiliary=auxiliary,
        graph=graph,
        edges=draw(st.sampled_from(EDGES[1:] if graph and not auxiliary else EDGES)),
        temporal=draw(st.booleans()),
        region_loss_weight=draw(st.floats(0, 1)),
        projection_width=draw(st.none() | width),
        au_width=draw(width),
        weight_width=draw(width),
    )


@st.composite
def folder_configs(draw: st.DrawFn) -> FolderConfig:
    model = draw(model_configs())
    ring = len(model.scales) * (model.projection_width or 0) * (model.input_size_px // 32) ** 2
    longest = min(1024, MOST_PIXELS // model.input_size_px**2, MOST_RING // max(1, ring))
    share, text = st.floats(0, 1), st.text(max_size=20)
    aus = len(model.label_set.aus)
    numbers = st.tuples(*[st.floats(0.001, 10)] * 3)
    trained = draw(st.booleans())
    return FolderConfig(
        model=model,
        clip_length=draw(st.integers(1, longest)),
        thresholds=draw(st.just(()) | st.tuples(*[share] * aus)),
        preprocessing=Preprocessing(draw(text), model.input_size_px, draw(numbers), draw(numbers)),
        trained=trained,
        provenance=draw(text),
        licence=draw(text),
        reliability=draw(st.just(()) | st.tuples(*[st.sampled_from("ABC")] * aus)),
        trained_on=draw(PRINTABLE) if trained else "",
        events=EventRule(draw(share), draw(share), draw(st.floats(0, 10)), draw(st.floats(0, 10))),
    )


@settings(max_examples=60, deadline=None)
@given(config=folder_configs())
def test_json_there_and_back(config: FolderConfig):
    text = config.to_json()
    assert FolderConfig.from_json(text) == config
    assert FolderConfig.from_json(text).to_json() == text
    hash(FolderConfig.from_json(text))  # lists would not hash


def test_defaults_are_the_released_model():
    config = ModelConfig(BP4D)
    assert (config.backbone, config.k, config.input_size_px, config.scales) == ("resnet50", 5, 224, (1, 2, 3, 4))
    assert (config.fusion, config.edges, config.regions) == ("adaptive", "cross_active", "released")
    assert (config.au_width, config.weight_width, config.region_loss_weight) == (512, 16, 0.01)
    assert config.mfd and config.extractors and config.auxiliary and config.graph and config.temporal
    folder = FolderConfig(config)
    assert (folder.clip_length, folder.thresholds, folder.trained) == (16, (0.5,) * 12, False)
    assert folder.preprocessing.mean == (0.485, 0.456, 0.406) and folder.preprocessing.std == (0.229, 0.224, 0.225)


def edited(where: str, value: Any) -> str:
    """A whole `config.json` with one value set."""
    data = json.loads(FolderConfig(ModelConfig(BP4D)).to_json())
    *parents, last = where.split(".")
    node = data
    for key in parents:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[last] = value
    return json.dumps(data)


@pytest.mark.parametrize(
    ("where", "value"),
    [
        ("extra", 1),
        ("model.extra", 1),
        ("model.label_set.extra", 1),
        ("preprocessing.extra", 1),
        ("model.k", 2.0),
        ("model.k", "5"),
        ("model.k", True),
        ("model.k", None),
        ("model.k", 0),
        ("model.backbone", 50),
        ("model.mfd", 1),
        ("model.mfd", "false"),
        ("model.fusion", "mean"),
        ("model.edges", "all"),
        ("model.regions", "both"),
        ("model.scales", 4),
        ("model.scales", None),
        ("model.scales", "1234"),
        ("model.scales", []),
        ("model.scales", [2, 1]),
        ("model.scales", [1, 1]),
        ("model.scales", [0, 1]),
        ("model.scales", [4, 5]),
        ("model.scales", [1.0, 2]),
        ("model.scales", [True, 2]),
        ("model.scales", ["1"]),
        ("model.input_size_px", 100),
        ("model.input_size_px", 32),
        ("model.region_loss_weight", -0.1),
        ("model.region_loss_weight", 1.1),
        ("model.region_loss_weight", True),
        ("model.region_loss_weight", float("nan")),
        ("model.projection_width", 0),
        ("model.au_width", 0),
        ("model.weight_width", -1),
        ("model.label_set", "bp4d"),
        ("model.label_set.aus", 12),
        ("model.label_set.layout.groups.0.aus", None),
        ("model.k", 10**9),
        ("model.au_width", 200_000),
        ("model.weight_width", 8193),
        ("model.projection_width", 8193),
        ("model.input_size_px", 2048),
        ("model.backbone", "hf-hub:timm/resnet50"),
        ("model.backbone", "../resnet50"),
        ("model.label_set.name", "a\x1b[2J"),
        ("clip_length", 10**9),
        ("clip_length", 1024),  # of this size
        ("licence", "x" * 10_001),
        ("preprocessing.std", [1e-9, 0.2, 0.2]),
        ("clip_length", 0),
        ("clip_length", True),
        ("clip_length", 16.0),
        ("thresholds", 0.5),
        ("thresholds", None),
        ("thresholds", [0.5] * 8),
        ("thresholds", [0.5] * 11 + [1.5]),
        ("thresholds", [0.5] * 11 + [float("nan")]),
        ("thresholds", [0.5] * 11 + ["0.5"]),
        ("thresholds", [0.5] * 11 + [True]),
        ("preprocessing", None),
        ("preprocessing.size_px", 256),
        ("preprocessing.mean", [0.5, 0.5]),
        ("preprocessing.mean", [0.5, 0.5, float("inf")]),
        ("preprocessing.std", [0.2, 0.2, 0.2, 0.2]),
        ("preprocessing.std", [0.2, 0.2, 0.0]),
        ("preprocessing.std", [0.2, 0.2, float("nan")]),
        ("trained", 0),
        ("trained", "yes"),
        ("licence", None),
        ("reliability", None),
        ("reliability", ["A"] * 11),
        ("reliability", ["A"] * 11 + ["D"]),
        ("reliability", ["A"] * 11 + [""]),
        ("reliability", "ABCABCABCABC"),
        ("trained_on", None),
        ("trained_on", "synthetic faces only"),  # and not trained
        ("format", 2),
    ],
)
def test_bad_values_are_refused_by_name(where: str, value: Any):
    with pytest.raises(ConfigError, match=where.split(".")[-1]) as caught:
        FolderConfig.from_json(edited(where, value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["int", "a[b", "\x1b[2J", "x" * 1000])
def test_a_key_that_looks_like_a_type_is_an_unknown_one(key: str) -> None:
    for where in (key, f"model.{key}"):
        with pytest.raises(ConfigError, match="unknown setting") as caught:
            FolderConfig.from_json(edited(where, 1))
        assert len(str(caught.value)) < 500 and str(caught.value).isprintable()


@pytest.mark.parametrize(("where", "value"), [("thresholds", [0, 1] * 6), ("model.region_loss_weight", 1)])
def test_json_whole_numbers_are_numbers(where: str, value: Any):
    FolderConfig.from_json(edited(where, value))


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        ("model.kk", 5, "unknown setting 'model.kk'; did you mean 'k'?"),
        ("model.k", "5", "model.k must be a valid integer; got '5'"),
        ("model.k", 0, "model.k must be greater than or equal to 1; got 0"),
        ("model.edges", "all", "edges must be one of 'cross_active', 'cross_full', 'full' or 'local'; got 'all'"),
        ("model.label_set.layout.groups.0.aus", ["x"], "groups.0.aus.0 must be a valid integer; got 'x'"),
        ("licence", ["x" * 999], f"licence must be a valid string; got ['{'x' * 78}..."),
    ],
)
def test_a_message_says_where_what_is_allowed_and_what_came(where: str, value: Any, message: str):
    with pytest.raises(ConfigError, match=re.escape(message)):
        FolderConfig.from_json(edited(where, value))


def test_a_whole_number_stays_one():
    """The digest of exported graphs is made of the text."""
    text = edited("model.region_loss_weight", 1)
    assert '"region_loss_weight": 1,' in FolderConfig.from_json(text).to_json()
    assert json.loads(FolderConfig.from_json(edited("preprocessing.mean", [0, 0.5, 1])).to_json())["preprocessing"][
        "mean"
    ] == [0, 0.5, 1]


def test_a_missing_field_is_named():
    data = json.loads(FolderConfig(ModelConfig(BP4D)).to_json())
    del data["model"]["label_set"]
    with pytest.raises(ConfigError, match=r"model\.label_set"):
        FolderConfig.from_json(json.dumps(data))
    with pytest.raises(ConfigError, match="'model' is missing"):
        FolderConfig.from_json("{}")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "5", '"x"', '{"model": []}', '{"model": 1} x', "1" * 5000, "[" * 100_000],
    ids=lambda text: text[:12] or "empty",
)
def test_anything_else_is_a_config_error(text: str):
    with pytest.raises(ConfigError):
        FolderConfig.from_json(text)
    with pytest.raises(ConfigError):
        FolderConfig.from_json(edited("model.scales", {"1": 2}))


@settings(max_examples=60, deadline=None)
@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
        max_leaves=5,
    ),
    where=st.sampled_from([f.name for f in dataclasses.fields(FolderConfig)])
    | st.sampled_from([f"model.{f.name}" for f in dataclasses.fields(ModelConfig)])
    | st.sampled_from([f"preprocessing.{f.name}" for f in dataclasses.fields(Preprocessing)]),
)
def test_no_value_anywhere_raises_anything_but_a_config_error(data: Any, where: str):
    try:
        config = FolderConfig.from_json(edited(where, data))
    except ConfigError as error:
        assert str(error)
    else:
        assert FolderConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("name", "value"),
    [("label_set", "bp4d"), ("backbone", None), ("scales", None), ("scales", [1, 2]), ("scales", (1, "a")), ("k", "5")],
)
def test_wrong_types_from_python_are_refused_by_name_too(name: str, value: Any):
    with pytest.raises(ConfigError, match=name):
        ModelConfig(**{"label_set": BP4D, name: value})


@pytest.mark.parametrize("graph", [True, False])
@pytest.mark.parametrize("auxiliary", [True, False])
@pytest.mark.parametrize("edges", EDGES)
def test_only_edges_from_active_aus_need_the_region_heads(graph: bool, auxiliary: bool, edges: Any):
    if graph and not auxiliary and edges == "cross_active":
        with pytest.raises(ConfigError, match=r"edges='cross_active'.*auxiliary=False"):
            ModelConfig(BP4D, graph=graph, auxiliary=auxiliary, edges=edges)
    else:
        assert ModelConfig(BP4D, graph=graph, auxiliary=auxiliary, edges=edges).edges == edges


def test_layout_follows_regions():
    assert ModelConfig(BP4D).layout == BP4D.layout
    assert ModelConfig(BP4D, regions="paper").layout == BP4D.paper_layout
    assert ModelConfig(label_set("disfa"), regions="paper").layout == label_set("disfa").layout


def test_thresholds_are_one_an_au():
    model = ModelConfig(label_set("disfa"))
    assert FolderConfig(model).thresholds == (0.5,) * 8
    own = (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.9, 1.0)
    assert FolderConfig(model, thresholds=own).thresholds == own
    with pytest.raises(ConfigError, match="thresholds must be 8 numbers"):
        FolderConfig(model, thresholds=(0.5,) * 12)


def test_what_it_was_trained_on_is_one_short_line():
    model = ModelConfig(BP4D)
    assert FolderConfig(model, trained=True, trained_on="synthetic faces only").trained_on == "synthetic faces only"
    for text in ("two\nlines", "x" * 61):
        with pytest.raises(ConfigError, match="trained_on must be one line of at most 60"):
            FolderConfig(model, trained=True, trained_on=text)


def test_a_folder_from_before_tiers_is_read():
    data = json.loads(FolderConfig(ModelConfig(BP4D)).to_json())
    del data["reliability"], data["trained_on"]
    old = FolderConfig.from_json(json.dumps(data))
    assert (old.reliability, old.tiers, old.trained_on) == ((), {}, "")
    rated = FolderConfig(ModelConfig(BP4D), reliability=("A",) * 11 + ("C",))
    assert rated.tiers == dict(zip(BP4D.codes, "AAAAAAAAAAAC", strict=True))


def test_preprocessing_must_give_what_the_model_takes():
    model = ModelConfig(BP4D, input_size_px=256)
    assert FolderConfig(model, preprocessing=Preprocessing(size_px=256)).preprocessing.size_px == 256
    with pytest.raises(ConfigError, match="size_px=256"):
        FolderConfig(model)


def test_configurations_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        ModelConfig(BP4D).k = 3  # type: ignore[misc]
