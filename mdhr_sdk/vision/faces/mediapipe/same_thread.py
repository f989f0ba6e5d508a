"""MediaPipe's graphs in the thread that asks them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

STEP_US = 33_333  # from one picture to the next, as MediaPipe's own `process` has it


@functools.cache
def in_this_thread(solution: type) -> Any:
    """A class of MediaPipe's solutions (`FaceMesh`, ...) whose graph runs in the thread that calls `answer`.

    MediaPipe hands the steps of a frame to threads of its own: beside a busy Python thread some twenty changes of
    threads a frame, four so, for the same results.

    Nothing may raise inside of a running graph, which would end the process, and Python raises KeyboardInterrupt in
    the main thread wherever Python code runs. So results are put down by a function without any, `dict.__setitem__`.

    It rests on attributes of `SolutionBase` that are private, and the same in MediaPipe 0.10.14 and 0.10.21.
    """
    from mediapipe.python._framework_bindings import _packet_getter

    class InThisThread(solution):
        _graph: Any

        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self._graph.close()
            self._graph = type(self._graph)(graph_config=self._config)
            self._graph_outputs: dict[str, Any] = {}
            for name in self._output_stream_type_info:
                self._graph.observe_output_stream(name, self._graph_outputs.__setitem__, True)
            self._graph.start_run(self._input_side_packets)
            (self._asked,), (self._answered,) = self._input_stream_type_info, self._output_stream_type_info

        def answer(self, rgb: NDArray[np.uint8]) -> list[bytes]:
            """The messages that the graph gives for an (H, W, 3) RGB picture, as protobuf writes them.

            MediaPipe's own `process` reads each into Python, and makes a class a picture to hold them.
            """
            self._graph_outputs.clear()
            self._simulated_timestamp += STEP_US
            packet = self._make_packet(self._input_stream_type_info[self._asked], rgb)
            self._graph.add_packet_to_input_stream(self._asked, packet.at(self._simulated_timestamp))
            self._graph.wait_until_idle()
            answered = self._graph_outputs.get(self._answered)
            if answered is None or answered.is_empty():
                return []
            return list(_packet_getter._get_serialized_proto_list(answered))

        def _initialize_graph_interface(self, *arguments: Any, **named: Any) -> Any:
            config = super()._initialize_graph_interface(*arguments, **named)
            for pool in [executor for executor in config.executor if not executor.name]:
                config.executor.remove(pool)
            config.executor.add().type = "ApplicationThreadExecutor"
            config.num_threads = 0  # it excludes an executor
            self._config = config
            return config

    return InThisThread
