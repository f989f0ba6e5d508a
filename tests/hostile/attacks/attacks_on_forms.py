"""Attacks by odd forms: other encodings, kinds of numbers, fields, names and links."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attacks_on_content import DOCTOR, config, entry, raw_weights, text
from attacks_on_graphs import bomb, graph
from attacks_on_paths import (
    Attack,
    copies,
    names_in_manifest,
    opens,
    says,
    streams,
    updates,
    vouch,
)
from attacks_on_runtimes import raw, scores
from attacks_on_trust import digests

LONE = "\ud800"  # half of a letter, which no encoding writes


# ---------------------------------------------------------------------------------------------------- what is read
def coded(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Other bytes of a text, for which the manifest vouches where it can."""

    def prepare(arena: Path) -> None:
        path = arena / "model" / name
        path.write_bytes(change(path.read_bytes()))
        if name != "manifest.json":
            vouch(arena / "model", name)

    return prepare


def as_utf16(content: bytes) -> bytes:
    return content.decode().encode("utf-16")


def no_text(content: bytes) -> bytes:
    return content.replace(b"MIT", b"\xff\xfe")


def name_twice(content: str) -> str:
    return content.replace('"events"', '"name": "", "name"')


def label_set(**changes: Any) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        path = arena / "model" / "config.json"
        content = json.loads(path.read_text())
        content["model"]["label_set"].update(changes)
        path.write_text(json.dumps(content))
        vouch(arena / "model", "config.json")

    return prepare


# ------------------------------------------------------------------------------------------------------- what runs
def of_model(change: Callable[[Any], object], act: Callable[[Path], object] = scores) -> tuple[Any, Any]:
    return graph(lambda model, arena: change(model)), act


def sparse_values(model: Any) -> None:
    import onnx

    values = onnx.helper.make_tensor("values", 1, [1], [1.0])
    values.ClearField("float_data")
    values.data_location = onnx.TensorProto.EXTERNAL
    values.external_data.add(key="location", value="stolen.bin")
    model.graph.sparse_initializer.add(values=values, indices=onnx.helper.make_tensor("at", 7, [1], [0]), dims=[9])


def by_reference(model: Any) -> None:
    """An attribute whose value a function would give."""
    model.graph.node[0].attribute.add(name="axis", ref_attr_name="outer", type=2)


def same_output_twice(model: Any) -> None:
    model.graph.node.append(model.graph.node[-1])


def in_a_circle(model: Any) -> None:
    model.graph.node[0].input[0] = model.graph.node[-1].output[0]


def no_such_input(model: Any) -> None:
    model.graph.node[0].input[0] = "\x1b[31mnobody\n"


def negative_axes(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -5


def many_metadata(model: Any) -> None:
    for at in range(100_000):
        model.metadata_props.add(key=f"{at}", value="x" * 200)


def session_options(model: Any) -> None:
    """What ONNX Runtime takes for its own settings, if it is asked to."""
    options = {"session_options": {"intra_op_num_threads": 4096, "enable_profiling": 1, "log_severity_level": 0}}
    model.metadata_props.add(key="ort_config", value=json.dumps(options))


def text_tensor(model: Any) -> None:
    model.graph.initializer.add(name="words", data_type=8, dims=[2], string_data=[b"\xff\xfe", b"x" * 1_000_000])


def lying_shapes(model: Any) -> None:
    import onnx

    for node in model.graph.node:
        for name in node.output:
            model.graph.value_info.append(onnx.helper.make_tensor_value_info(name, 1, [1, 1]))


def huge_axis(onnx: Any) -> list[Any]:
    """An axis that is joined with itself, again and again: 2**40 values of one."""
    first = onnx.helper.make_node("Constant", [], ["p0"], value=onnx.helper.make_tensor("p0", 1, [1], [0.0]))
    joins = [onnx.helper.make_node("Concat", [f"p{n}"] * 2, [f"p{n + 1}"], axis=0) for n in range(40)]
    sums = [
        onnx.helper.make_node("Constant", [], ["axes"], value=onnx.helper.make_tensor("axes", 7, [1], [0])),
        onnx.helper.make_node("ReduceSum", ["p40", "axes"], ["zero"], keepdims=0),
    ]
    return [first, *joins, *sums]


def padded(onnx: Any) -> list[Any]:
    def whole(name: str, values: list[int]) -> Any:
        return onnx.helper.make_node(
            "Constant", [], [name], value=onnx.helper.make_tensor(name, 7, [len(values)], values)
        )

    one = onnx.helper.make_node("Constant", [], ["one"], value=onnx.helper.make_tensor("one", 1, [1], [0.0]))
    pad = onnx.helper.make_node("Pad", ["one", "pads"], ["big"])
    total = onnx.helper.make_node("ReduceSum", ["big", "axes"], ["zero"], keepdims=0)
    return [one, whole("pads", [1 << 31, 1 << 31]), whole("axes", [0]), pad, total]


# --------------------------------------------------------------------------------------------------------- where
def by_a_folder(arena: Path) -> None:
    """A link to a file of the folder by way of a folder that is a link out."""
    folder = arena / "model"
    (arena / "home" / "clip.onnx").write_bytes((folder / "clip.onnx").read_bytes())
    (folder / "clip.onnx").unlink()
    (folder / "deeper").symlink_to(arena / "home")
    (folder / "clip.onnx").symlink_to("deeper/clip.onnx")


def long_chain(arena: Path) -> None:
    folder = arena / "model"
    (folder / "config.json").rename(folder / "c200")
    for at in range(200):
        (folder / f"c{at}").symlink_to(f"c{at + 1}")
    (folder / "config.json").symlink_to("c0")


def many_leftovers(arena: Path) -> None:
    """Twenty thousand folders that look like a writer's."""
    for at in range(20_000):
        (arena / "model" / f".mdhr-writing-{at:08x}").mkdir()


def deep_leftover(arena: Path) -> None:
    """A folder like a writer's with folders in it 900 deep, which who removes it would climb down."""
    before = Path.cwd()
    os.chdir(arena / "model")
    for at in range(900):
        name = ".mdhr-writing-0000abcd" if at == 0 else "d"
        Path(name).mkdir()
        os.chdir(name)
    os.chdir(before)


def unreadable(arena: Path) -> None:
    (arena / "model" / "config.json").chmod(0)


def in_the_manifest(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def prepare(arena: Path) -> None:
        path = arena / "model" / "manifest.json"
        files = json.loads(path.read_text())["files"]
        path.write_text(json.dumps({"files": change(files)}))

    return prepare


def odd_letters(arena: Path) -> None:
    """Half letters, letters from right to left, and a name that is a path."""
    config(name="../../home/.bashrc", licence="MIT\u202e\u2066evil\u200b")(arena)
    entry("clip.onnx", device=LONE, tool=LONE, parity={"failure": LONE, "on": LONE, "max_score": 1.0})(arena)


def tells_a_name(arena: Path) -> str:
    """What every row of a table says of the model."""
    from mdhr_sdk import AUDetector

    with AUDetector.from_pretrained(arena / "model", threads=1) as detector:
        told = detector.info.name
    assert told[0].isalnum(), f"a spreadsheet runs {told[:40]}"
    return told


CARD = coded("MODEL_CARD.md", lambda content: b"# \x1b]0;owned\x07\xff\xfe\x9b2J\r\n" + content)
DIGEST, COPY = says("digest", "ARENA/model"), says("copy", "ARENA/model", "ARENA/copied")
GOLDEN = says("export", "ARENA/model", "--golden", "1", "--out", "ARENA/copied")
GAP = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]}}
BACKWARDS = {"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}
NEGATIVE = {"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}
EMPTY_AXIS = {"a": {"dtype": "F32", "shape": [0, 1 << 62, 1 << 62], "data_offsets": [0, 0]}}
MANY_AXES = {"a": {"dtype": "F32", "shape": [1] * 1_000_000, "data_offsets": [8, 12]}}

ATTACKS = (
    Attack("config.json with a mark of byte order", coded("config.json", lambda c: b"\xef\xbb\xbf" + c), opens),
    Attack("config.json in UTF-16", coded("config.json", as_utf16), opens),
    Attack("manifest.json in UTF-16", coded("manifest.json", as_utf16), opens),
    Attack("config.json with zero bytes after it", coded("config.json", lambda c: c + bytes(100)), opens),
    Attack("config.json: bytes that are no text", coded("config.json", no_text), opens),
    Attack("config.json: half a letter", text("config.json", lambda t: t.replace('"MIT', '"\\ud800MIT')), opens),
    Attack("config.json: a key twice", text("config.json", name_twice), opens),
    Attack("thresholds as texts", config(thresholds=["0.5"] * 15), opens),
    Attack("thresholds in a list", config(thresholds=[[0.5] * 15]), opens),
    Attack("thresholds of 1e308", config(thresholds=[1e308] * 15), opens),
    Attack("thresholds as true", config(thresholds=[True] * 15), opens),
    Attack("clip_length as 16.0 and a half", config(clip_length=16.5), opens),
    Attack("a gap of events of 1e308 s", config(events={"gap_s": 1e308}), opens),
    Attack("an AU twice", label_set(aus=[1] * 15), opens),
    Attack("AUs below 0", label_set(aus=[-n for n in range(15)]), opens),
    Attack("an AU of 5,000 digits", label_set(aus=[int("9" * 4000), *range(14)]), opens),
    Attack("weights with a gap", raw_weights(GAP, bytes(12)), streams),
    Attack("weights backwards", raw_weights(BACKWARDS, bytes(8)), streams),
    Attack("weights of sizes below 0", raw_weights(NEGATIVE, bytes(8)), streams),
    Attack("weights without a value, of 2**124", raw_weights(EMPTY_AXIS), streams),
    Attack("a header of 90 MB of spaces", raw_weights(b"{}" + b" " * 90_000_000), streams),
    Attack("a header in UTF-16", raw_weights(as_utf16(b"{}")), streams),
    Attack("a tensor of a million axes", raw_weights(MANY_AXES, bytes(12)), streams),
    Attack("sparse tensors with external data", *of_model(sparse_values)),
    Attack("an attribute by reference", *of_model(by_reference)),
    Attack("one output of two operators", *of_model(same_output_twice)),
    Attack("operators in a circle", *of_model(in_a_circle)),
    Attack("an input that nobody gives, with escapes", *of_model(no_such_input)),
    Attack("an axis of -5", *of_model(negative_axes)),
    Attack("a version of the operators of 10**9", *of_model(lambda m: setattr(m.opset_import[0], "version", 10**9))),
    Attack("a version of the format of 2**40", *of_model(lambda m: setattr(m, "ir_version", 1 << 40))),
    Attack("words as a tensor", *of_model(text_tensor), refused=False),
    Attack("shapes that lie", *of_model(lying_shapes)),
    Attack("100,000 remarks in a graph", *of_model(many_metadata), refused=False),
    Attack("settings of the runtime in a graph", *of_model(session_options), refused=False),
    Attack("joined with itself 40 times", bomb(huge_axis), scores),
    Attack("padded by 2**31", bomb(padded), scores),
    Attack("a graph of no bytes", raw(lambda _: b""), scores),
    Attack("a graph as text", raw(lambda _: b'ir_version: 8 graph { name: "x" }'), scores),
    Attack("a graph in gzip", raw(lambda c: __import__("gzip").compress(c)), scores),
    Attack("a graph by a folder that is a link out", by_a_folder, lambda arena: opens(arena, backend="onnxruntime")),
    Attack("config.json by 200 links", long_chain, opens, refused=False),
    Attack("20,000 look-alikes of a writer's; update", many_leftovers, updates, refused=False),
    Attack("a look-alike 900 deep; update", deep_leftover, updates, refused=False),
    Attack("config.json that nobody may read", unreadable, opens, refused=False),
    Attack("a manifest that names itself; copy", names_in_manifest("manifest.json"), copies),
    Attack("a manifest that names its lock; copy", names_in_manifest(".lock"), copies),
    Attack("a stream of a file (clip.onnx:x); copy", names_in_manifest("clip.onnx:x"), copies),
    Attack("a drive in a name; copy", names_in_manifest("c:clip.onnx"), copies),
    Attack("a server in a name; copy", names_in_manifest("\\\\server\\share\\clip.onnx"), copies),
    Attack("a name that ends in a point; copy", names_in_manifest("clip.onnx."), copies),
    Attack("a name with a zero byte; digest", names_in_manifest("clip.onnx\0.txt"), digests),
    Attack("odd letters in all that is told; doctor", odd_letters, DOCTOR, refused=False),
    Attack("half a letter in the manifest; copy", entry("clip.onnx", device=LONE), copies, refused=False),
    Attack("files of 1e308 bytes; copy", entry("clip.onnx", bytes=1e308), copies),
    Attack("files of -0.0 bytes; copy", entry("clip.onnx", bytes=-0.0), copies),
    Attack("a digest in capitals; digest", entry("clip.onnx", sha256="A" * 64), digests),
    Attack("a name that is a formula", config(name='=+@HYPERLINK("http://x")'), tells_a_name, refused=False),
    Attack("a manifest as a list", in_the_manifest(list), opens),
    Attack("entries that are lists", in_the_manifest(lambda f: {name: [1] for name in f}), opens),
    Attack("a card with escapes; copy", CARD, copies, refused=False),
)  # fmt: skip
