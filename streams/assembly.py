"""Makes the parts of a worker from its settings: the one place where a setting picks an implementation."""

from model.classifier import Classifier
from model.codecs_check import check_codecs
from model.decode_pool import DecodePool
from model.limits import DecodeLimits
from model.policy import policy_of
from schemas.errors import CheckpointRefused
from storage.minio_store import MinioStore
from storage.store import ObjectStore
from streams.settings import Settings

SIMULATED = "simulated"


def make_store(settings: Settings) -> ObjectStore:
    """Return the S3 store, allowed to touch the configured buckets and no other."""
    store = settings.store
    return MinioStore(
        store.endpoint,
        access_key=store.access_key.get_secret_value(),
        secret_key=store.secret_key.get_secret_value(),
        secure=store.secure,
        region=store.region,
        allowed_buckets=frozenset({*store.image_buckets, store.overlay_bucket}),
        pool_size=store.fetch_threads,
        connect_timeout_s=store.connect_timeout_s,
        read_timeout_s=store.read_timeout_s,
        ca_file=store.ca_file,
    )


def make_decoders(settings: Settings, preprocess_id: str) -> DecodePool:
    """Return the pool of decoder processes for the pixel policy that the classifier was trained with; they start at once."""
    limits = DecodeLimits(
        max_bytes=settings.store.max_bytes,
        max_pixels=settings.decode.max_pixels,
        wall_s=settings.decode.timeout_s,
        memory_bytes=settings.decode.memory_bytes,
    )
    check_codecs()
    return DecodePool(settings.decode.processes, limits=limits, policy=policy_of(preprocess_id))


def make_classifier(settings: Settings) -> Classifier:
    """Load the checkpoint and judge once, so that the first reference does not pay for it.

    Raises:
        CheckpointRefused: it does not fit, or it is trained on simulated images and that was not allowed.
    """
    if settings.model.classifier != "ensemble":
        from model.fake import FakeClassifier

        return FakeClassifier(null=settings.model.classifier == "null")
    from model.checkpoint import DEMO_CHECKPOINT, load_classifier

    classifier = load_classifier(
        settings.model.checkpoint or DEMO_CHECKPOINT,
        device=settings.model.device,
        expected_sha256=settings.model.sha256,
        threads=settings.model.threads,
    )
    if classifier.info.training_data.startswith(SIMULATED) and not settings.model.allow_simulated:
        raise CheckpointRefused(
            "the checkpoint was trained on simulated images",
            why="its verdicts say nothing about real generators",
            remedy="Configure DEEPTRACE_MODEL__CHECKPOINT, or set DEEPTRACE_MODEL__ALLOW_SIMULATED=true to try things out.",
        )
    classifier.warm_up()
    return classifier
