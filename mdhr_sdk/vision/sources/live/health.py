"""How a live source is doing, and for how long one waits for it."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone

from ....arguments import flag, is_number
from ....errors import ConfigError
from ....results import SourceState

FIRST_RETRY_S, LAST_RETRY_S = 0.1, 1.0
REFUSED_S, LAST_REFUSED_S = 5.0, 60.0  # after a login that was refused: cameras lock accounts that are tried often
SETTLED_S = 2.0  # after so long as live, the next loss begins with the first pause again


@dataclass(frozen=True)
class Patience:
    """What is done when a live source breaks off.

    Attributes:
        reconnect: open it again; otherwise its error ends it.
        give_up_after_s: end it when it has given nothing for so long; None for never.
    """

    reconnect: bool = True
    give_up_after_s: float | None = None


def checked_patience(reconnect: bool, give_up_after_s: float | None) -> Patience:
    """The two as given, or ConfigError."""
    if give_up_after_s is not None and not (is_number(give_up_after_s) and give_up_after_s > 0):
        raise ConfigError(f"give_up_after_s must be seconds above 0, or None for never; got {give_up_after_s!r}")
    return Patience(flag("reconnect", reconnect), give_up_after_s)


ENDS = Patience(reconnect=False)


@dataclass(frozen=True)
class Health:
    """State of a live source; as in `SourceStatus`."""

    state: SourceState = "connecting"
    reason: str = ""
    since: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    reconnects: int = 0

    def become(self, state: SourceState, reason: str = "") -> Health:
        """The next state; coming back from a loss counts as a reconnect."""
        back = state == "live" and self.state in ("lost", "reconnecting")
        since = self.since if state == self.state else datetime.now(timezone.utc)
        return replace(self, state=state, reason=reason, since=since, reconnects=self.reconnects + back)


class Retries:
    """The pauses between tries to open a source: longer and longer, up to a second, and never quite the same."""

    def __init__(self) -> None:
        self._tries = 0
        self._live_s: float | None = None

    def live(self) -> None:
        """It gives pictures from now on."""
        self._live_s = time.perf_counter()

    def pause_s(self, refused: bool = False) -> float:
        """How long to wait before the next try; longer if the login was refused."""
        if self._live_s is not None and time.perf_counter() - self._live_s > SETTLED_S:
            self._tries = 0
        self._live_s = None
        first_s, last_s = (REFUSED_S, LAST_REFUSED_S) if refused else (FIRST_RETRY_S, LAST_RETRY_S)
        pause_s = min(last_s, first_s * 2.0 ** min(self._tries, 10))
        self._tries += 1
        return pause_s * random.uniform(0.5, 1.0)
