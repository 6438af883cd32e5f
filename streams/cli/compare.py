"""`deeptrace model compare`: champion and candidate on the same images, and whether to promote."""

import asyncio
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from schemas import topics
from schemas.errors import CheckFailed, MessageInvalid, NotPermitted, TopicMissing
from schemas.label import Labelled
from schemas.shadow import ShadowVerdict
from streams.cli.arguments import parse_since
from streams.cli.console import AsJson, err, out, print_json, printable
from streams.cli.console import settings as read_settings
from streams.labels.book import LabelBook
from streams.releases.comparison import ALPHA, MAX_FLIP_RATE, MIN_PAIRS, Comparison, Pairs, Rule
from streams.releases.comparison import compare as compared
from streams.settings import KafkaSettings
from streams.topic_reader import read_topics

Versus = tuple[str, str]
"""SHA-256 of the champion and of the candidate."""
EXIT_HOLD = 3


class Trials:
    """Pairs on the shadow topic, kept apart by who stood against whom."""

    def __init__(self, limit: int | None = None, labels: LabelBook | None = None) -> None:
        self._limit = limit
        self._labels = labels
        self._pairs: dict[Versus, Pairs] = {}
        self._names: dict[Versus, tuple[str, str]] = {}
        self._latest: dict[Versus, datetime] = {}
        self.unreadable = 0

    def take(self, value: bytes | None) -> None:
        """Count a record of the topic."""
        try:
            pair = ShadowVerdict.from_bytes(value or b"")
        except MessageInvalid:
            self.unreadable += 1
            return
        versus = (pair.champion.sha256, pair.candidate.sha256)
        pairs = self._pairs.setdefault(versus, Pairs())
        self._names[versus] = (pair.champion.version, pair.candidate.version)
        self._latest[versus] = max(pair.judged, self._latest.get(versus, pair.judged))
        if self._limit is None or pairs.n < self._limit:
            judged = None if self._labels is None else self._labels.judged(pair.outcome_id)
            pairs.take(pair, is_ai=None if judged is None else judged.is_ai)

    @property
    def newest(self) -> tuple[tuple[str, str], Pairs] | None:
        """Return the versions and pairs of the trial that was judged last."""
        versus = max(self._latest, key=self._latest.__getitem__, default=None)
        return None if versus is None else (self._names[versus], self._pairs[versus])

    @property
    def older(self) -> list[str]:
        """Name the other trials on the topic."""
        newest = max(self._latest, key=self._latest.__getitem__, default=None)
        return [f"{ours} against {theirs}" for versus, (ours, theirs) in self._names.items() if versus != newest]


def compare(
    since: Annotated[
        str | None, typer.Option(help="Only images judged from this moment on: 2h, 3d, or RFC 3339.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images.")] = None,
    min_pairs: Annotated[int, typer.Option(min=1, help="Fewer images are too few to promote on.")] = MIN_PAIRS,
    max_flip_rate: Annotated[
        float, typer.Option(min=0, max=1, help="The largest share of images that may change.")
    ] = MAX_FLIP_RATE,
    alpha: Annotated[float, typer.Option(min=1e-9, max=0.5, help="How often to hold back an equal model.")] = ALPHA,
    fail_on_hold: Annotated[
        bool, typer.Option("--fail-on-hold", help="Exit with 3 when the advice is to hold.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Print what flips between the champion and the candidate on trial, and the advice: hold, promote, or keep watching."""
    kafka, labels = read_settings().kafka, LabelBook(since=datetime.min.replace(tzinfo=UTC))
    trials = Trials(limit, labels)
    moment = None if since is None else parse_since(since)
    asyncio.run(_read(kafka, trials, labels, moment))
    if trials.newest is None:
        raise CheckFailed(
            "there is nothing to compare",
            why=f"no readable record on {topics.SHADOW_VERDICTS} in this range",
            remedy="Promote a release with --alias shadow, and run workers with DEEPTRACE_MODEL__SHADOW_RELEASE.",
        )
    versions, pairs = trials.newest
    rule = Rule(alpha=alpha, min_pairs=min_pairs, max_flip_rate=max_flip_rate)
    found = compared(pairs, rule)
    if as_json:
        print_json(_as_json(versions, pairs, found, rule))
    else:
        _show(versions, pairs, found, rule)
    for other in trials.older:
        err.print(f"left out: {printable(other)}", highlight=False, markup=False)
    if trials.unreadable:
        err.print(f"{trials.unreadable} records cannot be read", highlight=False)
    if fail_on_hold and found.advice == "hold":
        raise typer.Exit(EXIT_HOLD)


async def _read(settings: KafkaSettings, trials: Trials, labels: LabelBook, since: datetime | None) -> None:
    try:
        async for record in read_topics(settings, [topics.LABELLED]):
            with suppress(MessageInvalid):
                labels.take(Labelled.from_bytes(record.value or b""))
    except (TopicMissing, NotPermitted) as error:
        err.print(f"labels are left out: {printable(str(error))}", highlight=False, markup=False)
    async for record in read_topics(settings, [topics.SHADOW_VERDICTS], since=since):
        trials.take(record.value)


def _show(versions: tuple[str, str], pairs: Pairs, found: Comparison, rule: Rule) -> None:
    ours, theirs = map(printable, versions)
    out.print(
        f"{found.n} images, champion {ours} (rows) against candidate {theirs} (columns)", highlight=False, markup=False
    )
    out.print(flip_matrix(pairs), markup=False)
    low, high = found.flip_rate
    lines = [
        ("flips", f"{found.flips} of {found.n} ({low:.2%} to {high:.2%}, valid at any time of looking)"),
        (
            "direction",
            f"ai_generated to real {found.to_real}, real to ai_generated {found.to_ai} (e-value {found.direction_e:.3g})",
        ),
        ("labels", _labels(found)),
    ]
    if found.mean_p_ai is not None and found.largest_shift is not None:
        champion, candidate = found.mean_p_ai
        lines.append(
            (
                "p_ai",
                f"mean {champion:.4f} -> {candidate:.4f} ({candidate - champion:+.4f}), largest shift {found.largest_shift:+.4f}",
            )
        )
    for name, text in lines:
        out.print(f"{name:<11}{text}", highlight=False, markup=False, soft_wrap=True)
    out.print(f"{'advice':<11}{found.advice}: {found.why}", style="bold", highlight=False, markup=False, soft_wrap=True)
    out.print(f"{'rule':<11}{rule.text}", style="dim", highlight=False, markup=False, soft_wrap=True)


def _labels(found: Comparison) -> str:
    if not found.labelled:
        return "none: no reviewer has said what one of these images is (`deeptrace labels`), so gains and losses cannot be told apart"
    return (
        f"of {found.labelled} labelled images the candidate is right about AI or real on {found.gained} where the champion is not, "
        f"and wrong on {found.lost} where it is right (e-value {found.label_e:.3g})"
    )


def flip_matrix(pairs: Pairs) -> Table:
    """Return the counts by what the champion says (rows) and what the candidate says (columns)."""
    said = sorted({label for cell in pairs.matrix for label in cell})
    table = Table("", *map(printable, said), box=None)
    for row in said:
        counts = [pairs.matrix[row, column] for column in said]
        table.add_row(printable(row), *(str(count) if count else "." for count in counts))
    for column in table.columns[1:]:
        column.justify = "right"
    return table


def _as_json(versions: tuple[str, str], pairs: Pairs, found: Comparison, rule: Rule) -> dict[str, Any]:
    matrix: dict[str, dict[str, int]] = {}
    for (ours, theirs), count in sorted(pairs.matrix.items()):
        matrix.setdefault(ours, {})[theirs] = count
    return {
        "champion": versions[0],
        "candidate": versions[1],
        **asdict(found),
        "matrix": matrix,
        "rule": {**asdict(rule), "text": rule.text},
    }
