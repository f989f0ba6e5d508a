"""The table of action units, regions and label sets."""

from __future__ import annotations

import pytest

from mdhr_sdk.aus import ACTION_UNITS, LABEL_SETS, REGIONS, ROWS, LabelSet, RegionGroup, RegionLayout, label_set
from mdhr_sdk.errors import ConfigError

EVERY_LAYOUT = [
    pytest.param(labels, layout, id=f"{name}-{kind}")
    for name, labels in LABEL_SETS.items()
    for kind, layout in (("released", labels.layout), ("paper", labels.paper_layout))
    if layout is not None
]


def rows(layout: RegionLayout) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(group.name, group.region, group.aus) for group in layout.groups]


def test_bp4d_is_that_of_the_released_code():
    bp4d = label_set("bp4d")
    assert bp4d.aus == (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    assert rows(bp4d.layout) == [
        ("up", "up", (1, 2, 4, 7)),
        ("mid", "mid", (6,)),
        ("low-a", "low", (12, 14, 15)),
        ("low-b", "low", (10, 17, 23, 24)),
    ]
    assert bp4d.layout.group_linear


def test_bp4d_has_three_regions_in_the_paper():
    layout = label_set("bp4d").paper_layout
    assert layout is not None and not layout.group_linear
    assert [(region, set(aus)) for _, region, aus in rows(layout)] == [
        ("up", {1, 2, 4, 7}),
        ("mid", {6}),
        ("low", {10, 12, 14, 15, 17, 23, 24}),
    ]


def test_disfa_is_that_of_the_released_code():
    disfa = label_set("disfa")
    assert disfa.aus == (1, 2, 4, 6, 9, 12, 25, 26)
    assert rows(disfa.layout) == [("up", "up", (1, 2, 4)), ("mid", "mid", (6, 9)), ("low", "low", (12, 25, 26))]
    assert not disfa.layout.group_linear
    assert disfa.paper_layout is None, "the released regions are the paper's"


def test_regions_are_three_overlapping_slices_of_seven_rows():
    assert REGIONS == {"up": (0, 3), "mid": (2, 5), "low": (4, 7)}
    assert ROWS == 7


@pytest.mark.parametrize(("labels", "layout"), EVERY_LAYOUT)
def test_class_number_is_the_occurrences_in_binary_with_the_first_au_in_front(labels: LabelSet, layout: RegionLayout):
    for group in layout.groups:
        assert len(group.combinations) == 2 ** len(group.aus)
        for number, occurrences in enumerate(group.combinations):
            assert occurrences == tuple(map(int, f"{number:0{len(group.aus)}b}"))


def test_the_tables_are_keyed_by_number_and_name():
    assert all(labels.name == name for name, labels in LABEL_SETS.items())
    assert all(unit.number == number and unit.name and unit.muscle for number, unit in ACTION_UNITS.items())
    assert len({unit.name for unit in ACTION_UNITS.values()}) == len(ACTION_UNITS)
    assert (ACTION_UNITS[12].code, ACTION_UNITS[12].name) == ("AU12", "lip corner puller")


def test_an_unknown_label_set_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'affwild'; known: bp4d, disfa"):
        label_set("affwild")


def layout_of(*groups: tuple[str, tuple[int, ...]]) -> RegionLayout:
    return RegionLayout(tuple(RegionGroup(f"group-{i}", region, aus) for i, (region, aus) in enumerate(groups)))


@pytest.mark.parametrize(
    ("aus", "groups", "hint"),
    [
        pytest.param((1, 3), [("up", (1, 3))], r"AUs \[3\]", id="an AU that FACS lacks"),
        pytest.param((1, 2), [("up", (1,))], "exactly one region group", id="an AU in no group"),
        pytest.param((1, 2), [("up", (1, 2)), ("mid", (2,))], "exactly one region group", id="an AU in two groups"),
        pytest.param((1, 2), [("up", (1, 2, 2))], "exactly one region group", id="an AU twice in a group"),
        pytest.param((1,), [("up", (1, 2))], "exactly one region group", id="an AU that is not scored"),
        pytest.param((1, 1), [("up", (1, 1))], "exactly one region group", id="an AU scored twice"),
        pytest.param((1, 2), [("up", (1,)), ("left", (2,))], "'left' is none of", id="an unknown region"),
        pytest.param((1,), [("up", (1,)), ("mid", ())], "at least one AU", id="an empty group"),
        pytest.param((), [], "at least one AU", id="nothing at all"),
    ],
)
def test_bad_label_sets_are_refused(aus, groups, hint):
    with pytest.raises(ConfigError, match=hint):
        LabelSet("mine", aus, layout_of(*groups))
    good = layout_of(("up", tuple(dict.fromkeys(aus)) or (1,)))
    with pytest.raises(ConfigError):
        LabelSet("mine", aus, good, paper_layout=layout_of(*groups))


def test_a_label_set_of_ones_own():
    mine = LabelSet("mine", (45, 9), layout_of(("mid", (9,)), ("up", (45,))))
    assert mine.codes == ("AU45", "AU09")
