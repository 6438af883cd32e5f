"""The process that Evidently lives in: it costs 280 MB and some seconds to import, and nothing of it is in the drift worker.

Started by `multiprocessing` with `spawn`; it ends when its pipe does, so also when the worker was killed.
"""

import html
import os
import re
import signal
import warnings
from collections.abc import Iterator, Mapping
from itertools import repeat
from multiprocessing.connection import Connection
from typing import Any

import orjson

from streams.drift.reports.content import Content, Rendered

SOURCE = "predicted_source"
CONFIDENCE = "confidence"
OTHER_METHODS = ("psi", "jensenshannon")
_MARKUP = re.compile(r"[<>&\"'`\x00-\x1f\x7f]")
READING = "kl_div is KL(reference || current) in nats, over raw argmax counts; where a class is missing on one side, Evidently takes its share as 0.0001."


def serve(pipe: Connection) -> None:
    """Render what comes through the pipe, until it is closed. A report that fails is answered with the reason, in one line."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, which closes the pipe
    os.nice(5)  # windows come first
    while True:
        try:
            content = pipe.recv()
        except EOFError:
            return
        try:
            answer: Rendered | str = render(content)
        except Exception as error:  # noqa: BLE001  # the next report may be well
            answer = f"{type(error).__name__}: {error}".splitlines()[0][:500]
        pipe.send(answer)


def prepare() -> None:
    """Import Evidently, with its telemetry off."""
    os.environ["DO_NOT_TRACK"] = "1"
    warnings.simplefilter("ignore")  # of litestar and others in Evidently's tree; nobody reads them here
    import evidently.metrics  # noqa: F401


def render(content: Content) -> Rendered:
    """Return the report as HTML that needs no network, and as JSON: Evidently's own, with `about` beside it."""
    prepare()
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    numeric = [CONFIDENCE] if content.current_confidence is not None else []
    definition = DataDefinition(categorical_columns=[SOURCE], numerical_columns=numeric)

    def dataset(counts: Mapping[str, int], confidence: tuple[int, ...] | None) -> Any:
        columns = {SOURCE: pd.Series(list(_rows(counts)), dtype="object")}
        if confidence is not None:
            columns[CONFIDENCE] = pd.Series(list(_middles(confidence)), dtype="float64")
        return Dataset.from_pandas(pd.DataFrame(columns), data_definition=definition)

    metrics = [ValueDrift(column=SOURCE, method="kl_div", threshold=content.threshold)]
    metrics += [ValueDrift(column=SOURCE, method=method) for method in OTHER_METHODS]
    metrics += [ValueDrift(column=CONFIDENCE, method="jensenshannon") for _ in numeric]
    snapshot = Report(metrics).run(
        dataset(content.current, content.current_confidence), dataset(content.reference, content.reference_confidence)
    )
    about = {"title": content.title, **content.about, "reading": READING}
    return Rendered(
        html=_headed(snapshot.get_html_str(as_iframe=False), about).encode(),
        json=orjson.dumps({"about": about, **orjson.loads(snapshot.json())}, option=orjson.OPT_INDENT_2) + b"\n",
    )


def harmless(name: str) -> str:
    """Return a class as the page may hold it: Evidently writes names into its scripts as they come, and a verdict may name any.

    >>> harmless("stable-diffusion xl 1.0"), harmless("</script><b>")
    ('stable-diffusion xl 1.0', '?/script??b?')
    """
    return _MARKUP.sub("?", name)


def _rows(counts: Mapping[str, int]) -> Iterator[str]:
    for name, count in counts.items():
        yield from repeat(harmless(name), count)


def _middles(histogram: tuple[int, ...]) -> Iterator[float]:
    """Yield the middle of its bin for each counted image."""
    for place, count in enumerate(histogram):
        yield from ((place + 0.5) / len(histogram) for _ in range(count))


def _headed(page: str, about: Mapping[str, str]) -> str:
    """Return Evidently's page with a heading: it says nowhere what it is about."""
    title, *lines = (
        html.escape(text if name in {"title", "reading"} else f"{name}: {text}") for name, text in about.items()
    )
    heading = f'<div style="font-family: sans-serif; margin: 1.5em 2em 0"><h1 style="font-size: 1.4em">{title}</h1><p>{"<br>".join(lines)}</p></div>'
    return page.replace("<body>", f"<body>{heading}", 1).replace("</head>", f"<title>{title}</title></head>", 1)
