"""Checkpoints of the authors' released code: which of their keys becomes which of our tensors."""

from __future__ import annotations

import contextlib
import pickletools
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, NamedTuple

import torch
from torch import Tensor

from ..aus import LABEL_SETS
from ..errors import CheckpointError
from ..modelfolder.config import ModelConfig
from .keys import check_fit
from .mdhr import MDHR

# All that a state dict of tensors calls. PyTorch allows more: a bytearray has as many bytes as one number says.
CALLED = re.compile(
    r"collections (OrderedDict|defaultdict|Counter)|torch (\w+Storage|Size|device|\w*(float|int|bool)\w*)"
    r"|torch\.storage \w+Storage|torch\.serialization _get_layout"
    r"|torch\._utils _rebuild_(tensor|tensor_v2|tensor_v3|sparse_tensor|parameter)"
)
OLD_PICKLES = 5  # one after the other, before PyTorch 1.6
MAX_BYTES = 4 << 30  # the largest released model is 0.43 GB; a file past this is something else
# Buffers that a model derives itself, and the tensor of the same module that tells where they belong.
SIBLINGS = {
    "num_batches_tracked": "running_mean",
    "relative_position_index": "relative_position_bias_table",
    "attn_mask": "norm1.weight",
}
DERIVED = re.compile(rf"(?<=\.)({'|'.join(SIBLINGS)})$")
GROUP_KEYS = {"up": "up", "mid": "mid", "low": "down", "low-a": "down1", "low-b": "down2"}

# Our key -> the released key. It counts scales from 1.
RULES = (
    (
        r"encoder\.backbone\.net\.layers\.(\d+)\.(downsample\..+)",
        lambda m: f"Backbone.layers.{int(m[1]) - 1}.{m[2]}",
    ),
    (r"encoder\.backbone\.net\.(.+)", r"Backbone.\1"),
    (r"encoder\.static\.linear\.(.+)", r"global_linear.fc.\1"),
    (r"encoder\.static\.norm\.(.+)", r"global_linear.bn.\1"),
    (r"encoder\.project\.convs\.(\d)\.weight", lambda m: f"MFD.conv{int(m[1]) + 1}.weight"),
    (r"head\.dynamics\.biases\.(\d)", lambda m: f"MFD.conv{int(m[1]) + 1}.bias"),
    (r"head\.dynamics\.norms\.(\d)\.(.+)", lambda m: f"MFD.bn{int(m[1]) + 1}.{m[2]}"),
    (r"head\.dynamics\.fusion\.squeeze\.(\d)\.(.+)", lambda m: f"MFD.weight_{int(m[1]) + 1}.{m[2]}"),
    (r"head\.dynamics\.fusion\.norms\.(\d)\.(.+)", lambda m: f"MFD.wbn{int(m[1]) + 1}.{m[2]}"),
    (r"head\.dynamics\.fusion\.weigh\.(.+)", r"MFD.weight.\1"),
    (r"head\.dynamics\.out\.(.+)", r"MFD.convcat.\1"),
    (r"head\.dynamics\.out_norm\.(.+)", r"MFD.bn.\1"),
    (r"head\.graph\.linear\.weight", r"CRM.gat.linear.weight"),
    (r"head\.graph\.bias", r"CRM.gat.bias"),
    # The released code calls the AU that listens the source of an edge; here it is the target.
    (r"head\.graph\.source", r"CRM.gat.scoring_fn_target"),
    (r"head\.graph\.target", r"CRM.gat.scoring_fn_source"),
    (r"head\.temporal\.norm\.(.+)", r"TCN.bn.\1"),
    (r"head\.score\.reference", r"node_classifier.sc"),
)


class Piece(NamedTuple):
    """A released tensor that is, reshaped, one of the equal parts of ours along the first axis."""

    key: str
    shape: tuple[int, ...]


def released_parts(model: MDHR) -> dict[str, list[Piece]]:
    """Our key -> the released tensors that make it up, in order.

    Raises:
        CheckpointError: the model is not of the released form.
    """
    _check_form(model)
    parts = {}
    for key, tensor in model.state_dict().items():
        if not DERIVED.search(key):
            keys = _released_keys(model.config, key)
            shape = (tensor.shape[0] // len(keys), *tensor.shape[1:])
            parts[key] = [Piece(k, (1, 1, *shape) if "scoring_fn" in k else tuple(shape)) for k in keys]
    return parts


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a `.pth` file, unwrapped from 'state_dict' and freed of 'module.' prefixes.

    Raises:
        CheckpointError: no such file, too large, or anything but named tensors in it.
    """
    path = Path(path)
    check_archive(path)
    if foreign := _foreign(path):
        raise _not_plain(path, f"it holds {foreign}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for foreign bytes
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        holds = f"it holds {named[1]}" if named else "its bytes are something else"
        raise _not_plain(path, holds) from None
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"'{path}' must hold named tensors, at its top or under 'state_dict'; it does not")
    tensors = {str(key).removeprefix("module."): value for key, value in content.items()}
    if len(tensors) < len(content):
        raise CheckpointError(f"'{path}' has keys both with and without the prefix 'module.'; keep one set")
    return tensors


def _not_plain(path: Path, holds: str) -> CheckpointError:
    return CheckpointError(
        f"'{path}' must be a checkpoint of plain tensors, as torch.save writes a state dict; {holds}; "
        "save only the state dict, as tensors"
    )


def _foreign(path: Path) -> str | None:
    """What a checkpoint would call besides that which makes tensors; None if nothing, or if it is no pickle at all."""
    found: str | None = None
    with contextlib.suppress(ValueError, OSError, RuntimeError, zipfile.BadZipFile):  # PyTorch says what is wrong
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                for _ in range(OLD_PICKLES):
                    found = found or _called(file)
        else:
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith("data.pkl"):
                        with archive.open(name) as part:
                            found = found or _called(part)
    return found


def _called(pickled: IO[bytes]) -> str | None:
    for operation, argument, _ in pickletools.genops(pickled):
        if operation.name == "GLOBAL" and not CALLED.fullmatch(str(argument)):
            return str(argument).replace(" ", ".")
        if operation.name in ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4"):
            return "names that are put together"
    return None


def check_archive(path: Path) -> None:
    """Check a `.pth` file before anything of it is unpacked: as torch.save writes it, no more comes out than is in it.

    Raises:
        CheckpointError: no such file, too large, or an archive whose parts are compressed or overlap.
    """
    if not path.is_file():
        what = "is no file" if path.exists() else "does not exist"
        raise CheckpointError(f"checkpoint '{path}' {what}")
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CheckpointError(f"checkpoint '{path}' is larger than {MAX_BYTES >> 30} GiB: not a released MDHR file")
    if not zipfile.is_zipfile(path):  # the form before PyTorch 1.6
        return
    try:
        with zipfile.ZipFile(path) as archive:
            parts = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"checkpoint '{path}' is damaged: {error}; get it anew") from None
    packed = any(part.compress_type != zipfile.ZIP_STORED for part in parts)
    if packed or sum(part.file_size for part in parts) > size or len({part.filename for part in parts}) < len(parts):
        raise CheckpointError(
            f"checkpoint '{path}' would unpack to more than it is: torch.save compresses nothing and names every part "
            "once; save the state dict anew"
        )


def load_released_checkpoint(model: MDHR, path: str | Path, tensors: Mapping[str, Tensor] | None = None) -> None:
    """Load a `.pth` of the released code into `model`, strictly.

    Args:
        tensors: what `read_checkpoint(path)` gave, if it was read already.

    Keys may be prefixed with 'module.' and stand under 'state_dict'; buffers that the model derives itself
    (`relative_position_index`, `attn_mask`, `num_batches_tracked`) may be there or not.

    Raises:
        CheckpointError: any key is missing, unexpected or misshapen. The message names every one, and the model
            is left as it was.
    """
    tensors = read_checkpoint(path) if tensors is None else tensors
    parts = released_parts(model)
    expected = {part.key: part.shape for group in parts.values() for part in group}
    found = {key: tensor.shape for key, tensor in tensors.items() if not _is_derived(key, expected)}
    check_fit(f"checkpoint '{path}'", model.config, found, expected)
    broken = [key for key in expected if not _is_plain(tensors[key])]
    if broken:
        raise CheckpointError(
            f"checkpoint '{path}': expected finite floating-point tensors; not so: {', '.join(broken)}"
        )
    own = model.state_dict()
    merged = {
        key: torch.cat([tensors[p.key].reshape(-1, *own[key].shape[1:]) for p in group]) for key, group in parts.items()
    }
    model.load_state_dict(merged, strict=False)


def _is_derived(key: str, expected: Mapping[str, object]) -> bool:
    return DERIVED.search(key) is not None and DERIVED.sub(lambda match: SIBLINGS[match[1]], key) in expected


def _is_plain(tensor: Tensor) -> bool:
    plain = tensor.layout is torch.strided and tensor.device.type == "cpu" and tensor.is_floating_point()
    return plain and not tensor.is_quantized and bool(torch.isfinite(tensor).all())


def _released_keys(config: ModelConfig, key: str) -> list[str]:
    groups = config.layout.groups
    if match := re.fullmatch(r"head\.relations\.(group_linears|heads)\.(\d)\.(.+)", key):
        name = GROUP_KEYS[groups[int(match[2])].name]
        if match[1] == "heads":
            return [f"LRM.{name}_fc.{match[3]}"]
        return [f"LRM.{name}_linear.{_linear_block(match[3])}"]
    if match := re.fullmatch(r"head\.relations\.extractors\.(\d)\.(.+)", key):
        aus = [config.label_set.aus.index(au) for au in groups[int(match[1])].aus]
        return [f"LRM.class_linears.{au}.{_linear_block(match[2])}" for au in aus]
    if match := re.fullmatch(r"head\.temporal\.conv\.(.+)", key):
        return [f"TCN.temporal_cnn.{au}.{match[1]}" for au in range(len(config.label_set.aus))]
    for pattern, replacement in RULES:
        if match := re.fullmatch(pattern, key):
            return [replacement(match) if callable(replacement) else match.expand(replacement)]
    raise CheckpointError(f"the released code has no counterpart of '{key}'")


def _linear_block(key: str) -> str:
    return key.replace("linear.", "fc.").replace("norm.", "bn.")


def _check_form(model: MDHR) -> None:
    config = model.config
    width = model.encoder.backbone.channels[-1]
    plain = ModelConfig(label_set=config.label_set, backbone=config.backbone, projection_width=width)
    free = {"k", "region_loss_weight", "input_size_px"}  # no tensor depends on these
    changed = [name for name in vars(plain) if name not in free and getattr(plain, name) != getattr(config, name)]
    if changed or config.label_set not in LABEL_SETS.values():
        raise CheckpointError(
            "only models of the released form load released checkpoints: label set bp4d or disfa and no ablation; "
            f"changed here: {', '.join(changed) or 'label_set'}"
        )
