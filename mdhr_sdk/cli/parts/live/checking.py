"""`mdhr live --check`: tries the model, each source and each output for a second, and says what works."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from ....atomic import scratch, told
from ....errors import MDHRError, OutputError
from ....outputs.live.line_readers import CONNECT_S, host_and_port, line_reader
from ....outputs.pictures.encoder import check_codec
from ....vision import Source
from ..options import say
from .opening import open_detector, open_sources
from .settings import LiveSettings
from .window import check_display

READ_S = 1.0
OPEN_S = 12.0  # a camera or address that has not opened by then is given up
SOURCE_FAILS, OUTPUT_FAILS = 3, 4  # exit codes


def check_all(settings: LiveSettings) -> int:
    """Print a line for the model, each source and each output; returns the exit code."""
    fails = [
        [_told("model " + settings.model, lambda: _model(settings))],
        [_told(name, test) for name, test in _sources(settings)],
        [_told(name, test) for name, test in _outputs(settings)],
    ]
    return SOURCE_FAILS if not all(fails[0] + fails[1]) else OUTPUT_FAILS if not all(fails[2]) else 0


def _told(name: str, test: Callable[[], str]) -> bool:
    """Run a test and print how it went."""
    try:
        say(f"ok    {name}: {test()}")
    except MDHRError as error:
        say(f"FAILS {name}: {error}")
        return False
    return True


def _model(settings: LiveSettings) -> str:
    with open_detector(settings) as detector:
        return detector.info.where


def _sources(settings: LiveSettings) -> Iterator[tuple[str, Callable[[], str]]]:
    for source in open_sources(settings, on_error="skip"):
        yield f"source {source.name}", lambda source=source: _read(source)  # type: ignore[misc]


def _read(source: Source) -> str:
    """Read for a second, in a thread, since a camera can hang for ever."""
    told: list[str | MDHRError] = []

    def read() -> None:
        count, size = 0, (0, 0)
        try:
            with source as opened:
                until = time.monotonic() + READ_S
                for frame in opened:
                    count, size = count + 1, (frame.image.shape[0], frame.image.shape[1])
                    if time.monotonic() >= until:
                        break
        except MDHRError as error:
            told.append(error)
        else:
            told.append(f"{size[1]}x{size[0]}, {count} frames in {READ_S:g} s" if count else "no frame")

    thread = threading.Thread(target=read, name=f"mdhr tries {source.name}", daemon=True)
    thread.start()
    thread.join(OPEN_S + READ_S)
    if not told:
        raise OutputError(f"it did not answer for {OPEN_S:g} s")
    if isinstance(told[0], MDHRError):
        raise told[0]
    return told[0]


def _outputs(settings: LiveSettings) -> Iterator[tuple[str, Callable[[], str]]]:
    if settings.csv or settings.record is not None:
        yield f"folder {settings.out}", lambda: _folder(settings)
    for address in settings.jsonl:
        yield f"JSON Lines to {address}", lambda address=address: _lines(address)  # type: ignore[misc]
    if settings.mqtt is not None:
        yield "MQTT", lambda: _mqtt(str(settings.mqtt))
    if settings.lsl:
        yield "LSL", _lsl
    if (at := settings.served_at) is not None:
        yield f"page at {at[0]}:{at[1]}", lambda: _page(at, settings.token)
    if settings.show:
        yield "window", _window


def _folder(settings: LiveSettings) -> str:
    if settings.record is not None:
        check_codec(Path("a.mp4"), "h264")
    return _writable(Path(settings.out))


def _lines(address: str) -> str:
    if address.lower().startswith("tcp://"):
        try:
            socket.create_connection(host_and_port(address), CONNECT_S).close()
        except OSError as error:
            raise OutputError(f"no program listens there: {error.strerror or error}") from None
        return "a program listens"
    if "://" in address or address == "-":
        reader = line_reader(address)
        reader.open()
        reader.close()
        return "can be written; whether anybody reads is not told" if "://" in address else "can be written"
    path = Path(address)
    if path.is_dir():
        raise OutputError(f"'{path}' is a folder; add a name")
    if path.exists() and not path.is_file():
        raise OutputError(f"results go into a file, and '{path}' is none; choose another name")
    return _writable(path.absolute().parent)


def _writable(folder: Path) -> str:
    near = folder.absolute()  # the check makes no folder, so it tries the one in which it would be made
    while not near.exists():
        near = near.parent
    with told(folder), scratch(near, sweeps=False):
        return "can be written"


def _mqtt(address: str) -> str:
    from ....outputs.live.mqtt import MqttSink

    with MqttSink(address) as sink:
        sink.connect(CONNECT_S)
    return f"{sink.name} answers"


def _lsl() -> str:
    from ....outputs.live.lsl import library

    return f"liblsl {library().library_version() / 100:g}"


def _page(at: tuple[str, int], token: str | None) -> str:
    from .outputs import served

    page = served(at, token)
    page.__enter__()
    with suppress(MDHRError):
        page.__exit__(None, None, None)
    return "the port is free"


def _window() -> str:
    check_display()
    return "a screen is there"
