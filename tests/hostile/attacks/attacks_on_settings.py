"""Attacks by other files that people send each other: labels, live.yaml, face networks, a model's geometry."""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks_on_content import config, entry
from attacks_on_paths import Attack, is_sparse, opens, says, secret, vouch

GEOMETRY = "geometry.safetensors"
MEMBERS = ("face_detector.tflite", "face_landmarks_detector.tflite")
DEEP = "[" * 100_000


def labels(content: Any) -> Callable[[Path], None]:
    """A labels.json; 'a.png' and the secret lie where they say."""

    def prepare(arena: Path) -> None:
        secret(arena)
        place = arena / "copied"
        place.mkdir()
        (place / "a.png").write_bytes(b"")
        text = content if isinstance(content, str) else json.dumps(content)
        (place / "labels.json").write_text(text.replace("ARENA", str(arena)))

    return prepare


def reads_labels(arena: Path) -> str:
    from mdhr_sdk.training.evaluate.pictures.labels import label_table, read_cases

    cases = read_cases(arena / "copied" / "labels.json")
    assert not any((arena / "home") in case.path.resolve().parents for case in cases), "a file of elsewhere is read"
    return str(label_table(cases, (1, 2)).shape)


def live(text: str) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "copied").mkdir()
        (arena / "copied" / "live.yaml").write_text(text)

    return prepare


def settles(arena: Path) -> str:
    from mdhr_sdk.cli.parts.live.settings import live_settings

    return repr(live_settings(arena / "copied" / "live.yaml", {}))[:200]


def arrays(change: Callable[[dict[str, Any]], object], name: str = GEOMETRY) -> Callable[[Path], None]:
    """Other arrays in a file, for which the manifest vouches."""

    def prepare(arena: Path) -> None:
        from safetensors.numpy import load_file, save_file

        found = load_file(arena / "model" / name)
        change(found)
        save_file(found, arena / "model" / name)
        vouch(arena / "model", name)

    return prepare


def bytes_of_geometry(content: bytes) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "model" / GEOMETRY).write_bytes(content)
        vouch(arena / "model", GEOMETRY)

    return prepare


def header(told: Any) -> bytes:
    text = json.dumps(told).encode()
    return len(text).to_bytes(8, "little") + text


def many_networks(found: dict[str, Any]) -> None:
    """As many small networks as the file can hold."""
    import numpy as np

    inputs, outputs = found["weight0"].shape[2], found["weight2"].shape[1]
    count = 5000
    for layer, (one, other) in enumerate(((inputs, 1), (1, 1), (1, outputs))):
        found[f"weight{layer}"] = np.zeros((count, other, one), np.float32)
        found[f"bias{layer}"] = np.zeros((count, other), np.float32)


def put(name: str, value: Any) -> Callable[[dict[str, Any]], object]:
    def change(found: dict[str, Any]) -> None:
        import numpy as np

        found[name] = np.full_like(found[name], value)

    return change


def of_kind(kind: str) -> Callable[[dict[str, Any]], object]:
    def change(found: dict[str, Any]) -> None:
        found["reference"] = found["reference"].astype(kind)

    return change


def network(tensors: list[tuple[tuple[int, ...], int, int]], buffers: list[bytes], steps: list[Any]) -> bytes:
    """A TFLite file: tensors as (shape, kind, buffer), operators as (code, inputs, outputs); it ends with the last."""
    import flatbuffers

    builder = flatbuffers.Builder()

    def ints(values: Any) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependInt32(value)
        return int(builder.EndVector())

    def table(**slots: tuple[str, int]) -> int:
        builder.StartObject(8)
        for name, (kind, value) in slots.items():
            getattr(builder, f"Prepend{kind}Slot")(int(name[1:]), value, 0)
        return int(builder.EndObject())

    def tables(values: list[int]) -> int:
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            builder.PrependUOffsetTRelative(value)
        return int(builder.EndVector())

    stored = [table(f0=("UOffsetTRelative", builder.CreateByteVector(one))) if one else table() for one in buffers]
    shapes = [ints(shape) for shape, _, _ in tensors]
    made = [
        table(f0=("UOffsetTRelative", at), f1=("Int8", kind), f2=("Uint32", number))
        for at, (_, kind, number) in zip(shapes, tensors, strict=True)
    ]
    codes = sorted({code for code, *_ in steps})
    known = [table(f0=("Int8", code), f3=("Int32", code)) for code in codes]
    ends = [(ints(inputs), ints(outputs)) for _, inputs, outputs in steps]
    listed = []
    for (code, *_), (first, last) in zip(steps, ends, strict=True):
        parts = {f"f{n}": ("UOffsetTRelative", at) for n, at in ((1, first), (2, last), (4, table()))}
        listed.append(table(f0=("Uint32", codes.index(code)), **parts))
    graph = table(
        f0=("UOffsetTRelative", tables(made)), f1=("UOffsetTRelative", ints([0])),
        f2=("UOffsetTRelative", ints([len(tensors) - 1] * 2)), f3=("UOffsetTRelative", tables(listed)),
    )  # fmt: skip
    root = table(
        f1=("UOffsetTRelative", tables(known)), f2=("UOffsetTRelative", tables([graph])),
        f4=("UOffsetTRelative", tables(stored)),
    )  # fmt: skip
    builder.Finish(root, file_identifier=b"TFL3")
    return bytes(builder.Output())


PICTURE = ((1, 128, 128, 3), 0, 0)
HALVES = ((1, 1, 1, 1 << 22), 1, 1)  # 8 MiB that stand in the file once


def same_part_again() -> bytes:
    """One buffer that 200 operators turn into floats, 3 GB together."""
    steps = [(6, [1], [2 + n]) for n in range(200)]
    return network([PICTURE, HALVES, *[((1, 1, 1, 1 << 22), 0, 0)] * 200], [b"", bytes(8 << 20)], steps)


def same_kernel_again() -> bytes:
    """One kernel of 16 MiB in 200 convolutions."""
    kernel = ((1024, 1, 1, 4096), 0, 1)
    steps = [(3, [0, 1], [2 + n]) for n in range(200)]
    return network([PICTURE, kernel, *[((1, 128, 128, 1024), 0, 0)] * 200], [b"", bytes(16 << 20)], steps)


def many_constants() -> bytes:
    return network([PICTURE, *[((1 << 22,), 0, 1)] * 100, PICTURE], [b"", bytes(16 << 20)], [(19, [0], [101])])


def padded(by: int) -> bytes:
    pads = b"".join(value.to_bytes(4, "little", signed=True) for value in (0, 0, by, by, by, by, 0, 0))
    return network([PICTURE, ((4, 2), 2, 1), PICTURE], [b"", pads], [(34, [0, 1], [2])])


def padded_again() -> bytes:
    """Each step is within bounds, and forty of them are not."""
    pads = b"".join(value.to_bytes(4, "little") for value in (0, 0, 900, 900, 900, 900, 0, 0))
    steps = [(34, [1 + n if n else 0, 1], [2 + n]) for n in range(40)]
    return network([PICTURE, ((4, 2), 2, 1), *[PICTURE] * 40], [b"", pads], steps)


def converted(make: Callable[[], bytes]) -> Callable[[Path], object]:
    def act(arena: Path) -> str:
        from mdhr_sdk.vision.faces.onnx.convert import detector_graph

        return str(len(detector_graph(make(), "a.task").SerializeToString()))

    return act


def offsets(arena: Path) -> str:
    """Three hundred small networks with a byte or two changed."""
    from mdhr_sdk.errors import MDHRError
    from mdhr_sdk.vision.faces.onnx.convert import detector_graph

    sound, chance, refused = network([PICTURE, PICTURE], [b""], [(19, [0], [1])]), random.Random(23), 0
    for _ in range(300):
        content = bytearray(sound)
        for _ in range(chance.randint(1, 3)):
            content[chance.randrange(8, len(content))] = chance.randrange(256)
        try:
            detector_graph(bytes(content), "a.task")
        except MDHRError:
            refused += 1
    return f"{refused} of 300 refused"


def task(make: Callable[[zipfile.ZipFile], object]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        (arena / "copied").mkdir()
        with zipfile.ZipFile(arena / "copied" / "a.task", "w", zipfile.ZIP_DEFLATED) as archive:
            make(archive)

    return prepare


def bomb(archive: zipfile.ZipFile) -> None:
    for name in MEMBERS:
        archive.writestr(name, bytes(1 << 30))


def lying(arena: Path) -> None:
    """A member of 200 MB whose entry says 1 kB."""
    task(lambda archive: [archive.writestr(name, bytes(200 << 20)) for name in MEMBERS])(arena)
    path = arena / "copied" / "a.task"
    path.write_bytes(path.read_bytes().replace((200 << 20).to_bytes(4, "little"), (1 << 10).to_bytes(4, "little")))


def finds(arena: Path) -> str:
    from mdhr_sdk.vision.faces.onnx.export import find_networks

    return str([len(one) for one in find_networks(arena / "copied" / "a.task").contents])


def heavy(arena: Path) -> None:
    """Weights of 1.9 GB that the manifest vouches for: in an archive they are small."""
    is_sparse("model.safetensors", 1900 << 20)(arena)
    manifest = arena / "model" / "manifest.json"
    files = json.loads(manifest.read_text())["files"]
    files["model.safetensors"] |= {"bytes": 1900 << 20, "sha256": "0" * 64}
    manifest.write_text(json.dumps({"files": files}))


ATTACKS = (
    Attack("weights of 1.9 GB of zeros", heavy, lambda arena: opens(arena, backend="torch"), torch=True),
    Attack(
        "int8: a table of another kind; doctor", entry("clip.onnx", int8={"alone": 5}, parity={"clips": "many"}),
        says("doctor", "ARENA/model"), refused=False,
    ),
    Attack("labels: a path above", labels([{"file": "../home/.bashrc", "present": [1]}]), reads_labels),
    Attack("labels: a path of elsewhere", labels([{"file": "ARENA/home/.bashrc", "present": [1]}]), reads_labels),
    Attack("labels: a zero byte in a name", labels([{"file": "a\0.png", "present": [1]}]), reads_labels),
    Attack("labels: nested too deep", labels(DEEP), reads_labels),
    Attack("labels: words for numbers", labels([{"file": "a.png", "present": ["1"]}]), reads_labels),
    Attack("labels: escapes in a name", labels([{"file": "\x1b[2Jb.png", "present": [1]}]), reads_labels),
    Attack("labels: 3 MB", labels("[" + "{}," * 1_000_000 + "{}]"), reads_labels),
    Attack("labels: no list", labels({"file": "a.png"}), reads_labels),
    Attack("live.yaml: a size beyond all numbers", live(f"keep: {'9' * 5000}GB\n"), settles),
    Attack("live.yaml: an infinite size", live(f"keep: {'9' * 400}GB\n"), settles),
    Attack("live.yaml: a port of 5,000 digits", live(f"serve: {'9' * 5000}\n"), settles),
    Attack("live.yaml: a time beyond all numbers", live(f"segment: {'9' * 400}h\n"), settles),
    Attack(
        "live.yaml: 30,000 sources",
        live("sources:\n" + "".join(f"  s{n}: rtsp://a/{n}\n" for n in range(30_000))), settles, refused=False,
    ),
    Attack("live.yaml: nested too deep", live("sources: " + DEEP), settles),
    Attack("live.yaml: references", live("a: &a [1]\nsources: [*a, *a]\n"), settles),
    Attack("live.yaml: a tag of Python", live("sources: !!python/object/apply:os.system [touch pwned]\n"), settles),
    Attack("live.yaml: a source named as a path", live("sources: {../../x: rtsp://a/b}\n"), settles),
    Attack("geometry: 5,000 networks", arrays(many_networks), opens, refused=False),
    Attack("geometry: numbers that are none", arrays(put("mean", float("nan"))), opens),
    Attack("geometry: spreads of 1e-30", arrays(put("spread", 1e-30)), opens),
    Attack("geometry: weights of 1e30", arrays(put("weight1", 1e30)), opens),
    Attack("geometry: whole numbers", arrays(of_kind("int64")), opens, refused=False),
    Attack("geometry: complex numbers", bytes_of_geometry(
        header({"reference": {"dtype": "C64", "shape": [468, 3], "data_offsets": [0, 0]}})), opens),
    Attack("geometry: a shape beyond all size", bytes_of_geometry(
        header({"reference": {"dtype": "F32", "shape": [1 << 40, 1 << 30], "data_offsets": [0, 0]}})), opens),
    Attack("geometry: a header nested too deep", bytes_of_geometry(
        (10_000).to_bytes(8, "little") + b"[" * 10_000), opens),
    Attack("geometry: shares of 5", config(geometry=[5.0] * 15), opens),
    Attack("geometry: too few shares", config(geometry=[0.5] * 3), opens),
    Attack("faces: an archive of 2 GB in 2 MB", task(bomb), finds),
    Attack("faces: an entry that lies of its size", lying, finds),
    Attack("faces: one part made floats 200 times", lambda arena: None, converted(same_part_again)),
    Attack("faces: one kernel in 200 convolutions", lambda arena: None, converted(same_kernel_again)),
    Attack("faces: 100 constants of one part", lambda arena: None, converted(many_constants)),
    Attack("faces: padded by a billion", lambda arena: None, converted(lambda: padded(10**9))),
    Attack("faces: padded by a negative number", lambda arena: None, converted(lambda: padded(-100))),
    Attack("faces: padded forty times", lambda arena: None, converted(padded_again)),
    Attack("faces: 300 networks with bytes changed", lambda arena: None, offsets, refused=False),
)  # fmt: skip
