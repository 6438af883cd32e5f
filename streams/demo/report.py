"""The page: what `report.html.j2` lays out is made ready here, so that the template only places things."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from jinja2 import Environment, PackageLoader, StrictUndefined

from schemas.dead_letter import DeadLetter
from schemas.verdict import REAL, MemberOpinion, Verdict
from schemas.window import DriftAlert, WindowSummary
from streams.demo.figures import percent, shares
from streams.demo.gallery import Shown
from streams.demo.result import DemoResult, Judgement
from streams.demo.sending import Sent
from streams.verdict_words import why

UNDECIDED = "none"
_TEMPLATE = "report.html.j2"
_MEMBER_NAMES = {"cnn": "CNN", "vit": "ViT", "fft": "FFT"}
_VERDICT_WORDS = {
    "ai_generated": "AI-generated",
    "real": "real",
    "inconclusive": "inconclusive",
    "not_assessable": "not assessable",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One class on a scale of 0 to 1; `mark` is where the reference stands."""

    name: str
    share: float
    count: int = 0
    mark: float | None = None
    stands_out: bool = False


@dataclass(frozen=True, slots=True)
class Card:
    """One judged image."""

    shown: Shown
    judgement: Judgement
    verdict_words: str
    bars: Sequence[Bar]
    members: Sequence[MemberOpinion]

    @property
    def verdict(self) -> Verdict:
        """The verdict itself."""
        return self.shown.verdict

    @property
    def name(self) -> str:
        """The file's name."""
        return self.shown.sent.parcel.name


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter beside what was sent."""

    sent: Sent
    letter: DeadLetter

    @property
    def as_expected(self) -> bool | None:
        """Whether the code is the one it must be; None where any will do."""
        expected = self.sent.parcel.expected
        return None if expected is None else expected == self.letter.code


@dataclass(frozen=True, slots=True)
class WindowView:
    """One window with its bars and, if it drifted, its alert."""

    summary: WindowSummary
    bars: Sequence[Bar]
    alert: DriftAlert | None

    @property
    def decided(self) -> int:
        """How many images of the window have a predicted source."""
        return sum(self.summary.counts.values())


def write_report(result: DemoResult) -> None:
    """Write the page to `result.report`. It loads nothing but the pictures beside it."""
    result.report.write_text(render_report(result, made_at=datetime.now().astimezone()), encoding="utf-8")


def render_report(result: DemoResult, *, made_at: datetime) -> str:
    """Return the page. Whatever an uploader or a broker said is escaped."""
    environment = Environment(
        loader=PackageLoader("streams.demo", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = percent
    environment.filters["member"] = lambda name: _MEMBER_NAMES.get(name, name)
    cards = [_card(shown) for shown in result.shown]
    confusion = _confusion(cards)
    return environment.get_template(_TEMPLATE).render(
        result=result,
        figures=_figures(result),
        made_at=made_at,
        cards=cards,
        letters=_letters(result),
        windows=_windows(result),
        columns=_columns(result.classes, confusion),
        confusion=confusion,
        models=list({card.verdict.model.sha256: card.verdict.model for card in cards}.values()),
    )


def _figures(result: DemoResult) -> Mapping[str, str]:
    agreeing, labelled = result.agreement
    figures = {
        "references published": len(result.tally.sent),
        "verdicts": len(result.tally.verdicts),
        "dead letters": len(result.tally.dead_letters),
        "without an outcome": len(result.tally.missing),
        "published twice": result.tally.duplicate_outcomes,
        "overlays": result.overlays,
        "windows": len(result.windows),
        "drift alerts": len(result.alerts),
    }
    said = {name: str(figure) for name, figure in figures.items()}
    return said | {"name the true class": f"{agreeing} of {labelled}"} if labelled else said


def _card(shown: Shown) -> Card:
    verdict = shown.verdict
    probabilities = verdict.per_class_probs or {}
    return Card(
        shown=shown,
        judgement=Judgement.of(shown.sent, verdict),
        verdict_words=_words(verdict),
        # In the order of the model's classes, so that the eye finds a class at the same place in every card.
        bars=[
            Bar(name, probabilities[name], stands_out=name == verdict.predicted_source)
            for name in verdict.model.classes
            if name in probabilities
        ],
        members=verdict.members,
    )


def _words(verdict: Verdict) -> str:
    return _VERDICT_WORDS[verdict.verdict] + (f" ({why(verdict)})" if verdict.reasons else "")


def _columns(classes: Sequence[str], confusion: Mapping[str, Counter[str]]) -> list[str]:
    """Return the sources to have a column each: the model's classes, others that were named (`unknown_generator`), and none."""
    named = sorted({source for counts in confusion.values() for source in counts} - {UNDECIDED})
    return [*dict.fromkeys([*classes, *named]), UNDECIDED]


def _confusion(cards: Sequence[Card]) -> dict[str, Counter[str]]:
    """Count the predicted sources by label, in the order of the model's classes."""
    table: dict[str, Counter[str]] = {}
    for card in sorted(cards, key=lambda card: card.verdict.model.classes.index(card.judgement.label or REAL)):
        if card.judgement.label is not None:
            table.setdefault(card.judgement.label, Counter())[card.verdict.predicted_source or UNDECIDED] += 1
    return table


def _letters(result: DemoResult) -> list[Letter]:
    tally = result.tally
    found = [Letter(sent, letter) for sent in tally.sent.values() if (letter := tally.dead_letter_of(sent)) is not None]
    return sorted(found, key=lambda letter: letter.as_expected is not True)


def _windows(result: DemoResult) -> list[WindowView]:
    alerts = {alert.window_id: alert for alert in result.alerts}
    return [
        WindowView(
            summary,
            [
                Bar(name, share, count=summary.counts.get(name, 0), mark=reference if summary.reference else None)
                for name, share, reference in shares(summary, result.classes)
            ],
            alerts.get(summary.window_id),
        )
        for summary in result.windows
    ]
