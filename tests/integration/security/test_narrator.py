"""A narrator with the rights that the documented commands grant, and none besides, over TLS."""

import asyncio
import signal

import pytest
from aiokafka import AIOKafkaProducer
from support.fake_claude import FakeClaude
from support.kafka_admin import grant, revoke
from support.secure_world import CANARY, NARRATOR
from support.verdicts import doubtful

from schemas.topics import record_key

pytestmark = [pytest.mark.integration, pytest.mark.slow]

WRITE_EXPLANATIONS = ("Write", "topic", "deeptrace.explanations.v1")


def start(world, fake, log):
    env = {"KAFKA__SASL_USERNAME": NARRATOR, "HTTP__NARRATOR_PORT": "0"}
    env |= {"NARRATOR__API_KEY": f"{CANARY}-key", "NARRATOR__BASE_URL": fake.url}
    env |= {f"STORE__{user}{part}_KEY": "" for user in ("", "WRITE_") for part in ("ACCESS", "SECRET")}
    named = {f"DEEPTRACE_{name}": value for name, value in env.items()}
    return world.start("-m", "streams.cli", "narrate", log=log, DEEPTRACE_KAFKA__INSTANCE_ID="narrator-0", **named)


async def test_words_are_published_by_a_narrator_of_its_own_user(secured):
    """It reads verdicts and writes explanations, with the rights that are printed for it; it has no key to the store."""
    async with AIOKafkaProducer(bootstrap_servers=secured.broker.address) as producer:
        found = doubtful()
        await producer.send_and_wait(
            "deeptrace.verdicts.v1",
            found.to_bytes(),
            key=record_key(found.tenant, found.image_id),
            headers=[("ce_id", found.outcome_id.encode())],  # as a worker does: others count what lies on this topic
        )
    async with FakeClaude() as fake:
        narrator = start(secured, fake, "narrator.log")
        assert await secured.records_on("deeptrace.explanations.v1", timeout_s=60) > 0
        narrator.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(narrator.wait, 30) == 0
    assert CANARY not in (secured.folder / "narrator.log").read_text()


async def test_a_narrator_that_may_not_write_does_not_start(secured):
    """Else it would pay for words that nobody gets."""
    await revoke(secured.broker.address, f"User:{NARRATOR}", [WRITE_EXPLANATIONS])
    try:
        async with FakeClaude() as fake:
            narrator = start(secured, fake, "silent.log")
            assert await asyncio.to_thread(narrator.wait, 60) == 78
    finally:
        await grant(secured.broker.address, f"User:{NARRATOR}", [WRITE_EXPLANATIONS])
    assert fake.requests == []
    assert "it lacks Write on topic deeptrace.explanations.v1" in (secured.folder / "silent.log").read_text()
