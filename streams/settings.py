"""Every setting of the service, with its default and its reason. `streams.settings_sources` reads them; nothing else reads the environment."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from schemas.verdict import REAL

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A group of settings; a name that does not exist is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class KafkaSettings(Section):
    """Where the broker is and how this worker stands in its group."""

    bootstrap_servers: str = Field(default="127.0.0.1:9092", description="comma-separated `host:port` list")
    group: str = Field(
        default="deeptrace-scoring", description="consumer group of the scoring workers; changing it replays the topic"
    )
    drift_group: str = Field(default="deeptrace-drift", description="consumer group of the drift workers")
    instance_id: str | None = Field(
        default=None,
        description="stable name of this worker slot (static membership): a restart goes on at once instead of after the session timeout",
    )
    session_timeout_s: Positive = Field(default=45, description="the group drops a silent worker after this")
    request_timeout_s: Positive = Field(default=60, description="a broker request fails after this")
    partitions: Count = Field(
        default=8, description="partitions `topics apply` creates: the most workers that can share the load"
    )
    replication_factor: Count = Field(default=1, description="replicas `topics apply` creates; 3 in production")

    @model_validator(mode="after")
    def _request_outlasts_session(self) -> "KafkaSettings":
        if self.session_timeout_s > self.request_timeout_s:
            raise ValueError("session_timeout_s must not exceed request_timeout_s")
        return self


class StoreSettings(Section):
    """The object store (any S3 server)."""

    endpoint: str = Field(default="127.0.0.1:9000", description="`host:port` of the S3 server")
    access_key: SecretStr = Field(default=SecretStr(""), description="S3 access key")
    secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key")
    secure: bool = Field(default=False, description="talk TLS")
    ca_file: Path | None = Field(default=None, description="PEM file of the CA that signed the server's certificate")
    region: str = Field(default="us-east-1", description="S3 region")
    image_buckets: tuple[str, ...] = Field(
        default=("deeptrace-images",), description="buckets that references may name; nothing else is read"
    )
    overlay_bucket: str = Field(default="deeptrace-overlays", description="bucket the overlays are written to")
    overlay_prefix: str = Field(
        default="overlays/", description="key prefix of the overlays; notifications about it are ignored"
    )
    fetch_threads: Count = Field(default=8, description="parallel requests to the store")
    connect_timeout_s: Positive = Field(default=2, description="TCP connect to the store")
    read_timeout_s: Positive = Field(default=10, description="one read from the store")
    deadline_s: Positive = Field(default=20, description="a whole request to the store, body included")
    max_bytes: Count = Field(default=32 * 1024 * 1024, description="largest object that is fetched")


class ModelSettings(Section):
    """Which checkpoint judges, and on what."""

    classifier: Literal["ensemble", "fake", "null"] = Field(
        default="ensemble", description="`fake` and `null` judge nothing: they serve load tests and benchmarks"
    )
    checkpoint: Path | None = Field(
        default=None, description="safetensors file; unset: the demo checkpoint in the package"
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = Field(
        default=None, description="refuse any other checkpoint file"
    )
    allow_simulated: bool = Field(
        default=False,
        description="let a worker judge with a checkpoint trained on simulated images (the demo does); such verdicts mean nothing",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` takes a CUDA device where there is one"
    )
    threads: Count = Field(default=os.cpu_count() or 1, description="CPU threads of the model")
    max_batch: Count = Field(default=32, description="most images judged at once")


class DecodeSettings(Section):
    """The processes that decode untrusted bytes, and their limits."""

    processes: Count = Field(default=max(1, (os.cpu_count() or 2) // 2), description="decoder processes")
    timeout_s: Positive = Field(default=5, description="wall-clock limit for one image")
    memory_bytes: Count = Field(default=1024**3, description="address space of a decoder process")
    max_pixels: Count = Field(default=40_000_000, description="largest image, width times height")


class PipelineSettings(Section):
    """How many references are worked on at once, and when a verdict is inconclusive."""

    in_flight: Count = Field(default=128, description="references worked on at once; bounds the worker's memory")
    attempts: Count = Field(
        default=4, description="tries for a transient error of one object before it is a dead letter"
    )
    retry_first_s: Positive = Field(default=0.2, description="wait before the second try; doubles, with jitter")
    retry_last_s: Positive = Field(default=5, description="longest wait between tries")
    dependency_wait_s: Positive = Field(
        default=30, description="longest wait between probes of a store or broker that is down"
    )
    dependency_give_up_s: Positive = Field(
        default=1800,
        description="a worker whose store or broker stays away longer ends with exit 75, for its supervisor to restart",
    )
    object_wait_s: Positive = Field(
        default=60,
        description="a store that fails on one object this long while it serves others: the object is at fault",
    )
    min_confidence: Share = Field(
        default=0.6, description="a verdict with less calibrated confidence is `inconclusive`"
    )
    drain_s: Positive = Field(default=20, description="time to finish what is in flight after SIGTERM")


class DriftSettings(Section):
    """Windows over verdicts, and when they count as drifted."""

    window_s: Positive = Field(default=300, description="length of a window, in event time")
    allowed_lateness_s: Annotated[float, Field(ge=0)] = Field(
        default=60, description="how far behind the newest event a verdict still counts"
    )
    idle_close_s: Positive = Field(default=60, description="without traffic for this long the open windows close")
    max_future_s: Positive = Field(default=300, description="event times further ahead of the clock are not counted")
    max_past_s: Positive = Field(default=7 * 86400, description="event times further behind the clock are not counted")
    threshold: Positive = Field(default=0.25, description="KL(current || reference) in nats that raises an alert")
    min_images: Count = Field(default=100, description="fewer decided images in a window raise no alert")
    reference: dict[str, Share] | None = Field(
        default=None, description="share of each class in normal times, as JSON; unset: no divergence, no alert"
    )
    reference_file: Path | None = Field(default=None, description="the same from a JSON file")

    @model_validator(mode="after")
    def _one_reference_that_sums_to_one(self) -> "DriftSettings":
        if self.reference is not None:
            if self.reference_file is not None:
                raise ValueError("give reference or reference_file, not both")
            if abs(sum(self.reference.values()) - 1) > 1e-6:  # noqa: PLR2004  # six digits, as on the wire
                raise ValueError(f"reference must sum to 1, sums to {sum(self.reference.values()):.6f}")
            if REAL not in self.reference:
                raise ValueError(f"reference must name the class {REAL!r}")
        return self


class HttpSettings(Section):
    """`/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="address to listen on; `0.0.0.0` in a container")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=6066, description="port of the scoring worker; 0 picks a free one"
    )
    drift_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=6067, description="port of the drift worker; 0 picks a free one"
    )


class LogSettings(Section):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is written"
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: console on a terminal, JSON elsewhere"
    )


class Settings(Section):
    """All of it. Immutable: read once at start, handed down as an argument."""

    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    model: ModelSettings = ModelSettings()
    decode: DecodeSettings = DecodeSettings()
    pipeline: PipelineSettings = PipelineSettings()
    drift: DriftSettings = DriftSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
