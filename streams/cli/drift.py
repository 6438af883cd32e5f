"""`deeptrace drift`: what counts as normal, and whether traffic still is."""

import typer

from streams.cli import drift_check, drift_recount, drift_reference, drift_report

app = typer.Typer(no_args_is_help=True, help="Drift references, checks and reports.")
app.command("check")(drift_check.check)
app.command("report")(drift_report.report)
app.command("recount")(drift_recount.recount)
app.add_typer(drift_reference.app, name="reference")
