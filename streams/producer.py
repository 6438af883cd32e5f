"""The one way records leave this service: an idempotent producer that answers only after the broker has."""

from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    BrokerNotAvailableError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    KafkaUnavailableError,
)

from schemas.cloud_event import Headers
from schemas.errors import BrokerUnavailable
from streams.broker_errors import REFUSALS, not_permitted, unreachable
from streams.deadline import ends_within
from streams.kafka_security import client_options
from streams.settings import KafkaSettings

AWAY = (KafkaTimeoutError, KafkaUnavailableError, BrokerNotAvailableError)  # not marked retriable in aiokafka 0.14
LINGER_MS = 20  # verdicts come one by one; alone in a request each would cost the broker and us ten times as much
FLUSH_S = 5.0  # aiokafka's own stop() waits without end
MAX_BATCH_BYTES = 256 * 1024


class Producer:
    """Sends with `acks=all` and idempotence; `send` returns when the record is safe.

    Faust's own producer is not used: its `send` only queues, and its flush gives up after 0.1 s.
    """

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailable: no broker answered.
            ConfigError: the broker is not trusted, or does not accept us (`streams.broker_errors`).
        """
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._settings.bootstrap_servers,
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            linger_ms=LINGER_MS,
            max_batch_size=MAX_BATCH_BYTES,
            request_timeout_ms=int(self._settings.request_timeout_s * 1000),
            **client_options(self._settings),
        )
        try:
            await self._producer.start()
        except REFUSALS as error:
            await self._producer.stop()
            raise not_permitted(error, "write to any topic", self._settings) from error
        except KafkaConnectionError as error:
            await self._producer.stop()
            raise await unreachable(self._settings) from error

    async def send(self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers = ()) -> None:
        """Send one record and wait until the broker has it. Records of many callers share a request.

        Raises:
            BrokerUnavailable: the broker did not take it in time; it may or may not be on the topic, send it again.
            NotPermitted: the right to write was taken away. The worker ends; nothing was acknowledged, so nothing is lost.
        """
        assert self._producer is not None, "start() comes first"
        try:
            await self._producer.send_and_wait(topic, value, key=key, headers=list(headers))
        except REFUSALS as error:
            raise not_permitted(error, f"write to {topic}", self._settings) from error
        except KafkaError as error:
            if not (error.retriable or isinstance(error, AWAY)):
                raise
            raise BrokerUnavailable("the broker did not take a record", why=type(error).__name__) from error

    async def stop(self) -> None:
        """Send what is queued, then disconnect; what a broker that is away does not take in time was not acknowledged either."""
        if self._producer is not None:
            await ends_within(self._producer.stop(), FLUSH_S)
            self._producer = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
