"""`deeptrace data`: labelled images as files and a manifest, split by group, and audited for shortcuts."""

import typer

from training.cli import data_audit, data_listing, data_making

app = typer.Typer(no_args_is_help=True, help="Images for training: simulate, download, list, split, audit.")
app.command("simulate")(data_making.simulate)
app.command("download")(data_making.download)
app.command("manifest")(data_listing.manifest)
app.command("split")(data_listing.split)
app.command("audit")(data_audit.audit)
