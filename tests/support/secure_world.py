"""A broker with TLS, users and ACLs and a MinIO with TLS and two users: set up by administrators, used by a worker with few rights."""

import asyncio
import json
import subprocess
import time
from pathlib import Path
from types import SimpleNamespace

import urllib3
from aiokafka import AIOKafkaConsumer
from minio.credentials.providers import StaticProvider
from minio.minioadmin import MinioAdmin
from support.certificates import Authority
from support.kafka_admin import grant, rights_in
from support.world import BUCKET, World

from storage.minio_store import MinioStore
from storage.policies import read_images, replay_history, write_results
from streams import topics
from streams.broker_access import drift_needs, kafka_acls, narrator_needs, replay_needs, scoring_needs
from streams.settings import KafkaSettings, Settings
from streams.settings_sources import load
from streams.stack.broker import start_broker
from streams.stack.broker_security import BrokerSecurity
from streams.stack.object_store import start_minio

CANARY = "canary"
"""In every password and secret key here; it may be in no output."""
WORKER, DRIFT_WORKER, NARRATOR = "deeptrace-worker", "deeptrace-drift", "deeptrace-narrator"
REPLAYER = "deeptrace-replayer"
OVERLAYS, OUTCOMES, DRIFT, MODELS = "deeptrace-overlays", "deeptrace-outcomes", "deeptrace-drift", "deeptrace-models"
READER, WRITER = "images-reader", "results-writer"
RETRY_DELAYS_S = (1, 2)
PARTITIONS = 2


class SecureWorld(World):
    """A `World` whose workers come in by the front door; tests as administrators use the plain listener and the root account."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children = []
        self.authority = Authority(folder / "tls")
        self.password, self.reader_secret, self.writer_secret = (
            f"{CANARY}-{part}" for part in ("kafka", "read", "write")
        )
        users = dict.fromkeys((WORKER, DRIFT_WORKER, NARRATOR, REPLAYER), self.password)
        self.security = BrokerSecurity.on_free_ports(self.authority.server("broker"), users)
        self.broker = start_broker(folder / "stack", security=self.security)
        try:
            self.minio = start_minio(folder / "stack", tls=self.authority.server("minio"))
        except BaseException:
            self.broker.stop()
            raise
        self.info = SimpleNamespace(bootstrap_servers=self.broker.address)
        self.client_certificate = self.authority.issue(WORKER)
        self.env = self._environment()
        self.settings = self.settings_with()
        self._set_up_kafka()
        self._set_up_store()

    @property
    def mutual_tls(self) -> dict[str, str]:
        """Return the variables that make the worker show a certificate instead of a password."""
        return {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": self.security.tls_address,
            "DEEPTRACE_KAFKA__SECURITY_PROTOCOL": "SSL",
            "DEEPTRACE_KAFKA__SASL_USERNAME": "",
            "DEEPTRACE_KAFKA__SASL_PASSWORD": "",
            "DEEPTRACE_KAFKA__SSL_CERT_FILE": str(self.client_certificate.certificate),
            "DEEPTRACE_KAFKA__SSL_KEY_FILE": str(self.client_certificate.key),
        }

    def settings_with(self, **env: str) -> Settings:
        """Return the worker's settings with some variables changed."""
        return self.settings_of({**self.env, **env})

    @staticmethod
    def settings_of(env: dict[str, str]) -> Settings:
        """Return what these variables, and no others, come to."""
        return load(env).settings

    def connect(self, access_key: str, secret_key: str) -> MinioStore:
        """Return a store as one user, to whom our own allow-list of buckets denies nothing."""
        return MinioStore(
            self.minio.address,
            access_key=access_key,
            secret_key=secret_key,
            secure=True,
            ca_file=self.authority.certificate,
            allowed_buckets={BUCKET, OVERLAYS, OUTCOMES, DRIFT},
        )

    def drift_worker(self, log: str) -> subprocess.Popen[bytes]:
        """Start a drift worker, with its own Kafka user, short windows, and no key to the store."""
        env = {"KAFKA__SASL_USERNAME": DRIFT_WORKER, "HTTP__DRIFT_PORT": "0"}
        env |= {"DRIFT__WINDOWS": '["1s"]', "DRIFT__ALLOWED_LATENESS_S": "0", "DRIFT__IDLE_CLOSE_S": "0.5"}
        env |= {f"STORE__{user}{part}_KEY": "" for user in ("", "WRITE_") for part in ("ACCESS", "SECRET")}
        named = {f"DEEPTRACE_{name}": value for name, value in env.items()}
        return self.start("-m", "streams.cli", "drift-worker", log=log, DEEPTRACE_KAFKA__INSTANCE_ID="drift-0", **named)

    @property
    def replayer(self) -> dict[str, str]:
        """Return the variables with which `deeptrace replay` comes in: a user of its own at the broker and at the store."""
        return {
            "DEEPTRACE_KAFKA__SASL_USERNAME": REPLAYER,
            "DEEPTRACE_STORE__ACCESS_KEY": REPLAYER,
            "DEEPTRACE_STORE__WRITE_ACCESS_KEY": "",
            "DEEPTRACE_STORE__WRITE_SECRET_KEY_FILE": "",
        }

    async def records_on(self, topic: str, timeout_s: float) -> int:
        """Return how many records lie on a topic, once there are any."""
        ends_at = time.monotonic() + timeout_s
        async with AIOKafkaConsumer(topic, bootstrap_servers=self.broker.address) as consumer:
            while True:
                count = sum((await consumer.end_offsets(consumer.assignment())).values())
                if count or time.monotonic() > ends_at:
                    return count
                await asyncio.sleep(0.1)

    def run(self, *arguments: str, timeout_s: float = 120, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `deeptrace` to its end; it may not say a secret, whatever it says."""
        done = super().run(*arguments, timeout_s=timeout_s, **env)
        assert CANARY not in done.stdout + done.stderr
        return done

    def close(self) -> None:
        for child in self.children:
            child.kill()
            child.wait()
        self.store.close()
        self.minio.stop()
        self.broker.stop()

    def _environment(self) -> dict[str, str]:
        secrets = {
            "DEEPTRACE_KAFKA__SASL_PASSWORD": self.password,
            "DEEPTRACE_STORE__SECRET_KEY": self.reader_secret,
            "DEEPTRACE_STORE__WRITE_SECRET_KEY": self.writer_secret,
        }
        for name, value in secrets.items():
            (self.folder / name).write_text(value + "\n")
        return {
            "DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS": self.security.sasl_address,
            "DEEPTRACE_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
            "DEEPTRACE_KAFKA__SSL_CA_FILE": str(self.authority.certificate),
            "DEEPTRACE_KAFKA__SASL_USERNAME": WORKER,
            "DEEPTRACE_KAFKA__PARTITIONS": str(PARTITIONS),
            "DEEPTRACE_KAFKA__RETRY_DELAYS_S": json.dumps(RETRY_DELAYS_S),
            "DEEPTRACE_STORE__ENDPOINT": self.minio.address,
            "DEEPTRACE_STORE__SECURE": "true",
            "DEEPTRACE_STORE__CA_FILE": str(self.authority.certificate),
            "DEEPTRACE_STORE__ACCESS_KEY": READER,
            "DEEPTRACE_STORE__WRITE_ACCESS_KEY": WRITER,
            "DEEPTRACE_MODEL__CLASSIFIER": "fake",
            "DEEPTRACE_HTTP__PORT": "0",
            **{f"{name}_FILE": str(self.folder / name) for name in secrets},
        }

    def _set_up_kafka(self) -> None:
        """Create the topics, and grant each worker what `deeptrace topics acls` prints."""
        administrator = KafkaSettings(
            bootstrap_servers=self.broker.address, partitions=PARTITIONS, retry_delays_s=RETRY_DELAYS_S
        )
        asyncio.run(topics.apply(administrator))
        needed = {WORKER: scoring_needs, DRIFT_WORKER: drift_needs, NARRATOR: narrator_needs, REPLAYER: replay_needs}
        for user, needs in needed.items():
            commands = kafka_acls(needs(self.settings.kafka), f"User:{user}", self.broker.address)
            asyncio.run(grant(self.broker.address, f"User:{user}", rights_in(commands)))

    def _set_up_store(self) -> None:
        """Create the buckets, and two users with what `deeptrace storage policies` prints."""
        self.store = self.connect(self.minio.access_key, self.minio.secret_key)
        for bucket in (BUCKET, OVERLAYS, OUTCOMES, DRIFT):
            self.store.ensure_bucket(bucket)
        admin = MinioAdmin(
            endpoint=self.minio.address,
            credentials=StaticProvider(self.minio.access_key, self.minio.secret_key),
            http_client=urllib3.PoolManager(ca_certs=str(self.authority.certificate), timeout=10),
        )
        results = write_results(overlay_bucket=OVERLAYS, overlay_prefix="overlays/", outcome_bucket=OUTCOMES)
        history = replay_history([BUCKET], model_bucket=MODELS, overlay_bucket=OVERLAYS, drift_bucket=DRIFT)
        for user, secret, policy in (
            (REPLAYER, self.reader_secret, history),
            (READER, self.reader_secret, read_images([BUCKET])),
            (WRITER, self.writer_secret, results),
        ):
            admin.user_add(user, secret)
            admin.policy_add(f"{user}-policy", policy=policy)
            admin.attach_policy([f"{user}-policy"], user=user)
