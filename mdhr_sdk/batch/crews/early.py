"""Worker processes that are ready sooner: what they need is loaded while the command reads its own command line."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...children import interrupts_held_back

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext

_LOADS = "mdhr_sdk.batch.crews.loaded"  # a text: it is not loaded here
_WORKERS = ("--jobs", "--resume")  # options of `mdhr detect` with which there are workers
_begun: list[ForkServerContext] = []


def wants_workers(words: Sequence[str]) -> bool:
    """Whether a command line of `mdhr` is one with worker processes on this machine, as far as can be told at once."""
    options = {word.partition("=")[0] for word in words if word.startswith("-")}
    return options.isdisjoint(("--help", "-h")) and (
        (words[:1] == ["batch"] and "--ray" not in options)
        or (words[:1] == ["detect"] and not options.isdisjoint(_WORKERS))
    )


def begin_early() -> None:
    """Start a process that loads what workers need, once for all of them, and then becomes each by a fork.

    It opens no model and starts no thread, so a fork is safe. It ends with this process. Only Linux has a safe fork;
    elsewhere nothing is done.
    """
    if sys.platform != "linux" or _begun:
        return
    from multiprocessing import forkserver

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_LOADS])
    with interrupts_held_back():
        forkserver.ensure_running()
    _begun.append(context)


def start_context() -> ForkServerContext | SpawnContext:
    """How worker processes are started: by what `begin_early` started, else each anew."""
    return _begun[0] if _begun else multiprocessing.get_context("spawn")
