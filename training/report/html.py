"""The report card as one HTML file: no script, nothing fetched, pictures inline and a table beside each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from training.conditions import CLEAN, JPEG, LAUNDERED, RESIZE, SCREENSHOT, WEBP
from training.report import plots
from training.report.examples import Shown
from training.report.schema import REPORT, REPORT_HTML, Figure, Promise, Report, SetFigures

UNDEFINED = TO = "\N{EN DASH}"
_EXACT_FROM: Final = 200  # images, from which a third digit is more than noise
_SMALL: Final = 0.095  # under it a percentage gets a digit
_KINDS: Final = {JPEG: "JPEG quality", WEBP: "WebP quality", RESIZE: "Resize"}


def write_report(report: Report, shown: Sequence[Shown], out: Path) -> tuple[Path, Path]:
    """Write report.json and report.html into a folder, and return their paths."""
    out.mkdir(parents=True, exist_ok=True)
    files = out / REPORT, out / REPORT_HTML
    files[0].write_text(report.to_json(), encoding="utf-8")
    files[1].write_text(render(report, shown), encoding="utf-8")
    return files


def render(report: Report, shown: Sequence[Shown]) -> str:
    """Return the HTML of a report; equal reports give equal text."""
    environment = Environment(
        loader=PackageLoader("training.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": figure, "edges": edges, "percent": percent, "number": number, "marked": marked}
    return environment.get_template("card.html.j2").render(
        r=report,
        test=report.sets["test"],
        laundered=report.sets["test"][LAUNDERED],
        conditions={"laundered": LAUNDERED, "clean": CLEAN},
        others={name: parts for name, parts in report.sets.items() if name != "test"},
        pictures=pictures(report),
        shown=shown,
        promises=promises(report),
        simulated=report.checkpoint.kind == "demo_simulated",
        class_short={name: name.replace("_", " ") for name in report.checkpoint.classes},
    )


def promises(report: Report) -> list[tuple[str, Promise]]:
    """Return every promised rate on the test images that arrive as those of the calibration did, with words for it."""
    rules = report.checkpoint.abstention
    figures = report.sets["test"].get(rules["fitted_on"]) if rules else None
    if figures is None or figures.decisions is None:
        return []
    decisions, sets = figures.decisions, figures.label_sets
    found = {
        "photographs called AI": decisions.false_positive_rate,
        "generated images called real": decisions.false_negative_rate,
        "images of known classes called novel": decisions.false_rejection_rate,
        "label sets without the true class": sets.missed if sets else None,
    }
    return [(words, one) for words, one in found.items() if one is not None]


def pictures(report: Report) -> dict[str, str]:
    """Return every picture of a report as SVG, by name."""
    test = report.sets["test"]
    main = {name: test[name] for name in (CLEAN, LAUNDERED)}
    hard = {name: test[name] for name in _hardest(test)}
    found = {
        "reliability": plots.reliability(main),
        "reliability_hard": plots.reliability(hard),
        "roc": plots.roc(main | {f"{split}, {LAUNDERED}": parts[LAUNDERED] for split, parts in report.sets.items() if split != "test"}),
        "risk_coverage": plots.risk_coverage(main | hard),
    }  # fmt: skip
    for prefix, title in _KINDS.items():
        steps = [("none", test[CLEAN]), *((name.removeprefix(prefix), one) for name, one in test.items() if name.startswith(prefix))]  # fmt: skip
        if len(steps) > 1:
            found[f"robustness_{prefix}"] = plots.robustness({"accuracy": steps, "AUROC": steps}, title)
    if report.open_set or report.left_out:
        found["open_set"] = plots.open_set(report.open_set, report.left_out, LAUNDERED)
    return found


def figure(value: Figure | None, n: int = _EXACT_FROM) -> str:
    """Return a figure in as many digits as its images allow; a dash where it is undefined."""
    return UNDEFINED if value is None else number(value.value, n)


def number(value: float | None, n: int = _EXACT_FROM) -> str:
    """Return a number without a leading zero's noise: two digits for few images, three for more."""
    return UNDEFINED if value is None else f"{value:.{3 if n >= _EXACT_FROM else 2}f}"


def edges(value: Figure | None) -> str:
    """Return the interval that takes units as a whole, else Wilson's; nothing where there is none."""
    pair = None if value is None else interval_of(value)
    return "" if pair is None else f"{pair[0]:.2f}{TO}{pair[1]:.2f}"


def interval_of(value: Figure) -> tuple[float, float] | None:
    """Return the bootstrap's interval, or Wilson's where none or all of the images count: drawing them again then gives no width."""
    if value.bootstrap_95 is None or (value.wilson_95 is not None and value.bootstrap_95[0] == value.bootstrap_95[1]):
        return value.wilson_95
    return value.bootstrap_95


def marked(text: str) -> Markup:
    """Return a remark with what stands between backticks as code."""
    parts = [escape(part) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part for number, part in enumerate(parts)
    )


def percent(value: float | None) -> str:
    """Return a share in percent: one digit under 10 %, none above."""
    if value is None:
        return UNDEFINED
    return f"{100 * value:.{0 if value >= _SMALL else 1}f}".removesuffix(".0") + " %"


def _hardest(test: Mapping[str, SetFigures]) -> list[str]:
    """Return the last step of each kind of laundering."""
    last = {prefix: name for prefix in _KINDS for name in test if name.startswith(prefix)}
    return [*last.values(), *(name for name in (SCREENSHOT,) if name in test)]
