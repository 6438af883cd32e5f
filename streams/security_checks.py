"""The checks of `deeptrace doctor` about who may do what: certificates, Kafka rights, and the promise that settling rests on."""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from aiokafka.conn import collect_hosts

from schemas.errors import (
    BucketMissing,
    ConfigError,
    DeepTraceError,
    NotPermitted,
    ObjectDenied,
    StoreUnavailable,
    StoreUnsupported,
)
from storage.conditional_put import conditional_put_works
from streams.assembly import make_store
from streams.broker_access import (
    Needs,
    ask,
    drift_needs,
    label_needs,
    narrator_needs,
    notice_needs,
    page_needs,
    report_needs,
    scoring_needs,
)
from streams.broker_errors import principal, unreachable
from streams.certificates import server_valid_until, valid_until
from streams.kafka_security import ssl_context
from streams.labels.switch import why_off
from streams.settings import KafkaSettings, Settings

STORE_PORT = 443
POLICIES = "`deeptrace storage policies images` and `... results` print what the store's users must be allowed to do."


async def certificates(settings: Settings) -> str:
    """Until when ours, the broker's and the store's certificates are valid; fails when ours is not."""
    found = []
    if (ours := settings.kafka.ssl_cert_file) is not None:
        end = valid_until(ours)
        if end <= datetime.now(UTC):
            raise ConfigError(
                f"our certificate {ours} has expired", why=f"it was valid until {_day(end)}", remedy="Renew it."
            )
        found.append(f"ours until {_day(end)}")
    if settings.kafka.uses_tls:
        host, port, _ = collect_hosts(settings.kafka.bootstrap_servers, randomize=False)[0]
        try:
            end = await server_valid_until(host, port, ssl_context(settings.kafka))
        except OSError as error:
            raise await unreachable(settings.kafka) from error
        found.append(f"the broker's until {_day(end)}")
    if settings.store.secure:
        found.append(f"the store's until {_day(await _store_certificate(settings))}")
    return ", ".join(found) or "none: neither broker nor store is spoken to over TLS"


async def rights(settings: Settings) -> str:
    """For which workers this Kafka user has the rights; fails when it has them for none."""
    lacking, said = {}, []
    scoring = partial(scoring_needs, shadow=settings.model.shadow_release is not None)
    roles: dict[str, Callable[[KafkaSettings], Needs]] = {
        "scoring": scoring,
        "drift": drift_needs,
        "narrator": narrator_needs,
    }
    for name, needs in ((name, of(settings.kafka)) for name, of in roles.items()):
        lacking[name] = (await ask(settings.kafka, needs.topics, needs.group)).lacking(needs)
        said.append(f"{needs.role}: {f'{len(lacking[name])} missing' if lacking[name] else 'all'}")
    if all(lacking.values()):
        nearest = min(lacking, key=lambda name: len(lacking[name]))
        raise NotPermitted(
            f"{principal(settings.kafka)} has the rights of no worker",
            why=f"for a {nearest} worker it lacks {', '.join(lacking[nearest])}",
            remedy=f"`deeptrace topics acls {nearest}` prints the commands that grant them.",
        )
    beside = {
        label_needs: why_off(settings) is None,
        notice_needs: settings.drift.tells_slack,
        report_needs: settings.drift.reports,
        page_needs: settings.ops.enabled,
    }
    for needs in (of(settings.kafka) for of, is_on in beside.items() if is_on):
        missing = (await ask(settings.kafka, needs.topics, needs.group)).lacking(needs)
        said.append(f"{needs.role}: {f'{len(missing)} missing' if missing else 'all'}")
    return ", ".join(said)


async def outcomes(settings: Settings) -> str:
    """Whether outcomes can be settled in the store, where they are to be."""
    if settings.pipeline.outcomes != "settled":
        return f"{settings.pipeline.outcomes}: the store is not needed for it"
    bucket = settings.store.outcome_bucket
    store = make_store(settings)
    try:
        works = await asyncio.to_thread(conditional_put_works, store, bucket)
    except ObjectDenied as error:
        raise ConfigError(f"outcomes cannot be settled in {bucket}", why=error.why, remedy=POLICIES) from error
    except BucketMissing as error:
        raise BucketMissing(f"missing bucket: {bucket}", remedy="Run `deeptrace storage init`.") from error
    finally:
        store.close()
    if not works:
        raise StoreUnsupported(
            "the object store has no working conditional put",
            why="of several writers with If-None-Match: * more than one wins",
            remedy="Use a store that honours it (S3, MinIO, S3Proxy 4.1), or set DEEPTRACE_PIPELINE__OUTCOMES=at_least_once.",
        )
    return f"conditional put works in {bucket}"


async def _store_certificate(settings: Settings) -> datetime:
    make_store(settings).close()  # says what is wrong with the settings
    host, _, port = settings.store.endpoint.partition(":")
    context = ssl.create_default_context(cafile=settings.store.ca_file)
    try:
        return await server_valid_until(host, int(port or STORE_PORT), context)
    except OSError as error:
        raise _store_error(error) from error


def _store_error(error: OSError) -> DeepTraceError:
    why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else error.strerror
    return StoreUnavailable(
        "there is no TLS with the object store",
        why=why or type(error).__name__,
        remedy="Check DEEPTRACE_STORE__ENDPOINT and DEEPTRACE_STORE__CA_FILE, and the server's certificate.",
    )


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d} ({(moment - datetime.now(UTC)).days} days)"
