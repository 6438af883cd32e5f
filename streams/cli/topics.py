"""`deeptrace topics`: what the broker should have, and has."""

import asyncio
from typing import Annotated, Literal

import typer
from rich.table import Table

from streams import topics
from streams.broker_access import (
    drift_needs,
    kafka_acls,
    label_needs,
    narrator_needs,
    notice_needs,
    page_needs,
    replay_needs,
    report_needs,
    scoring_needs,
)
from streams.cli.console import AsJson, out, print_json
from streams.cli.console import settings as read_settings
from streams.labels.switch import why_off

app = typer.Typer(no_args_is_help=True, help="Plan and create the topics, and show what rights a worker needs on them.")
NEEDS = {"drift": drift_needs, "narrator": narrator_needs, "replay": replay_needs}


@app.command()
def plan(as_json: AsJson = False) -> None:
    """Show each topic and what `apply` would do. Changes nothing."""
    _show(asyncio.run(topics.plan(read_settings().kafka)), missing="create", as_json=as_json)


@app.command()
def apply(as_json: AsJson = False) -> None:
    """Create the topics that are missing. Existing topics are never changed."""
    _show(asyncio.run(topics.apply(read_settings().kafka)), missing="none (somebody else created it)", as_json=as_json)


@app.command()
def acls(
    worker: Annotated[Literal["scoring", "drift", "narrator", "replay"], typer.Argument(help="Whose rights.")],
    principal: Annotated[str, typer.Option(help="Kafka user of the worker.")] = "User:deeptrace-worker",
) -> None:
    """Print the kafka-acls commands that give a worker the rights it needs, and no other."""
    settings = read_settings()
    kafka = settings.kafka
    shadow = settings.model.shadow_release is not None
    needs = [scoring_needs(kafka, shadow=shadow) if worker == "scoring" else NEEDS[worker](kafka)]
    if worker == "drift" and why_off(settings) is None:
        needs.append(label_needs(kafka))
    if worker == "drift" and settings.drift.tells_slack:
        needs.append(notice_needs(kafka))
    if worker == "drift" and settings.drift.reports:
        needs.append(report_needs(kafka))
    if worker == "drift" and settings.ops.enabled:
        needs.append(page_needs(kafka))
    for command in (line for one in needs for line in kafka_acls(one, principal, kafka.bootstrap_servers)):
        out.print(command, highlight=False, markup=False, soft_wrap=True)


def _show(states: list[topics.TopicState], *, missing: str, as_json: bool) -> None:
    rows = [(state, _action(state, missing)) for state in states]
    if as_json:
        for state, action in rows:
            print_json(
                {
                    "topic": state.spec.name,
                    "partitions": state.spec.partitions,
                    "present": state.partitions,
                    "action": action,
                }
            )
        return
    table = Table("topic", "partitions", "there", "action", box=None)
    for state, action in rows:
        table.add_row(state.spec.name, str(state.spec.partitions), str(state.partitions or "-"), action)
    out.print(table)


def _action(state: topics.TopicState, missing: str) -> str:
    if state.created:
        return "created"
    if state.partitions is None:
        return missing
    return "none" if state.partitions == state.spec.partitions else "none (partition count differs)"
