"""`deeptrace config`: what is configured, and where each value came from."""

import typer
from rich.table import Table

from streams.cli.console import AsJson, load_settings, out, print_json
from streams.settings_sources import known_settings

app = typer.Typer(no_args_is_help=True, help="Show the configuration.")
MASK = "********"


@app.command()
def show(as_json: AsJson = False) -> None:
    """Print every setting with its value and origin; secrets are masked."""
    loaded = load_settings()
    table = Table("setting", "value", "origin", box=None)
    for known in known_settings():
        name = f"{known.section}.{known.name}"
        value = getattr(getattr(loaded.settings, known.section), known.name)
        shown = (MASK if value.get_secret_value() else "") if known.is_secret else value
        origin = loaded.origins.get(name, "default")
        if as_json:
            print_json({"setting": name, "value": shown, "origin": origin, "variable": known.env_name})
        table.add_row(name, "" if shown is None else str(shown), origin)
    if not as_json:
        out.print(table, markup=False)
