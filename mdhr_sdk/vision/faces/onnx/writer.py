"""An ONNX graph that grows node by node."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....errors import SourceError, require

MOST_BYTES = 1 << 28  # of all constants: the same part of a file may be asked for again and again


class Writer:
    """Nodes and constants, each under a name of its own."""

    def __init__(self) -> None:
        self._onnx = require("onnx", "onnx")
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._bytes = 0

    def add(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Append a node; returns the name of its (first) output."""
        names = [f"v{len(self.nodes)}_{index}" for index in range(outputs)]
        self.nodes.append(self._onnx.helper.make_node(kind, list(inputs), names, **attributes))
        return names[0]

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(value, dtype)
        self._bytes += array.nbytes
        if self._bytes > MOST_BYTES:
            raise SourceError(f"the network has constants of more than {MOST_BYTES >> 20} MiB; take MediaPipe's own")
        self.constants.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def ints(self, *values: int) -> str:
        return self.constant(values, np.int64)
