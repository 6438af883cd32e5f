"""`deeptrace dev`: a real broker and a real object store on loopback, without Docker."""

import typer
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from streams.cli.console import AsJson, err, out, print_json, state_dir
from streams.stack.local_stack import LocalStack, StackInfo

app = typer.Typer(no_args_is_help=True, help="Start and stop a broker and an object store on loopback.")


@app.command()
def up(as_json: AsJson = False) -> None:
    """Start broker and store, or find the ones that run already. They keep running; `dev down` stops them."""
    with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), console=err, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total or None)
            bars.update(tasks[name], completed=done, total=total or None)

        info = LocalStack(state_dir(), detached=True).up(progress=progress)
    _show(info, as_json=as_json)


@app.command()
def down() -> None:
    """Stop broker and store. Their data stays under the state folder."""
    LocalStack(state_dir()).down()


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say whether broker and store run, and where. Exits with 3 when they do not."""
    info = LocalStack(state_dir()).status()
    if info is None:
        if as_json:
            print_json({"running": False})
        else:
            out.print("not running")
        raise typer.Exit(3)
    _show(info, as_json=as_json)


def _show(info: StackInfo, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "running": True,
                "bootstrap_servers": info.bootstrap_servers,
                "s3_endpoint": info.s3_endpoint,
                "s3_access_key": info.s3_access_key,
                "s3_server": info.s3_server,
                "state_dir": str(info.state_dir),
            }
        )
        return
    out.print(f"Kafka   {info.bootstrap_servers}", highlight=False)
    out.print(f"S3      {info.s3_endpoint} ({info.s3_server}), key {info.s3_access_key}", highlight=False)
    out.print(f"State   {info.state_dir}", highlight=False)
    out.print("All deeptrace commands run from this folder use them.", style="dim")
