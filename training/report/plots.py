"""Pictures of a report card as inline SVG, in the page's own colours: light or dark is the reader's choice, not the drawing's."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing

from training.report.schema import LeftOut, OpenSetFigures, Pair, SetFigures

# Matplotlib draws with placeholders, which become variables of the page.
_INK: Final = "#010203"
_FAINT: Final = "#010204"
_LINES: Final = tuple(f"#0102{number:02x}" for number in range(0x10, 0x18))
_VARIABLES: Final = {_INK: "var(--ink)", _FAINT: "var(--line)"} | {
    colour: f"var(--s{number})" for number, colour in enumerate(_LINES)
}
_DASHES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "deeptrace",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _FAINT,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
}

Named = Mapping[str, SetFigures]


def reliability(sets: Named) -> str:
    """How sure against how often right, a line a condition; the diagonal is honest."""

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=1)
        for number, (name, figures) in enumerate(sets.items()):
            bins = figures.calibration.reliability
            _line(axes, number, [(part.confidence, part.accuracy) for part in bins], name, marker="o")
        _unit(axes, "confidence", "share that is right")

    return _svg(draw, "Reliability: how often the model is right when it is so sure")


def roc(sets: Named) -> str:
    """ROC with a logarithmic axis of false positives: what matters is at its left end."""

    def draw(axes: Axes) -> None:
        least = min((1 / max(1, _photographs(figures)) for figures in sets.values()), default=0.01)
        for number, (name, figures) in enumerate(sets.items()):
            points = [(max(x, least / 2), y) for x, y in figures.roc[1:]]
            _line(axes, number, points, name, drawstyle="steps-post")
        axes.set_xscale("log")
        for rate in (0.001, 0.01):
            if rate >= least / 2:
                axes.axvline(rate, color=_FAINT, linewidth=1)
        axes.set_xlim(least / 2, 1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("photographs called AI (share, logarithmic)")
        axes.set_ylabel("generated images found (share)")
        _legend(axes)

    return _svg(draw, "ROC of real against AI")


def risk_coverage(sets: Named) -> str:
    """Share of wrong answers for every share of images that is answered, the surest first."""

    def draw(axes: Axes) -> None:
        axes.axhline(0.02, color=_FAINT, linewidth=1)
        for number, (name, figures) in enumerate(sets.items()):
            _line(axes, number, figures.which.curve, name)
        axes.set_xlim(0, 1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("share of images answered")
        axes.set_ylabel("share of answers that are wrong")
        _legend(axes)

    return _svg(draw, "Risk against coverage")


def robustness(series: Mapping[str, Sequence[tuple[str, SetFigures]]], title: str) -> str:
    """Accuracy and AUROC over the steps of one kind of laundering, with bootstrap intervals."""

    def draw(axes: Axes) -> None:
        steps: list[str] = []
        for number, (name, points) in enumerate(series.items()):
            steps = [step for step, _ in points]
            figures = [one.accuracy if name == "accuracy" else one.auroc for _, one in points]
            values = [float("nan") if one.value is None else one.value for one in figures]
            edges = [one.bootstrap_95 or (value, value) for one, value in zip(figures, values, strict=True)]
            beyond = (
                [max(0.0, value - low) for value, (low, _) in zip(values, edges, strict=True)],
                [max(0.0, high - value) for value, (_, high) in zip(values, edges, strict=True)],
            )
            axes.errorbar(
                range(len(values)),
                values,
                yerr=beyond,
                color=_LINES[number],
                linestyle=_DASHES[number],
                marker="o",
                capsize=3,
                label=name,
            )
        axes.set_xticks(range(len(steps)), steps, rotation=30, ha="right")
        axes.set_ylim(0, 1.02)
        _legend(axes)

    return _svg(draw, title)


def open_set(
    by_condition: Mapping[str, OpenSetFigures], left_out: Mapping[str, Mapping[str, LeftOut]], condition: str
) -> str:
    """AUROC of unknown against known by score: never trained on, and each generator left out of a probe."""

    def draw(axes: Axes) -> None:
        groups = {"never trained on": by_condition[condition].auroc} if condition in by_condition else {}
        groups |= {
            f"probe without {name}": parts[condition].auroc for name, parts in left_out.items() if condition in parts
        }
        scores = list(dict.fromkeys(score for table in groups.values() for score in table))
        for number, score in enumerate(scores):
            for place, table in enumerate(groups.values()):
                figure = table.get(score)
                if figure is None or figure.value is None:
                    continue
                low, high = figure.bootstrap_95 or (figure.value, figure.value)
                height = len(groups) - 1 - place + 0.22 * (1 - number)
                axes.plot([low, high], [height, height], color=_LINES[number], linewidth=1.4)
                axes.plot(
                    [figure.value], [height], color=_LINES[number], marker="osD^"[number % 4], linestyle="", label=score if place == 0 else None
                )  # fmt: skip
        axes.axvline(0.5, color=_FAINT, linewidth=1)
        axes.set_yticks(range(len(groups)), list(groups)[::-1])
        axes.set_xlim(0, 1)
        axes.set_xlabel("AUROC of unknown against known; 0.5 is chance")
        _legend(axes)

    return _svg(draw, "Open set", wide=True)


def _svg(draw: Any, title: str, *, wide: bool = False) -> str:
    """Return an SVG element with a title for readers who do not see it; equal figures give equal text."""
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type]
        drawing = Drawing(figsize=(6.4, 3.2) if wide else (4.4, 3.4), layout="constrained")
        drawing.patch.set_alpha(0)
        axes = drawing.add_subplot()
        axes.patch.set_alpha(0)
        axes.grid(visible=True, color=_FAINT, linewidth=0.5, alpha=0.6)
        draw(axes)
        target = io.StringIO()
        drawing.savefig(target, format="svg", metadata={"Date": None, "Creator": None})
    text = target.getvalue()
    body = text[text.index("<svg") :]
    for placeholder, variable in _VARIABLES.items():
        body = body.replace(placeholder, variable)
    opening, rest = body.split(">", 1)
    width, height = (6.4, 3.2) if wide else (4.4, 3.4)
    view = f'viewBox="0 0 {width * 72:g} {height * 72:g}"'
    assert view in opening
    kind = "wide" if wide else "plot"
    return f'<svg class="{kind}" role="img" aria-label="{title}" {view} xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">{rest}'


def _line(
    axes: Axes,
    number: int,
    points: Sequence[Pair],
    label: str,
    *,
    marker: str = "",
    drawstyle: Literal["default", "steps-post"] = "default",
) -> None:
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=_LINES[number % len(_LINES)],
        linestyle=_DASHES[number % len(_DASHES)],
        marker=marker,
        markersize=3,
        drawstyle=drawstyle,
        label=label,
    )


def _unit(axes: Axes, x: str, y: str) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    _legend(axes)


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc="best")


def _photographs(figures: SetFigures) -> int:
    return figures.tpr_at_fpr[0].photographs if figures.tpr_at_fpr else 1
