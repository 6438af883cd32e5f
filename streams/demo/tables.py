"""The tables at the end of the demo, for a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from schemas.window import WindowSummary
from streams.demo.figures import percent, shares
from streams.demo.result import DemoResult, Judgement

_BAR_CELLS = 24
_OTHER_CELLS = 52  # of the widest table, beside the name
_LEAST_NAME_CELLS = 28


def print_tables(result: DemoResult, out: Console) -> None:
    """Print verdicts, dead letters, windows."""
    name_cells = max(_LEAST_NAME_CELLS, out.width - _OTHER_CELLS)
    _print(out, f"Verdicts ({len(result.shown)})", _verdicts(result, name_cells))
    _print(out, f"Dead letters ({len(result.tally.dead_letters)})", _dead_letters(result, name_cells))
    for window in result.windows:
        _print(out, _window_title(window, result), _window(window, result))


def _print(out: Console, title: str, table: Table) -> None:
    out.print()
    out.print(Text(title, style="bold"), soft_wrap=True)
    out.print(table)


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, collapse_padding=True, header_style="dim")


def _verdicts(result: DemoResult, name_cells: int) -> Table:
    table = _table("image", "is", "predicted source", "confidence", "ms")
    for column in table.columns[3:]:
        column.justify = "right"
    for shown in result.shown:
        verdict, judgement = shown.verdict, Judgement.of(shown.sent, shown.verdict)
        colour = {True: "green", False: "red", None: ""}[judgement.agrees]
        table.add_row(
            Text(_short(shown.sent.parcel.name, name_cells)),
            judgement.label or "",
            Text(verdict.predicted_source or verdict.verdict, style=colour),
            "" if verdict.confidence is None else percent(verdict.confidence),
            f"{verdict.timing.processing_ms:.0f}",
        )
    return table


def _dead_letters(result: DemoResult, name_cells: int) -> Table:
    table = _table("image or message", "code", "stage", "tries")
    for sent in result.tally.sent.values():
        letter = result.tally.dead_letter_of(sent)
        if letter is not None:
            name = Text(_short(sent.parcel.name, name_cells))
            table.add_row(name, Text(letter.code), Text(letter.stage), str(letter.attempts))
    return table


def _window_title(window: WindowSummary, result: DemoResult) -> str:
    kl = window.kl_current_reference_nats
    said = "too few images for a divergence" if kl is None else f"KL(window || reference) {kl:.3f} nats"
    alert = next((alert for alert in result.alerts if alert.window_id == window.window_id), None)
    if alert is not None:
        said += f"\nDrift alert: over {alert.threshold}; more {alert.most_grown}, less {alert.most_shrunk}"
    undecided = f", {window.undecided} undecided" if window.undecided else ""
    decided = f"{sum(window.counts.values())} decided{undecided}"
    return f"Window {window.start:%H:%M:%S} to {window.end:%H:%M:%S} UTC: {decided}, {said}"


def _window(window: WindowSummary, result: DemoResult) -> Table:
    table = _table("class", "window", "", "reference", "")
    for column in (table.columns[2], table.columns[4]):
        column.justify = "right"
    for name, share, reference in shares(window, result.classes):
        table.add_row(Text(name), _bar(share), percent(share), _bar(reference), percent(reference))
    return table


def _bar(share: float) -> str:
    return "█" * round(share * _BAR_CELLS)


def _short(name: str, cells: int) -> str:
    return name if len(name) <= cells else f"…{name[1 - cells :]}"
