"""What `mdhr detect` and `mdhr batch` print when they are done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from rich.table import Table

from ...batch.outcome import Outcome
from ...errors import number_of, plain
from ...pipeline.scores.neutral import NEUTRAL
from ...results import ModelInfo
from .options import Console

ONCE = ("start", "timeline")  # stages that do not grow with the frames
TOLD = 10  # sources whose action units are listed


class Used(Protocol):
    """A model that was used: a detector, or what worker processes say of theirs."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def choice(self) -> str: ...


def report(
    console: Console, detector: Used, outcomes: Sequence[Outcome], files: bool = True, title: str = "mdhr detect"
) -> None:
    """Print the table of the sources, what occurred, what must be known of the scores, and what was written.

    Args:
        files: name each file that was written.
        title: of the table.
    """
    console.print(_table(outcomes, title))
    losses = (line for outcome in outcomes for line in _losses(outcome))
    for line in (*_sequences(outcomes), *losses, *_occurrences(outcomes)):
        console.print(line, soft_wrap=True, highlight=False)
    console.print(
        f"model {detector.info.name}: {detector.info.tag}; {detector.choice}", soft_wrap=True, highlight=False
    )
    if not detector.info.trained:
        console.print("This model is untrained: its scores mean nothing.", style="bold red")
    if detector.info.reliability:
        remedy = " (--all-aus turns them on)" if detector.info.off else ""
        console.print(f"{detector.info.reliability}{remedy}", soft_wrap=True, highlight=False)
    for line in (line for outcome in outcomes for line in _baselines(outcome)):
        console.print(line, soft_wrap=True, highlight=False)
    for outcome in outcomes if files else ():
        if outcome.stale:
            console.print(f"{outcome.label}: {left(outcome.stale)}", soft_wrap=True, highlight=False)
        for path in outcome.files:
            instead = ", in place of an earlier one" if path in outcome.replaced else ""
            console.print(f"wrote {plain(path)}{instead}", soft_wrap=True, highlight=False)


def left(names: Sequence[str]) -> str:
    """What is said of results that an earlier run made, and that this one did not replace."""
    are = "is" if len(names) == 1 else "are"
    return f"{', '.join(map(plain, names))} of an earlier run with other options {are} still there"


def _baselines(outcome: Outcome) -> Iterator[str]:
    """What a reader of the files must know of baselines: whose scores have one, and where it is no neutral face's."""
    name, late = outcome.label, sorted(outcome.baselines.get("missing", ()))
    if done := sorted(outcome.baselines.get("applied", ())):
        whose = f"faces {', '.join(map(str, done))}, each" if len(done) > 1 else f"face {done[0]}"
        yield (
            f"{name}: {whose} scored relative to its median in the neutral seconds; an AU of at most {NEUTRAL} there "
            "stays as it is"
        )
    if late:
        yield f"{name}: no baseline for face {', '.join(map(str, late))}, not there for half of the neutral seconds"
    elif outcome.baselines.keys() == {"neutral"}:
        why = "no face was there after its neutral seconds" if outcome.later else "it ended within its neutral seconds"
        yield f"{name}: {why}, so no score was made relative to them"
    for track, counts in sorted(outcome.neutral.items()):
        acting = ", ".join(
            code for code, count in sorted(counts.items()) if code != "frames" and 2 * count > counts["frames"]
        )
        if acting and track in outcome.baselines.get("applied", ()):
            yield (
                f"{name}: face {track} shows {acting} for most of its neutral seconds, so later it counts as rest; "
                "calibrate on seconds without expression"
            )


def _sequences(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Images that were read as one video, which those of several people should not be."""
    for outcome in outcomes:
        if outcome.source.kind == "sequence" and outcome.frames > 1:
            read = f"{outcome.frames:,} images were read as the frames of one video"
            yield f"{outcome.label}: {read}; --stills reads each for itself"


def _losses(outcome: Outcome) -> Iterator[str]:
    """What of a source was not scored, or not as it was filmed."""
    name = outcome.label
    if outcome.damaged or outcome.source.damaged:
        lost = f"damaged packets and pictures: {outcome.source.damaged:,}; " if outcome.source.damaged else ""
        yield f"{name}: {lost}frames noted as damaged: {outcome.damaged:,}"
    if outcome.dropped:
        captured = outcome.frames + outcome.dropped
        yield f"{name}: captured {captured:,} = scored {outcome.frames:,} + dropped {outcome.dropped:,}"
    if outcome.left_out:
        yield f"{name}: {number_of(outcome.left_out, 'face')} left out, not of the person or region that was asked for"
    if outcome.untrusted:
        yield f"{name}: --min-quality left out {number_of(outcome.untrusted, 'face')}, frame by frame"
    if outcome.doubted:
        told = ", ".join(f"{reason} {count:,}" for reason, count in outcome.doubted.most_common())
        yield f"{name}: faces that are not to be trusted, frame by frame: {told}"
    if outcome.limited:
        yield (
            f"{name}: --max-faces {outcome.most_scored} was reached in {number_of(outcome.limited, 'frame')}; up to "
            f"{outcome.most_seen} faces were found in one: raise --max-faces"
        )


def _occurrences(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """What the faces of each of the first sources show, most frequent first."""
    seen = [outcome for outcome in outcomes if outcome.frames and not (outcome.with_face and not outcome.scored)]
    for outcome in seen[:TOLD]:
        ranked = sorted(outcome.occurrences.items(), key=lambda item: (-item[1], item[0]))
        if not outcome.with_face:
            yield f"{outcome.label}: no face {'is left' if outcome.left_out or outcome.untrusted else 'found'}"
        elif outcome.frames == outcome.scored == 1:
            yield f"{outcome.label}: {', '.join(code for code, _ in ranked) or 'its face shows no action unit'}"
        else:
            after = "after the neutral seconds, " if "neutral" in outcome.baselines else ""
            shares = ", ".join(f"{code} {100 * count / outcome.scored:.0f} %" for code, count in ranked)
            whose = f"{outcome.label}, share of its faces ({outcome.scored:,}, {after}frame by frame)"
            yield f"{whose}: {shares or 'none shows an action unit'}"
    if len(seen) > TOLD:
        more = number_of(len(seen) - TOLD, "source more: its table", "sources more: their tables")
        yield f"and {more} (*_aus.csv) tell{'s' if len(seen) == TOLD + 1 else ''}"


def _table(outcomes: Sequence[Outcome], title: str) -> Table:
    note = "Faces of a video are found while earlier frames are scored and written: the parts can add up to more."
    caption = note if any(outcome.source.kind == "video" for outcome in outcomes) else None
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("source", overflow="fold")
    for name in ("frames", "with face", "faces", "frames/s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ms a frame")
    for outcome in outcomes:
        rate = outcome.frames / max(outcome.total_s, 1e-9)
        ended = " (failed)" if outcome.error or outcome.failures else " (stopped)" if outcome.interrupted else ""
        name = outcome.label + ended
        counts = (outcome.frames, outcome.with_face, len(outcome.tracks))
        table.add_row(name, *map(str, counts), f"{rate:.1f}", _times(outcome))
    return table


def _times(outcome: Outcome) -> str:
    """Milliseconds a frame of what is done to each, and seconds of what is done once."""
    frames, spent = max(outcome.frames, 1), sorted(outcome.timings_s.items(), key=lambda item: -item[1])
    often = [f"{stage} {1e3 * s / frames:.1f}" for stage, s in spent if stage not in ONCE and s >= 5e-5 * frames]
    once = [f"{stage} {s:.1f} s" for stage, s in spent if stage in ONCE and s >= 0.05]
    return "; ".join(filter(None, (", ".join(often), ", ".join(once))))
