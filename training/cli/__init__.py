"""The commands of training, which `deeptrace` finds by the entry point `deeptrace.commands`: serving does not know training.

Nothing heavy is imported here: each command imports what it needs when it runs.
"""

import typer

from training.cli import calibrate, data, evaluate, finetune, gate, train, tune


def register(app: typer.Typer) -> None:
    """Add the commands to `deeptrace`."""
    app.add_typer(data.app, name="data")
    app.command("train")(train.train)
    app.command("finetune")(finetune.finetune)
    app.command("tune")(tune.tune)
    app.command("calibrate")(calibrate.calibrate)
    app.command("evaluate")(evaluate.evaluate)
    app.command("gate")(gate.gate)
