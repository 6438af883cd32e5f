"""Makes the parts of a worker from its settings: the one place where a setting picks an implementation."""

from model.classifier import Classifier
from model.codecs_check import check_codecs
from model.decode_pool import DecodePool
from model.limits import DecodeLimits
from model.policy import policy_of
from storage.by_bucket import ByBucket
from storage.store import ObjectStore
from streams.connecting import connect
from streams.releases.loading import load_release, refuse_simulated
from streams.releases.name import ReleaseName
from streams.releases.registry import Registry
from streams.settings import Settings


def make_store(settings: Settings) -> ObjectStore:
    """Return the S3 store, allowed to touch the configured buckets and no other; with a second user each bucket has its own user."""
    store = settings.store
    if not store.has_second_user:
        return connect(store, store.access_key, store.secret_key, store.buckets)
    images = connect(store, store.access_key, store.secret_key, store.image_buckets)
    results = connect(store, store.write_access_key, store.write_secret_key, store.written_buckets)
    return ByBucket({**dict.fromkeys(store.image_buckets, images), **dict.fromkeys(store.written_buckets, results)})


def make_registry(settings: Settings) -> Registry:
    """Return the registry of model releases, on connections of its own: a gigabyte on its way holds up no image.

    It comes in as the first user, who only reads; who publishes configures a user that may write.
    """
    store = settings.store
    return Registry(connect(store, store.access_key, store.secret_key, (store.model_bucket,)), store.model_bucket)


def make_decoders(settings: Settings, preprocess_id: str) -> DecodePool:
    """Return the pool of decoder processes for the pixel policy that the classifier was trained with; they start at once."""
    limits = DecodeLimits(
        max_bytes=settings.store.max_bytes,
        max_pixels=settings.decode.max_pixels,
        wall_s=settings.decode.timeout_s,
        cpu_s=max(1, int(settings.decode.timeout_s) - 1),  # what is slow by itself runs into this one first
        memory_bytes=settings.decode.memory_bytes,
    )
    check_codecs()
    return DecodePool(
        settings.decode.processes, limits=limits, policy=policy_of(preprocess_id), sandbox=settings.decode.sandbox
    )


def make_classifier(settings: Settings) -> Classifier:
    """Load the model and judge once, so that the first reference does not pay for it.

    Raises:
        CheckpointRefused: it does not fit, or it is trained on simulated images and that was not allowed.
        ReleaseMissing, ReleaseCorrupt, StoreUnavailable: a release is configured, and it is not to be had.
    """
    model = settings.model
    if model.classifier != "ensemble":
        from model.fake import FakeClassifier

        return FakeClassifier(null=model.classifier == "null")
    if model.release is not None:
        registry = make_registry(settings)
        try:
            release = registry.resolve(ReleaseName.parse(model.release))
            return load_release(registry, release, model, threads=model.threads)
        finally:
            registry.close()
    from model.checkpoint import DEMO_CHECKPOINT, load_classifier

    classifier = load_classifier(
        model.checkpoint or DEMO_CHECKPOINT,
        device=model.device,
        expected_sha256=model.sha256,
        threads=model.threads,
    )
    refuse_simulated(classifier.info.training_data, "the checkpoint", allowed=model.allow_simulated)
    classifier.warm_up()
    return classifier
