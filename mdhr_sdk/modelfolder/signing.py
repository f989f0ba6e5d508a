"""What in a model folder was made on this machine: a key of the user's signs what export writes.

A graph in ONNX and weights in safetensors are data. TorchScript, AOT packages and TensorRT engines are code: whoever
loads one runs it. A manifest vouches for their bytes, but whoever writes the file writes the manifest, too. So each
entry of code carries an HMAC-SHA-256 under a key that never leaves this machine. Graphs in ONNX are signed as well:
those of others are looked through before a runtime sees them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..atomic import locked, scratch, settle
from ..errors import ModelFolderError
from ..folders import user_folder
from . import inside

VARIABLE = "MDHR_CONFIG_DIR"
KEY = "signing.key"
KEY_BYTES = 32
DATA = (".json", ".onnx", ".safetensors", ".md")
SIGNED = ("sha256", "source_sha256", "config_sha256")  # of an entry, with the file's name
log = logging.getLogger("mdhr_sdk")
PURPOSE = "mdhr_sdk: code in a model folder, 1"


def is_graph(name: str) -> bool:
    """Whether a file is a graph in ONNX."""
    return name.endswith(".onnx")


def is_code(name: str) -> bool:
    """Whether loading a file runs what is in it; true of all that is not known to be data."""
    return not name.endswith(DATA)


def config_folder() -> Path:
    """Where the key lies: `MDHR_CONFIG_DIR`, else `mdhr_sdk` in `XDG_CONFIG_HOME`, else in the user's `.config`.

    Raises:
        ModelFolderError: `MDHR_CONFIG_DIR` is no absolute path, or there is no home.
    """
    return user_folder(VARIABLE, ("XDG_CONFIG_HOME", "APPDATA"), ".config", "a key", ModelFolderError)


def signed(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """An entry, and of code and graphs that this machine made them. The key is made if there is none."""
    plain = {fact: value for fact, value in entry.items() if fact != "signature"}
    if not (is_code(name) or is_graph(name)):
        return plain
    try:
        return {**plain, "signature": _signature(_key() or _new_key(), name, plain)}
    except ModelFolderError as error:
        without = "nothing will run it without trust='code'" if is_code(name) else "it counts as anybody's"
        log.warning("%s is not signed, so that %s: %s", name, without, error)
        return plain


def unsigned(name: str, entry: Mapping[str, Any]) -> str | None:
    """Why an entry was not made on this machine, as far as that can be told; None if it was."""
    try:
        key = _key()
    except ModelFolderError as error:
        return str(error)
    given = str(entry.get("signature", "")).encode(errors="surrogatepass")  # as texts only ASCII is compared
    if key is None or not hmac.compare_digest(given, _signature(key, name, entry).encode()):
        return "no signature of this machine's key says that it was made here"
    return None


def _signature(key: bytes, name: str, entry: Mapping[str, Any]) -> str:
    said = json.dumps([PURPOSE, name, *(entry.get(fact) for fact in SIGNED)])
    return hmac.new(key, said.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes | None:
    """The key; None if there is none.

    Raises:
        ModelFolderError: it is no key, or others could have read or written it.
    """
    folder = config_folder()
    if not inside.has(folder, KEY):
        return None
    path = folder / KEY
    with inside.opened(folder, KEY) as file:
        state, content = os.fstat(file.fileno()), file.read(1024)
    if hasattr(os, "geteuid") and (state.st_uid != os.geteuid() or stat.S_IMODE(state.st_mode) & 0o077):
        raise ModelFolderError(f"the key '{path}' must be yours alone to read; run: chmod 600 '{path}', or remove it")
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ModelFolderError(f"'{path}' is no key; remove it, and export again what it signed")
    return key


def _new_key() -> bytes:
    """Made by the first of several processes; the others take that one."""
    folder = config_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder):
            if (key := _key()) is None:
                key = secrets.token_bytes(KEY_BYTES)
                with scratch(folder) as own:
                    part = own / KEY
                    part.touch(mode=0o600)
                    part.write_text(key.hex() + "\n", encoding="ascii")
                    settle(part)
                    part.replace(folder / KEY)
            return key
    except OSError as error:
        raise ModelFolderError(f"no key can be kept in '{folder}': {error.strerror or error}; set {VARIABLE}") from None
