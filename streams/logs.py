"""Structured logs on standard error: one JSON object a line in containers, colours on a terminal. Ids and codes only, never keys.

Of an exception its type and the places in the code are written. Its text and the local variables are not: they hold what was being
worked on, such as keys and bodies of records.
"""

import logging
import sys
from typing import Any, TextIO

import structlog

from streams.settings import LogSettings

TEXTS = ("exc_value", "exc_notes", "syntax_error")
_transform = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)


def configure_logs(settings: LogSettings) -> None:
    """Send our own and the libraries' log lines through one formatter."""
    as_json = settings.format == "json" or (settings.format == "auto" and not sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = structlog.dev.ConsoleRenderer(exception_formatter=_write_stacks)
    if as_json:
        shared.append(structlog.processors.ExceptionRenderer(_stacks))
        renderer = structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for chatty in ("aiokafka", "anthropic", "asyncio", "faust", "httpcore2", "httpx2", "mode", "urllib3"):
        logging.getLogger(chatty).setLevel(max(level, logging.WARNING))


def _stacks(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
    return _without_texts(_transform(exc_info))


def _without_texts(stacks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for stack in stacks:
        for text in TEXTS:
            stack.pop(text, None)
        for group in stack.get("exceptions", ()):  # of an exception group: one list of stacks for each of its errors
            _without_texts(group)
    return stacks


def _write_stacks(sio: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
    _write(sio, _stacks(exc_info), indent="")


def _write(sio: TextIO, stacks: list[dict[str, Any]], *, indent: str) -> None:
    for stack in stacks:
        sio.write(f"\n{indent}{stack['exc_type']}")
        sio.writelines(
            f'\n{indent}  File "{frame["filename"]}", line {frame["lineno"]}, in {frame["name"]}'
            for frame in stack["frames"]
        )
        for group in stack.get("exceptions", ()):
            _write(sio, group, indent=f"{indent}  ")
