"""Every setting of the service, with its default and its reason. `streams.settings_sources` reads them; nothing else reads the environment."""

import os
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from schemas.release import ALIASES, RELEASE_PATTERN
from schemas.topics import LABELS_KEPT_DAYS, MAX_RETRY_TOPICS
from schemas.verdict import REAL
from streams.drift.specs import parse_specs

Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def safe_url(url: str) -> str:
    """Return `url` if a secret may be sent there: over TLS, or to this machine.

    Raises:
        ValueError: it may not. The URL is not repeated: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise ValueError("must be a URL") from None
    if not host or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must be https://host[:port][/path], without user, password, query or fragment")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise ValueError("must be https, unless it is on loopback: a key is sent there")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Section(BaseModel):
    """A group of settings; a name that does not exist is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class KafkaSettings(Section):
    """Where the broker is and how this worker stands in its group."""

    bootstrap_servers: str = Field(default="127.0.0.1:9092", description="comma-separated `host:port` list")
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        default="PLAINTEXT",
        description="how to talk to the broker: `SSL` is TLS, and with `ssl_cert_file` mutual TLS; `SASL_SSL` is TLS and a password",
    )
    ssl_ca_file: Path | None = Field(
        default=None, description="PEM file of the CA that signed the broker's certificate; unset: the system's CAs"
    )
    ssl_cert_file: Path | None = Field(
        default=None, description="PEM file of the client certificate (with its chain) for mutual TLS"
    )
    ssl_key_file: Path | None = Field(default=None, description="PEM file of the client certificate's private key")
    ssl_key_password: SecretStr = Field(default=SecretStr(""), description="password of that key, where it has one")
    sasl_mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(
        default="SCRAM-SHA-512", description="how the password is proven; `PLAIN` sends it, over TLS only"
    )
    sasl_username: str = Field(default="", description="Kafka user")
    sasl_password: SecretStr = Field(default=SecretStr(""), description="its password")
    group: str = Field(
        default="deeptrace-scoring", description="consumer group of the scoring workers; changing it replays the topic"
    )
    drift_group: str = Field(default="deeptrace-drift", description="consumer group of the drift workers")
    narrator_group: str = Field(default="deeptrace-narrator", description="consumer group of the narrators")
    replay_group: str = Field(
        default="deeptrace-replay",
        description="consumer groups of `deeptrace replay`: each replay has its own, called this, a hyphen and the replay's name",
    )
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
    retry_delays_s: Annotated[tuple[Positive, ...], Field(max_length=MAX_RETRY_TOPICS)] = Field(
        default=(10, 60, 600),
        description="waits of a reference whose object is not to be had yet: one retry topic for each, then it is a dead letter; `[]`: none",
    )

    @model_validator(mode="after")
    def _request_outlasts_session(self) -> "KafkaSettings":
        if self.session_timeout_s > self.request_timeout_s:
            raise ValueError("session_timeout_s must not exceed request_timeout_s")
        return self

    @property
    def labels_group(self) -> str:
        """The consumer group in which drift workers join labels."""
        return f"{self.drift_group}-labels"

    @property
    def notices_group(self) -> str:
        """The consumer group in which drift workers tell Slack of alerts."""
        return f"{self.drift_group}-notices"

    @property
    def reports_group(self) -> str:
        """The consumer group in which drift workers write reports."""
        return f"{self.drift_group}-reports"

    def replay_group_of(self, name: str) -> str:
        """Return the consumer group of the replay `name`."""
        return f"{self.replay_group}-{name}"

    @property
    def uses_tls(self) -> bool:
        """Whether what goes over the wire is encrypted."""
        return self.security_protocol in {"SSL", "SASL_SSL"}

    @property
    def uses_sasl(self) -> bool:
        """Whether this process introduces itself with a password."""
        return self.security_protocol in {"SASL_PLAINTEXT", "SASL_SSL"}

    @model_validator(mode="after")
    def _security_is_whole(self) -> "KafkaSettings":
        if faults := list(_security_faults(self)):
            raise ValueError("; ".join(faults))
        return self


def _security_faults(kafka: KafkaSettings) -> Iterator[str]:
    """Yield what is missing, and what is set but would silently not be used: a password that nobody asks for protects nothing."""
    protocol, has_password = kafka.security_protocol, bool(kafka.sasl_password.get_secret_value())
    if kafka.uses_sasl and not (kafka.sasl_username and has_password):
        yield f"security_protocol {protocol} needs sasl_username and sasl_password"
    if not kafka.uses_sasl and (kafka.sasl_username or has_password):
        yield f"sasl_username or sasl_password is set, but security_protocol {protocol} uses neither: set it to SASL_SSL"
    if protocol == "SASL_PLAINTEXT" and kafka.sasl_mechanism == "PLAIN":
        yield "sasl_mechanism PLAIN would send the password unencrypted: use SASL_SSL, or a SCRAM mechanism"
    if not kafka.uses_tls and (kafka.ssl_ca_file or kafka.ssl_cert_file or kafka.ssl_key_file):
        yield f"ssl_ca_file, ssl_cert_file or ssl_key_file is set, but security_protocol {protocol} is not encrypted: set it to SSL or SASL_SSL"
    if (kafka.ssl_cert_file is None) != (kafka.ssl_key_file is None):
        yield "ssl_cert_file and ssl_key_file go together"
    if kafka.ssl_key_password.get_secret_value() and kafka.ssl_key_file is None:
        yield "ssl_key_password is set without ssl_key_file"


class StoreSettings(Section):
    """The object store (any S3 server)."""

    endpoint: str = Field(default="127.0.0.1:9000", description="`host:port` of the S3 server")
    access_key: SecretStr = Field(default=SecretStr(""), description="S3 access key")
    secret_key: SecretStr = Field(default=SecretStr(""), description="S3 secret key")
    write_access_key: SecretStr = Field(
        default=SecretStr(""),
        description="S3 access key of a second user, who alone writes and reads overlays and outcomes; the first then needs no more than to read images",
    )
    write_secret_key: SecretStr = Field(default=SecretStr(""), description="its S3 secret key")
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
    outcome_bucket: str = Field(
        default="deeptrace-outcomes",
        description="bucket the outcomes are settled in, one object `outcomes/<id>.json` each: the archive of all verdicts",
    )
    model_bucket: str = Field(
        default="deeptrace-models",
        description="bucket of the model releases (`deeptrace model`); a worker needs it with `model.release` or `model.shadow_release` only",
    )
    drift_bucket: str = Field(
        default="deeptrace-drift",
        description="bucket of the drift references (`deeptrace drift reference`) and of the drift reports",
    )
    fetch_threads: Count = Field(default=8, description="parallel requests to the store")
    connect_timeout_s: Positive = Field(default=2, description="TCP connect to the store")
    read_timeout_s: Positive = Field(default=10, description="one read from the store")
    deadline_s: Positive = Field(default=20, description="a whole request to the store, body included")
    max_bytes: Count = Field(default=32 * 1024 * 1024, description="largest object that is fetched")

    @property
    def has_second_user(self) -> bool:
        """Whether overlays and outcomes belong to a user of their own."""
        return bool(self.write_access_key.get_secret_value())

    @property
    def written_buckets(self) -> tuple[str, ...]:
        """Return the buckets that a worker writes to."""
        return tuple(dict.fromkeys((self.overlay_bucket, self.outcome_bucket)))

    @property
    def buckets(self) -> tuple[str, ...]:
        """Return every bucket that a worker touches, each once."""
        return tuple(dict.fromkeys((*self.image_buckets, *self.written_buckets)))

    @model_validator(mode="after")
    def _users_are_whole(self) -> "StoreSettings":
        if self.has_second_user != bool(self.write_secret_key.get_secret_value()):
            raise ValueError("write_access_key and write_secret_key go together")
        shared = set(self.image_buckets) & set(self.written_buckets)
        if self.has_second_user and shared:
            raise ValueError(
                f"with write_access_key, overlays and outcomes need buckets apart from the images: {', '.join(sorted(shared))}"
            )
        if self.ca_file is not None and not self.secure:
            raise ValueError("ca_file is set, but secure=false is not encrypted: set secure to true")
        if self.model_bucket in self.buckets:
            raise ValueError(
                "model_bucket must be a bucket of its own: who may upload images must not be able to replace the model"
            )
        if self.drift_bucket in {*self.image_buckets, self.model_bucket}:
            raise ValueError(
                "drift_bucket must be apart from images and models: who may upload must not be able to change what counts as normal"
            )
        return self


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
    release: Annotated[str, Field(pattern=RELEASE_PATTERN)] | None = Field(
        default=None,
        description="release in the registry instead of a file: `detector@1.2.0`, or `detector@champion`, which the worker follows: it loads what the alias is moved to beside the running model and swaps between two batches",
    )
    shadow_release: Annotated[str, Field(pattern=RELEASE_PATTERN)] | None = Field(
        default=None,
        description="candidate on trial, such as `detector@shadow`: it judges the same images as time permits, and its verdicts go to `deeptrace.verdicts.shadow.v1` only; it costs the machine as much as the model does",
    )
    watch_s: Positive = Field(default=10, description="how often an alias is looked at")
    allow_simulated: bool = Field(
        default=False,
        description="let a worker judge with a checkpoint trained on simulated images (the demo does); such verdicts mean nothing",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="`auto` takes a CUDA device where there is one"
    )
    threads: Count = Field(default=os.cpu_count() or 1, description="CPU threads of the model")
    max_batch: Count = Field(default=32, description="most images judged at once")

    @model_validator(mode="after")
    def _one_model(self) -> "ModelSettings":
        if self.release is not None and self.checkpoint is not None:
            raise ValueError("give checkpoint or release, not both")
        aliases = tuple(f"@{alias}" for alias in ALIASES)
        if self.shadow_release is not None and not self.shadow_release.endswith(aliases):
            raise ValueError("shadow_release must name an alias, such as detector@shadow: what is on trial changes")
        if self.release is not None and self.sha256 is not None and self.release.endswith(aliases):
            raise ValueError(
                "sha256 pins one file, and release names an alias, which moves: give one of them, or MODEL@VERSION"
            )
        if self.classifier != "ensemble" and (self.release or self.shadow_release):
            raise ValueError(
                f"release and shadow_release need the ensemble, and classifier={self.classifier} would not use them"
            )
        return self


class DecodeSettings(Section):
    """The processes that decode untrusted bytes, and their limits."""

    processes: Count = Field(default=max(1, (os.cpu_count() or 2) // 2), description="decoder processes")
    timeout_s: Positive = Field(default=5, description="wall-clock limit for one image")
    memory_bytes: Count = Field(default=1024**3, description="address space of a decoder process")
    max_pixels: Count = Field(default=40_000_000, description="largest image, width times height")
    sandbox: Literal["auto", "required", "off"] = Field(
        default="auto",
        description="`auto`: decoders can open no file, no connection and no process, where the platform has seccomp (Linux); `required`: they do not start without",
    )


class PipelineSettings(Section):
    """How many references are worked on at once, and when a verdict is inconclusive."""

    outcomes: Literal["settled", "at_least_once"] = Field(
        default="settled",
        description="`settled`: the first outcome of a reference is kept in the object store and is the only one ever published; `at_least_once`: two workers that judge one reference may publish two, for those who drop repeats downstream",
    )
    in_flight: Count = Field(default=128, description="references worked on at once; bounds the worker's memory")
    attempts: Count = Field(
        default=4, description="tries in a row for a transient error of one object, before it goes on a retry topic"
    )
    retry_first_s: Positive = Field(default=0.2, description="wait before the second try; doubles, with jitter")
    retry_last_s: Positive = Field(default=5, description="longest wait between tries")
    dependency_wait_s: Positive = Field(
        default=5, description="longest wait between probes of a store or broker that is down"
    )
    dependency_give_up_s: Positive = Field(
        default=1800,
        description="a worker whose store or broker stays away longer ends with exit 75, for its supervisor to restart",
    )
    object_wait_s: Positive = Field(
        default=60,
        description="a store that fails on one object this long while it serves others: the object is at fault",
    )
    min_confidence: Share | None = Field(
        default=None,
        description="a verdict with less calibrated confidence is `inconclusive`; unset: the checkpoint's own rule decides, fitted for a stated rate of false alarms (0.6 where it has none)",
    )
    stability: Literal["off", "ai", "all"] = Field(
        default="off",
        description="ask again about the image as it would be shipped on (JPEG 60, 512 px, WebP), and withhold a verdict that turns: for those that are not `real` (`ai`), or for `all`; each costs about three more judgements",
    )
    faithfulness: bool = Field(
        default=True,
        description="hold each overlay against random maps before it is published, and withhold it where it does no better; adds about half to what an image with an overlay costs the model (five passes of the CNN over one crop)",
    )
    dead_letters_in_a_row: Annotated[int, Field(ge=0)] = Field(
        default=1000,
        description="so many dead letters in a row in one partition, and the worker takes in nothing more until it is restarted (`/readyz` says so); 0: no limit",
    )
    dead_letter_share: Share = Field(
        default=0.9,
        description="the same when so large a share of a partition's last `dead_letter_window` references are dead letters; 1: no limit",
    )
    dead_letter_window: Count = Field(default=2000, description="references that `dead_letter_share` is a share of")
    stall_s: Positive = Field(
        default=60,
        description="a worker that has references and finishes none for this long, though nothing it knows of holds it up, writes its stacks to the log and ends with exit 70",
    )
    journal_dir: str = Field(
        default=".deeptrace/journal",
        description="folder, kept over restarts, that remembers what was in flight when the worker died: an image that kills it is judged alone at its third try, and a dead letter at its fourth; empty: off",
    )
    drain_s: Positive = Field(default=20, description="time to finish what is in flight after SIGTERM")


class DriftSettings(Section):
    """Windows over verdicts, and when they count as drifted."""

    windows: tuple[str, ...] = Field(
        default=("1m", "1h", "1d"),
        description="windows of event time, as a JSON list: `1m`, `1h`, `1d` are tumbling, `1h/10m` is an hour that begins every ten minutes; images are counted in the shortest tumbling one, of which all others must be multiples",
    )
    sample_images: Annotated[int, Field(ge=64, le=1024)] = Field(
        default=1024,
        description="images of a window, drawn by their ids, whose probabilities the correction rests on; windows over all tenants keep four times as many",
    )
    max_rejects: Annotated[int, Field(ge=0, le=256)] = Field(
        default=256, description="novel images of a window, drawn by their ids, among which clusters are looked for"
    )
    max_tenants: Count = Field(
        default=1000,
        description="tenants of one worker that have windows of their own; those of further ones are counted over all tenants only",
    )
    allowed_lateness_s: Annotated[float, Field(ge=0)] = Field(
        default=60, description="how far behind the newest event a verdict still counts"
    )
    idle_close_s: Positive = Field(default=60, description="without traffic for this long the open windows close")
    max_future_s: Positive = Field(default=300, description="event times further ahead of the clock are not counted")
    max_past_s: Positive = Field(default=7 * 86400, description="event times further behind the clock are not counted")
    threshold: Positive = Field(default=0.25, description="KL(current || reference) in nats that raises an alert")
    min_images: Count = Field(default=100, description="fewer decided images in a window raise no alert")
    metric_tenants: tuple[str, ...] = Field(
        default=(),
        description="tenants whose windows are Prometheus series of their own, beside those of all tenants together; each costs some hundred series",
    )
    clear_ratio: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.6, description="an episode ends below this part of the threshold"
    )
    clear_windows: Count = Field(default=3, description="and only after so many windows in a row there")
    candidate_min_images: Count = Field(
        default=20, description="fewer novel images that lie together in a window are no candidate for a new generator"
    )
    candidate_min_cohesion: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.6, description="how near the middle of their cluster they must all lie, as the cosine between"
    )
    profile_file: Path | None = Field(
        default=None,
        description="calibration profile (JSON), or a checkpoint that carries one, for the test of the correction; unset: that of `model.checkpoint`; a stored reference brings its own",
    )
    slow: bool = Field(
        default=False,
        description="watch the mean confidence for changes too slow for a window (Page-Hinkley of river); needs the extra `drift` and 200 MB a worker",
    )
    reference: dict[str, Share] | None = Field(
        default=None,
        description="true share of each class in normal times, as JSON: corrected windows are compared with it; unset: that of the store, else no divergence, no alert",
    )
    reference_file: Path | None = Field(default=None, description="the same from a JSON file")
    references_refresh_s: Positive = Field(
        default=60, description="how often the stored references (`deeptrace drift reference`) are looked at"
    )
    reports: bool = Field(
        default=False,
        description="have a report (HTML, JSON) rendered by Evidently for each raised alert and each day and put into `store.drift_bucket`; needs the extra `drift`",
    )
    slack_webhook: SecretStr = Field(
        default=SecretStr(""),
        description="incoming webhook of Slack that is told of alerts and candidates; `https`, unless it is on loopback; empty: nobody is told beside the topic",
    )
    slack_per_minute: Count = Field(
        default=6,
        description="most messages to Slack in a minute from each drift worker; what is more goes into one message",
    )

    @field_validator("windows")
    @classmethod
    def _windows_fit_together(cls, windows: tuple[str, ...]) -> tuple[str, ...]:
        parse_specs(windows)
        return windows

    @property
    def tells_slack(self) -> bool:
        """Whether there is a webhook."""
        return bool(self.slack_webhook.get_secret_value())

    @field_validator("slack_webhook")
    @classmethod
    def _webhook_is_safe(cls, webhook: SecretStr) -> SecretStr:
        if webhook.get_secret_value():
            safe_url(webhook.get_secret_value())
        return webhook

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


class LabelSettings(Section):
    """What reviewers say about verdicts: joined to them in the drift worker, and reported by `deeptrace labels`."""

    enabled: bool = Field(
        default=True,
        description="join labels to their verdicts in the drift worker; it needs the archive (`pipeline.outcomes=settled`) and a store user who may read it, and without them says why it does not",
    )
    wait_s: Annotated[float, Field(ge=0)] = Field(
        default=60,
        description="how old a label may get while its outcome is not in the archive yet; then it is `unmatched`",
    )
    window_days: Annotated[float, Field(gt=0, le=LABELS_KEPT_DAYS)] = Field(
        default=30, description="labels that live precision and recall are counted from"
    )
    min_labels: Annotated[int, Field(ge=50)] = Field(
        default=200, description="fewer labelled images of one calibration say nothing about it"
    )
    reviewer_salt: SecretStr = Field(
        default=SecretStr(""),
        description="secret that reviewers' names are hashed with before they leave `deeptrace labels send`, the same for all who send: another one makes another reviewer",
    )


class OpsSettings(Section):
    """The ops page that the drift worker serves at `/`."""

    enabled: bool = Field(default=True, description="serve the ops page at `/` of the drift worker's HTTP server")
    history_h: Annotated[float, Field(gt=0, le=24 * 31)] = Field(
        default=24, description="hours that the page knows of, from the topics; a drift worker keeps them in memory"
    )
    latest_verdicts: Annotated[int, Field(ge=1, le=500)] = Field(
        default=100, description="verdicts that the page lists, with their pictures"
    )
    hosts: tuple[str, ...] = Field(
        default=(),
        description="host names under which the page may be asked for, besides loopback's own: for a proxy in front; unset: any where `http.host` is not loopback",
    )


class NarratorSettings(Section):
    """Verdicts in words, by Claude. Off without a key; only numbers and labels of a fixed list are sent."""

    api_key: SecretStr = Field(
        default=SecretStr(""),
        description="key of the Claude API; without one `deeptrace narrate` does not start, and nothing leaves the house (`ANTHROPIC_API_KEY` is not read)",
    )
    base_url: Annotated[str, AfterValidator(safe_url)] = Field(
        default="https://api.anthropic.com",
        description="the API, or a gateway to it; `https`, unless it is on loopback",
    )
    model: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}$")] = Field(
        default="claude-haiku-5-5", description="which Claude writes"
    )
    thinking: bool = Field(
        default=False,
        description="leave it to the model whether it thinks first; models that always think need this and more `max_tokens`, since thinking counts",
    )
    max_tokens: Annotated[int, Field(ge=200, le=8000)] = Field(default=500, description="most tokens of one answer")
    tokens_per_day: Annotated[int, Field(ge=20_000)] = Field(
        default=200_000,
        description="tokens, in and out, that the narrators of one `state_dir` may use in a UTC day; then verdicts are skipped until the next",
    )
    state_dir: str = Field(
        default=".deeptrace/narrator",
        description="folder, kept over restarts, that holds what is spent of the day; narrators that share it share the budget",
    )
    select: Literal["uncertain", "ai", "all"] = Field(
        default="uncertain",
        description="which verdicts are worth words: those that a person may have to look at, all that say AI, or all",
    )
    confidence_below: Share = Field(
        default=0.8, description="`uncertain` takes verdicts with less calibrated confidence"
    )
    max_age_s: Positive = Field(default=86400, description="verdicts that have waited longer are skipped")
    in_flight: Count = Field(default=4, description="requests to the API at once")
    attempts: Annotated[int, Field(ge=1, le=3)] = Field(default=2, description="tries for one verdict")
    timeout_s: Positive = Field(default=20, description="one request to the API")
    retry_wait_s: Positive = Field(
        default=10, description="longest wait before another try; an API that asks for more gets a pause for all"
    )
    failures_in_a_row: Count = Field(
        default=5, description="so many failed requests in a row, and the API is left alone"
    )
    pause_first_s: Positive = Field(default=30, description="for this long at first; verdicts are skipped meanwhile")
    pause_last_s: Positive = Field(default=900, description="and at most for this long, when it goes on failing")

    @property
    def is_on(self) -> bool:
        """Whether there is a key."""
        return bool(self.api_key.get_secret_value())


class HttpSettings(Section):
    """`/livez`, `/readyz` and `/metrics`."""

    host: str = Field(default="127.0.0.1", description="address to listen on; `0.0.0.0` in a container")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=6066, description="port of the scoring worker; 0 picks a free one"
    )
    drift_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=6067, description="port of the drift worker; 0 picks a free one"
    )
    narrator_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=6068, description="port of the narrator; 0 picks a free one"
    )


class LogSettings(Section):
    """Structured logs on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least level that is written"
    )
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="`auto`: console on a terminal, JSON elsewhere"
    )


class FaultSettings(Section):
    """What the fault harness asks of a worker."""

    failpoints: str = Field(
        default="", description="for the fault harness only: where a worker ends itself (`streams/failpoints.py`)"
    )


class Settings(Section):
    """All of it. Immutable: read once at start, handed down as an argument."""

    kafka: KafkaSettings = KafkaSettings()
    store: StoreSettings = StoreSettings()
    model: ModelSettings = ModelSettings()
    decode: DecodeSettings = DecodeSettings()
    pipeline: PipelineSettings = PipelineSettings()
    drift: DriftSettings = DriftSettings()
    labels: LabelSettings = LabelSettings()
    ops: OpsSettings = OpsSettings()
    narrator: NarratorSettings = NarratorSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    faults: FaultSettings = FaultSettings()
