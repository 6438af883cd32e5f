"""What a test lets a report process be, in place of the one that Evidently lives in. Spawned, so it must be importable."""

import os
import time

from streams.drift.reports.content import Rendered


def echo(pipe) -> None:
    """Answer each report with its title."""
    while True:
        try:
            content = pipe.recv()
        except EOFError:
            return
        pipe.send(Rendered(html=f"<h1>{content.title}</h1>".encode(), json=b"{}"))


def dies(pipe) -> None:
    """End at the first report, as one that runs out of memory does."""
    pipe.recv()
    os._exit(9)


def refuses(pipe) -> None:
    """Answer each report with a reason."""
    while True:
        try:
            pipe.recv()
        except EOFError:
            return
        pipe.send("ValueError: no")


def hangs(pipe) -> None:
    """Never answer."""
    pipe.recv()
    time.sleep(600)
