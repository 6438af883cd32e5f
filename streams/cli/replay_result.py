"""What `deeptrace replay` says: what there is to do, and what came of it."""

from typing import Any, Final

from rich.table import Table

from schemas.errors import DeepTraceError
from schemas.window import OVERALL
from streams.cli.compare import flip_matrix
from streams.cli.console import err, out, print_json, printable
from streams.connecting import connect_drift
from streams.rescoring.estimate import Estimate, duration
from streams.rescoring.flips import Flips
from streams.rescoring.report import keep
from streams.rescoring.run import Ending
from streams.settings import Settings

SHOWN: Final = 40


def keep_report(settings: Settings, name: str, said: dict[str, Any]) -> None:
    """Store the report, or say why that cannot be done: a replay does not fail of it."""
    store = connect_drift(settings.store)
    try:
        key = keep(store, settings.store.drift_bucket, name, said)
    except DeepTraceError as error:
        err.print(f"the report is not kept: {error}", highlight=False, markup=False, soft_wrap=True)
    else:
        err.print(f"report: s3://{settings.store.drift_bucket}/{key}", highlight=False, markup=False, soft_wrap=True)
    finally:
        store.close()


def say_estimate(name: str, rate: float | None, found: Estimate, *, as_json: bool) -> None:
    """Say how many verdicts there are to judge again, and how long that takes at least."""
    seconds = found.seconds(rate)
    if as_json:
        print_json(
            {
                "name": name,
                "matching": found.matching,
                "by_model": dict(found.by_model.most_common()),
                "unreadable": found.unreadable,
                "seconds": seconds,
            }
        )
        return
    by_model = ", ".join(f"{printable(version)} {count}" for version, count in found.by_model.most_common())
    least = "" if seconds is None else f"; at {rate:g} a second they take {duration(seconds)} at least"
    text = f"{found.matching} verdicts to judge again" + (f" ({by_model})" if by_model else "") + least
    err.print(text, highlight=False, markup=False, soft_wrap=True)


def show_report(said: dict[str, Any], flips: Flips, ending: Ending, *, as_json: bool) -> None:
    """Print the counts, then the flip matrix, then whether there is more to do."""
    if as_json:
        print_json({**said, "ending": ending})
    else:
        codes = ", ".join(f"{code} {count}" for code, count in said["failed"].items())
        low, high = said["flip_rate"]
        for what, text in (
            ("replayed", str(said["replayed"])),
            ("failed", f"{sum(said['failed'].values())}" + (f": {codes}" if codes else "")),
            ("left out", f"{said['left_out']}, repeated {said['repeated']}, unreadable {said['unreadable']}"),
            *([("expired", f"{said['expired']} that the broker dropped between two runs")] if said["expired"] else []),
            ("flips", f"{said['flips']} of {said['compared']} ({low:.2%} to {high:.2%})"),
            ("direction", f"ai_generated to real {said['to_real']}, real to ai_generated {said['to_ai']}"),
            ("labels", _labels(said)),
        ):
            out.print(printable(f"{what:<11}{text}"), highlight=False, markup=False, soft_wrap=True)
        if flips.pairs.n:
            versions = ", ".join(map(printable, said["before"]))
            out.print(
                f"{versions} (rows) against {printable(said['judge']['version'])} (columns)",
                highlight=False,
                markup=False,
            )
            out.print(flip_matrix(flips.pairs), markup=False)
        if said.get("windows"):
            out.print(_windows(said), markup=False)
    if ending != "complete":
        err.print(f"not at the end: the same command goes on with {said['name']}", highlight=False, markup=False)


def _labels(said: dict[str, Any]) -> str:
    if not said["labelled"]:
        return "none: no reviewer has said what one of these images is (`deeptrace labels`)"
    return (
        f"of {said['labelled']} labelled images the new model is right about AI or real on {said['gained']} where the old verdict is not, "
        f"and wrong on {said['lost']} where it is right (e-value {said['label_e']:.3g})"
    )


def _windows(said: dict[str, Any]) -> Table:
    """Return the windows over all tenants: how many of the decided are AI, before and after, and the share corrected for prevalence."""
    table = Table("window", "images", "AI before", "AI after", "corrected", box=None)
    rows = [one for one in said["windows"] if one["after"]["tenant"] == OVERALL]
    for one in rows[:SHOWN]:
        after = one["after"]
        correction = after.get("correction", {})
        ai = correction.get("ai")
        corrected = (
            correction.get("status", "") if ai is None else f"{ai['value']:.1%} ({ai['low']:.1%} to {ai['high']:.1%})"
        )
        table.add_row(after["start"], str(after["images"]), _ai(one["before"]), _ai(after["verdicts"]), corrected)
    if len(rows) > SHOWN:
        table.add_row(f"and {len(rows) - SHOWN} more: --json, or the report")
    return table


def _ai(verdicts: dict[str, int]) -> str:
    ai, real = verdicts.get("ai_generated", 0), verdicts.get("real", 0)
    return f"{ai / (ai + real):.1%}" if ai + real else "-"
