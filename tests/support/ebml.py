"""Takes a Matroska file apart into (kind, contents), and puts it together again."""

from __future__ import annotations

from typing import Any

CLUSTER, BLOCK, GROUP, GROUPS_BLOCK, VOID, CHECK_SUM, TAGS, ADDITIONS = (
    0x1F43B675, 0xA3, 0xA0, 0xA1, 0xEC, 0xBF, 0x1254C367, 0x75A1,
)  # fmt: skip
SEGMENT, TRACKS, INFO, DURATION, DEFAULT_DURATION = 0x18538067, 0x1654AE6B, 0x1549A966, 0x4489, 0x23E383
_HOLDERS = frozenset((SEGMENT, CLUSTER, TRACKS, INFO, 0xAE, 0xE0, GROUP))
_PLACES = frozenset((0x114D9B74, 0x1C53BB6B, VOID))  # lists of where things lie, which are wrong after a change
Element = list[Any]


def taken_apart(data: bytes) -> list[Element]:
    """The elements of a file, without those that say where others lie."""
    at, found = 0, []
    while at < len(data):
        kind, named = _number(data, at, marked=True)
        size, sized = _number(data, at + named, marked=False)
        start = at + named + sized
        at = start + size
        if kind not in _PLACES:
            found.append([kind, taken_apart(data[start:at]) if kind in _HOLDERS else data[start:at]])
    return found


def put_together(elements: list[Element]) -> bytes:
    parts = []
    for kind, held in elements:
        data = put_together(held) if isinstance(held, list) else held
        parts.append(
            kind.to_bytes((kind.bit_length() + 7) // 8, "big") + (len(data) | 1 << 56).to_bytes(8, "big") + data
        )
    return b"".join(parts)


def of_kind(elements: list[Element], kind: int) -> list[Element]:
    """All elements of a kind, wherever they are."""
    inner = [held for _, held in elements if isinstance(held, list)]
    return [one for one in elements if one[0] == kind] + [one for held in inner for one in of_kind(held, kind)]


def without(elements: list[Element], *kinds: int) -> list[Element]:
    return [
        [kind, without(held, *kinds) if isinstance(held, list) else held]
        for kind, held in elements
        if kind not in kinds
    ]


def laced(cluster: list[Element], track: int, count: int = 8) -> list[Element]:
    """The elements of a cluster, with blocks of a track put together, as programs do that save some bytes."""
    made: list[Element] = []
    waits: list[bytes] = []
    for kind, held in [*cluster, [None, b""]]:
        block = dict(held).get(GROUPS_BLOCK) if kind == GROUP else held
        if kind in (BLOCK, GROUP) and block[0] == 0x80 | track:
            waits.append(block)
        if waits and (len(waits) == count or kind is None):
            sizes = [bytes([255] * (len(one[4:]) // 255) + [len(one[4:]) % 255]) for one in waits[:-1]]
            head = waits[0][:3] + bytes([waits[0][3] & ~6 | 2, len(waits) - 1])
            made.append([BLOCK, head + b"".join(sizes) + b"".join(one[4:] for one in waits)])
            waits = []
        if kind is not None and not (kind in (BLOCK, GROUP) and block[0] == 0x80 | track):
            made.append([kind, held])
    return made


def _number(data: bytes, at: int, marked: bool) -> tuple[int, int]:
    length = 9 - data[at].bit_length()
    number = int.from_bytes(data[at : at + length], "big")
    return (number if marked else number - (1 << 7 * length)), length
