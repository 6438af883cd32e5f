"""The checks of `deeptrace doctor`: each asks one question of one part and never raises."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from schemas.errors import DeepTraceError, UsageError
from streams import topics
from streams.assembly import make_classifier, make_store
from streams.settings import Settings

Check = Callable[[Settings], Awaitable[str]]
"""Returns what is well; raises a DeepTraceError with a remedy otherwise."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check came to."""

    name: str
    ok: bool
    detail: str
    remedy: str = ""


async def run_checks(settings: Settings, *, only: Sequence[str] | None = None) -> list[Finding]:
    """Run the checks in their order, all of them even when one fails.

    Raises:
        UsageError: `only` names a check that does not exist.
    """
    unknown = set(only or ()) - set(CHECKS)
    if unknown:
        raise UsageError(f"no such check: {', '.join(sorted(unknown))}", remedy=f"Checks are: {', '.join(CHECKS)}.")
    return [await _find(name, check, settings) for name, check in CHECKS.items() if not only or name in only]


async def _find(name: str, check: Check, settings: Settings) -> Finding:
    try:
        return Finding(name, ok=True, detail=await check(settings))
    except DeepTraceError as error:
        return Finding(name, ok=False, detail=f"{error} ({error.code})", remedy=error.remedy)
    except Exception as error:  # noqa: BLE001  # a doctor that dies of what it looks for helps nobody
        return Finding(
            name,
            ok=False,
            detail=f"{type(error).__name__}: {error}",
            remedy="This is a fault of DeepTrace: please report it.",
        )


async def _python(_settings: Settings) -> str:
    return f"Python {sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} on {sys.platform}"


async def _extensions(_settings: Settings) -> str:
    import faust
    from aiokafka.record._crecords import cutil
    from faust.streams import _CStreamIterator

    if _CStreamIterator is None or cutil is None:
        raise DeepTraceError(
            "compiled extensions are missing",
            remedy="Install wheels of faust-streaming and aiokafka for this platform.",
        )
    return f"faust-streaming {faust.__version__} and aiokafka with compiled extensions"


async def _codecs(_settings: Settings) -> str:
    from model.codecs_check import check_codecs

    return ", ".join(f"{name} {version}" for name, version in check_codecs().items())


async def _broker(settings: Settings) -> str:
    await topics.plan(settings.kafka)
    return settings.kafka.bootstrap_servers


async def _topics(settings: Settings) -> str:
    names = [spec.name for spec in topics.wanted(settings.kafka)]
    await topics.require(settings.kafka, names)
    return f"{len(names)} topics"


async def _store(settings: Settings) -> str:
    buckets = dict.fromkeys((*settings.store.image_buckets, settings.store.overlay_bucket))
    store = make_store(settings)
    try:
        missing = [bucket for bucket in buckets if not await asyncio.to_thread(store.bucket_exists, bucket)]
    finally:
        store.close()
    if missing:
        raise DeepTraceError(f"missing buckets: {', '.join(missing)}", remedy="Run `deeptrace storage init`.")
    return f"{settings.store.endpoint}, buckets {', '.join(buckets)}"


async def _checkpoint(settings: Settings) -> str:
    info = (await asyncio.to_thread(make_classifier, settings)).info
    return f"{info.version} ({info.kind}), {len(info.classes)} classes, {info.preprocess_id}"


async def _device(settings: Settings) -> str:
    import torch

    if settings.model.device == "cuda" and not torch.cuda.is_available():
        raise DeepTraceError("no CUDA device", remedy="Set DEEPTRACE_MODEL__DEVICE=auto or cpu, or install a driver.")
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return f"{name}, torch {torch.__version__}"


CHECKS: dict[str, Check] = {
    "python": _python,
    "extensions": _extensions,
    "codecs": _codecs,
    "device": _device,
    "checkpoint": _checkpoint,
    "broker": _broker,
    "topics": _topics,
    "store": _store,
}
