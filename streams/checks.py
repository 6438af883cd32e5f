"""The checks of `deeptrace doctor`: each asks one question of one part and never raises."""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from model.policy import DEFAULT_POLICY
from schemas.errors import (
    BucketMissing,
    ConfigError,
    DeepTraceError,
    ObjectDenied,
    ReleaseMissing,
    StoreUnavailable,
    TopicMissing,
    UsageError,
)
from streams import topics
from streams.assembly import make_classifier, make_decoders, make_registry, make_store
from streams.broker_access import ask
from streams.kafka_security import introduction
from streams.narrator.check import narrator
from streams.releases.name import ReleaseName
from streams.releases.registry import Registry
from streams.security_checks import POLICIES, certificates, outcomes, rights
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
    """Run the checks in their order, all of them even when one fails; that of the narrator only where it has a key, or is asked for.

    Raises:
        UsageError: `only` names a check that does not exist.
    """
    unknown = set(only or ()) - set(CHECKS)
    if unknown:
        raise UsageError(f"no such check: {', '.join(sorted(unknown))}", remedy=f"Checks are: {', '.join(CHECKS)}.")
    wanted = only or [name for name in CHECKS if name != "narrator" or settings.narrator.is_on]
    return [await _find(name, check, settings) for name, check in CHECKS.items() if name in wanted]


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


async def _decoders(settings: Settings) -> str:
    pool = make_decoders(settings, DEFAULT_POLICY.preprocess_id)
    try:
        await asyncio.to_thread(pool.warm_up)
        sandboxed = pool.sandboxed
    finally:
        await asyncio.to_thread(pool.close)
    if sandboxed:
        return "every format decodes in a process that can open no file, connection or program"
    return f"every format decodes, but without a sandbox (DEEPTRACE_DECODE__SANDBOX={settings.decode.sandbox} on {sys.platform})"


async def _broker(settings: Settings) -> str:
    await topics.plan(settings.kafka)
    return f"{settings.kafka.bootstrap_servers} {introduction(settings.kafka)}"


async def _topics(settings: Settings) -> str:
    names = [spec.name for spec in topics.wanted(settings.kafka)]
    found = await ask(settings.kafka, names)
    if found.missing:
        raise TopicMissing(
            f"missing topics: {', '.join(sorted(found.missing))}", remedy="Run `deeptrace topics apply`."
        )
    hidden = f"; this user may not see {', '.join(sorted(found.hidden))}" if found.hidden else ""
    return f"{len(names) - len(found.hidden)} topics{hidden}"


async def _store(settings: Settings) -> str:
    buckets = settings.store.buckets
    if settings.pipeline.outcomes != "settled":
        buckets = tuple(bucket for bucket in buckets if bucket != settings.store.outcome_bucket)
    store = make_store(settings)
    try:
        missing = [bucket for bucket in buckets if not await asyncio.to_thread(store.bucket_exists, bucket)]
    except ObjectDenied as error:
        raise ConfigError(
            "the object store does not let its user ask for a bucket", why=str(error), remedy=POLICIES
        ) from error
    except StoreUnavailable as error:
        tls = "" if settings.store.secure else " If it speaks TLS, set DEEPTRACE_STORE__SECURE=true."
        remedy = error.remedy or f"Start the store, or correct DEEPTRACE_STORE__ENDPOINT.{tls}"
        raise StoreUnavailable(error.message, why=error.why, remedy=remedy) from error
    finally:
        store.close()
    if missing:
        raise BucketMissing(f"missing buckets: {', '.join(missing)}", remedy="Run `deeptrace storage init`.")
    scheme, users = "https" if settings.store.secure else "http", "two users" if settings.store.has_second_user else ""
    return ", ".join(filter(None, [f"{scheme}://{settings.store.endpoint}", users, f"buckets {', '.join(buckets)}"]))


async def _checkpoint(settings: Settings) -> str:
    info = (await asyncio.to_thread(make_classifier, settings)).info
    return f"{info.version} ({info.kind}), {len(info.classes)} classes, {info.preprocess_id}"


async def _release(settings: Settings) -> str:
    names = [text for text in (settings.model.release, settings.model.shadow_release) if text is not None]
    if not names:
        return "none configured: the checkpoint is a file"
    registry = make_registry(settings)
    try:
        return ", ".join([await asyncio.to_thread(_pointed_at, registry, ReleaseName.parse(text)) for text in names])
    finally:
        registry.close()


def _pointed_at(registry: Registry, name: ReleaseName) -> str:
    try:
        found = registry.resolve(name)
    except ReleaseMissing:
        if name.alias != "shadow":
            raise
        return f"{name} is at nothing: no candidate is on trial"
    return f"{name} is {found.version} ({found.kind}, {found.preprocess_id})"


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
    "decoders": _decoders,
    "device": _device,
    "release": _release,
    "checkpoint": _checkpoint,
    "certificates": certificates,
    "broker": _broker,
    "topics": _topics,
    "rights": rights,
    "store": _store,
    "outcomes": outcomes,
    "narrator": narrator,
}
