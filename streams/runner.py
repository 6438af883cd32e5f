"""Runs a service until it is told to stop or fails, and turns the end into an exit code."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, Protocol

import structlog

from schemas.errors import DeepTraceError

log = structlog.get_logger(__name__)

LET_GO_S = 2.0
EXIT_OK = 0
EXIT_UNEXPECTED = 70


class Service(Protocol):
    """Something with a life: started, then waited for, then stopped."""

    async def start(self) -> None:
        """Be ready to work when this returns; raise to refuse."""

    async def failed(self) -> BaseException:
        """Return only when the service cannot go on."""
        ...

    async def stop(self) -> None:
        """Finish what is in flight within the drain time, commit it, and let go of everything. Called once, also after a failed start."""


def run_service(make: Callable[[], Service]) -> int:
    """Run a service on a fresh event loop until SIGTERM or SIGINT; return the exit code. It owns the process.

    0 after an orderly stop, the error's own code when it refuses to start or fails on purpose, 70 for anything unexpected: nothing is
    lost then, since nothing unfinished was acknowledged, and a supervisor restarts the worker. Where tasks or threads of a library do not end, the
    process is left with that code at once.
    """
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        code = runner.run(_run(make))
    ends_at = time.monotonic() + LET_GO_S
    for thread in _foreign_threads():
        thread.join(max(0.0, ends_at - time.monotonic()))
    if _foreign_threads():
        _leave(code)
    return code


async def _run(make: Callable[[], Service]) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, told.set)
    service = make()
    try:
        failure = await _first(told, _lived(service))
    except DeepTraceError as error:
        failure = error
    except Exception as error:  # noqa: BLE001  # the last line of defence: said in the log, then exit 70
        failure = error
    if failure is None:
        log.info("stopping")
    else:
        _say(failure)
    with contextlib.suppress(Exception) if failure else contextlib.nullcontext():
        await service.stop()
    code = _exit_code(failure)
    log.info("stopped", exit_code=code)
    await _let_go(code)
    return code


def _exit_code(failure: BaseException | None) -> int:
    if failure is None:
        return EXIT_OK
    return failure.exit_code if isinstance(failure, DeepTraceError) else EXIT_UNEXPECTED


async def _let_go(code: int) -> None:
    """End what the service left behind; where a library does not let go (its broker hangs), end the process as it is.

    Nothing is lost by that: the service has committed what it could, and the rest was never acknowledged.
    """
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left and (await asyncio.wait(left, timeout=LET_GO_S))[1]:
        _leave(code)


def _foreign_threads() -> list[threading.Thread]:
    """Return the threads that Python would wait for at its end, without end (Faust's consumer is one)."""
    return [thread for thread in threading.enumerate() if thread is not threading.main_thread() and not thread.daemon]


def _leave(code: int) -> NoReturn:
    log.warning("left without waiting for a library that hangs", exit_code=code)
    logging.shutdown()
    os._exit(code)


async def _lived(service: Service) -> BaseException:
    await service.start()
    return await service.failed()


async def _first(told: asyncio.Event, life: Coroutine[Any, Any, BaseException]) -> BaseException | None:
    """Return what ended `life`, or None when we were told to stop first, be it during the start."""
    waiting, living = asyncio.ensure_future(told.wait()), asyncio.ensure_future(life)
    await asyncio.wait({waiting, living}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if living.done():
        return living.result()
    living.cancel()
    await asyncio.wait({living})
    return None


def _say(failure: BaseException) -> None:
    if isinstance(failure, DeepTraceError):
        log.error("failed", code=failure.code, error=failure.message, why=failure.why, remedy=failure.remedy)
    else:
        log.error("failed unexpectedly", error=type(failure).__name__, exc_info=failure)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
