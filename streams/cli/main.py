"""`deeptrace`: one command line for producers, operators and the curious."""

from importlib.metadata import entry_points
from operator import attrgetter
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from schemas.errors import DeepTraceError
from streams.cli import (
    audit,
    classify,
    config,
    demo,
    dev,
    dlq,
    doctor,
    drift,
    explain,
    labels,
    model,
    narrator,
    outcome,
    publish,
    replay_history,
    storage,
    topics,
    verify,
    watch,
    workers,
)
from streams.cli.console import print_error, print_unexpected

EXIT_UNEXPECTED = 70
TYPERS_OWN = (typer.Exit, typer.Abort, typer.TyperException, BrokenPipeError)  # it gives them their exit codes


class ReportingGroup(TyperGroup):
    """Turns an error of our tree into three lines and its exit code, any other into one line and 70; `--debug` shows the traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except DeepTraceError as error:
            if ctx.params.get("debug"):
                raise
            print_error(error)
            ctx.exit(error.exit_code)
        except TYPERS_OWN:
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            print_unexpected(error)
            ctx.exit(EXIT_UNEXPECTED)


app = typer.Typer(
    name="deeptrace",
    cls=ReportingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Tells for every uploaded image which generator made it, or that it is a photograph, and shows why.",
)


@app.callback()
def options(debug: Annotated[bool, typer.Option(help="Show tracebacks.")] = False) -> None:
    """Take the options that all commands share."""


app.command("demo")(demo.demo)
app.command("classify")(classify.classify)
app.command("explain")(explain.explain)
app.command("publish")(publish.publish)
app.command("watch")(watch.watch)
app.command("worker")(workers.worker)
app.command("drift-worker")(workers.drift_worker)
app.command("narrate")(narrator.narrate)
app.command("doctor")(doctor.doctor)
app.command("replay")(replay_history.replay)
app.command("audit")(audit.audit)
app.command("outcome")(outcome.outcome)
app.command("verify")(verify.verify)
app.add_typer(dev.app, name="dev")
app.add_typer(topics.app, name="topics")
app.add_typer(storage.app, name="storage")
app.add_typer(dlq.app, name="dlq")
app.add_typer(model.app, name="model")
app.add_typer(labels.app, name="labels")
app.add_typer(drift.app, name="drift")
app.add_typer(config.app, name="config")
for plugin in sorted(entry_points(group="deeptrace.commands"), key=attrgetter("name")):
    plugin.load()(app)


def run() -> None:
    """Entry point of the `deeptrace` script."""
    app()
