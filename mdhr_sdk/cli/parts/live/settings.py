"""All settings of `mdhr live`: what `live.yaml` holds, and what the command line says; the command line wins."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from ....errors import ConfigError, MDHRError
from ....modelfolder.bundled import DEFAULT
from ....modelfolder.strict import Positive, Share, from_mapping, from_texts, strict
from ....outputs.live.recording import Keep, Picture
from ....pipeline.modes import Policy
from ....training.fit.yaml_file import read_texts
from ....vision import Scope
from ....vision.scope import read_person, read_region
from ....vision.sources.live.address import split_name
from ..times import read_time

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]
Amount = str | int | float  # '10m', '20GB', or a plain number
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
OFF, ON = ("no", "off", "none", "never", "false"), ("yes", "on", "true")  # in the place of what can be left out
LISTS = ("sources", "jsonl", "keep")  # one of them needs no list
_BYTES = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_LOGIN = re.compile(r"//[^/@\s]*@")  # of an address, which a message may repeat
_NAME = re.compile(r"\w[\w.-]{0,63}")


@strict
class LiveSettings:
    """What `mdhr live` reads, how it scores, and where the results go. Each is an option of the command too.

    Attributes:
        sources: name -> address; a list of addresses, or of NAME=ADDRESS, does too.
    """

    sources: dict[str, str | int] | tuple[str | int, ...] = ()
    model: str = DEFAULT
    backend: str = "auto"
    device: str = "auto"
    precision: str = "auto"
    threads: Positive | None = None
    max_faces: Positive = 10
    face_model: str | None = None
    faces: str = "auto"
    all_aus: bool = False
    digest: str | None = None
    trust_code: bool = False
    smooth: Seconds | None = None
    lookahead: Annotated[int, Field(ge=0)] | None = None
    policy: Policy | None = None
    region: str | None = None
    person: str | int | None = None
    reidentify: bool = False
    measures: bool = False
    min_quality: Share = 0.0
    calibrate_neutral: Amount | None = None
    give_up_after: Amount | None = None
    out: str = "mdhr-output"
    csv: bool = False
    jsonl: tuple[str, ...] = ()
    record: Picture | None = None
    segment: Amount = "10m"
    keep: tuple[Amount, ...] = ()
    mqtt: str | None = None
    lsl: bool = False
    serve: str | int | None = None
    token: str | None = field(default=None, repr=False)
    show: bool = False
    log_level: LogLevel = "info"
    log_format: LogFormat = "text"

    def __post_init__(self) -> None:
        for one in fields(self):
            _check_texts(one.name, getattr(self, one.name))
        _ = self.named_sources, self.segment_s, self.kept, self.give_up_after_s, self.neutral_s, self.served_at
        _ = self.scope

    @property
    def named_sources(self) -> list[tuple[str, str]]:
        """(name, address) of each source; '' for a name that was not given."""
        if isinstance(self.sources, Mapping):
            pairs = [(name, str(address)) for name, address in self.sources.items()]
        else:
            pairs = [split_name(str(text)) for text in self.sources]
        counts = Counter(name.casefold() for name, _ in pairs if name)
        if twice := next((name for name, count in counts.items() if count > 1), None):
            raise ConfigError(f"every source has a name of its own; '{twice}' comes twice")
        for name, _ in pairs:
            if name and not _NAME.fullmatch(name):
                raise ConfigError(f"a source's name is of letters, digits, '_', '-' and '.'; got '{name}'")
        return pairs

    @property
    def segment_s(self) -> float:
        length_s = read_time("segment", self.segment)
        if length_s < 1:
            raise ConfigError(f"segment expects at least 1s; got '{self.segment}'")
        return length_s

    @property
    def give_up_after_s(self) -> float | None:
        return None if self.give_up_after is None else read_time("give-up-after", self.give_up_after)

    @property
    def neutral_s(self) -> float | None:
        return None if self.calibrate_neutral is None else read_time("calibrate-neutral", self.calibrate_neutral)

    @property
    def scope(self) -> Scope | None:
        """Whose faces are scored, of every source; None for all."""
        if self.region is None and self.person is None and not self.reidentify:
            return None
        return Scope(
            region=None if self.region is None else read_region(self.region),
            person=None if self.person is None else read_person(str(self.person)),
            reidentify=self.reidentify,
        )

    @property
    def kept(self) -> Keep:
        """`keep` holds an age ('7d'), a size ('20GB'), or both."""
        sizes = [size for amount in self.keep if (size := size_bytes(amount)) is not None]
        others = [amount for amount in self.keep if size_bytes(amount) is None]
        with_units = all(str(amount).strip()[-1:].isalpha() for amount in self.keep)
        try:
            ages = [read_time("keep", amount) for amount in others]
        except ConfigError:
            with_units, ages = False, []
        # It removes files, so nothing is guessed: neither a unit nor which of two is meant.
        if len(ages) > 1 or len(sizes) > 1 or 0 in sizes or not with_units:
            given = ", ".join(map(str, self.keep))
            raise ConfigError(
                f"keep expects an age with its unit, as 7d, a size, as 20GB, or both, as [7d, 20GB]; got '{given}'"
            )
        return Keep(ages[0] if ages else None, sizes[0] if sizes else None)

    @property
    def served_at(self) -> tuple[str, int] | None:
        """(host, port) of `serve`: 'PORT', or 'HOST:PORT'."""
        if self.serve is None:
            return None
        host, separator, port = str(self.serve).rpartition(":")
        if not port.isdecimal() or len(port) > 5 or not 0 <= int(port) <= 65_535 or (separator and not host):
            raise ConfigError(f"serve expects PORT or HOST:PORT, as 8000 or 127.0.0.1:8000; got '{self.serve}'")
        return (host.strip("[]") or "127.0.0.1", int(port))


def _check_texts(name: str, value: object) -> None:
    """Raise ConfigError if a setting is or holds a text without a letter, as an unset variable of a shell gives.

    Characters of control are refused too: no address, path or word has them. The text is not repeated, since it may be
    a password.
    """
    if isinstance(value, Mapping):
        value = (*value.keys(), *value.values())
    for text in value if isinstance(value, tuple) else (value,):
        if isinstance(text, str) and not text.strip():
            raise ConfigError(f"{name.replace('_', '-')} is given an empty text; give it a value, or leave it out")
        if isinstance(text, str) and any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
            raise ConfigError(f"{name.replace('_', '-')} holds a character of control, as a line's end; leave it out")


def size_bytes(amount: Amount) -> int | None:
    """'20GB' -> bytes; None where no size's unit is named."""
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]*)?)\s*([kmgt]i?b)", str(amount).strip().lower())
    return int(float(found[1]) * _BYTES[found[2].upper()]) if found and found[2].upper() in _BYTES else None


def live_settings(path: Path | None, typed: Mapping[str, Any]) -> LiveSettings:
    """The settings of a file, those of the command line over them, and defaults for the rest.

    Raises:
        ConfigError: the file cannot be read; an unknown setting, or a bad value, of the one or the other. The message
            names the line of the file.
    """
    content = {} if path is None else _from_file(path)
    try:
        return from_mapping(LiveSettings, {**content, **typed})
    except MDHRError as error:
        raise ConfigError(_without_login(error)) from None


def _from_file(path: Path) -> dict[str, Any]:
    """The settings that a file holds, each as it must be."""
    texts, lines = read_texts(path, extra="live")
    content: dict[str, Any] = {}
    for key, text in texts.items():
        name, where = key.replace("-", "_"), f"'{path}', line {lines[key,]}"
        if name in content:
            raise ConfigError(f"{where}: '{name}' stands there twice; leave one out")
        if name == "trust_code":  # a file is passed on with the folder that it names, and would vouch for it
            raise ConfigError(
                f"{where}: code is trusted on the command line alone; leave it out, and type --trust-code"
            )
        if isinstance(text, dict):  # a bad one of several sources is told with its own line
            for inner, value in text.items():
                _read(name, {inner: value}, f"'{path}', line {lines[key, inner]}")
        content[name] = _read(name, text, where)
    return content


def _read(name: str, text: Any, where: str) -> Any:
    """What a text means as a setting; `where` it stands begins the message if it means nothing."""
    default = _DEFAULTS.get(name)
    if isinstance(text, str) and name in _DEFAULTS and default in (None, ()):
        if text.lower() in OFF:
            return default
        if text.lower() in ON:
            raise ConfigError(f"{where}: '{name}' needs more than '{text}'; say which, or leave it out")
    if text is None and default is not None:
        raise ConfigError(f"{where}: '{name}' has no value; give it one, or leave it out")
    text = [text] if name in LISTS and isinstance(text, str) else text
    try:
        return getattr(from_texts(LiveSettings, {name: text}), name)
    except MDHRError as error:
        raise ConfigError(f"{where}: {_without_login(error)}") from None


def _without_login(error: MDHRError) -> str:
    return _LOGIN.sub("//...@", str(error))


_DEFAULTS = {one.name: one.default for one in fields(LiveSettings)}
