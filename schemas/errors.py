"""Every error that DeepTrace raises on purpose, in one tree.

A class is a decision: what happens to the reference follows from *where in the tree* an error stands, never from its text.
`code` is stable, snake_case, and is what dead letters, metrics and logs carry.

* DeepTraceError
  x Rejection                     dead letter at once: trying again cannot help
    + MessageRejected
      - MessageNotJson            message_not_json
      - MessageTooLarge           message_too_large
      - MessageInvalid            message_invalid
      - SchemaVersionUnknown      schema_version_unknown
      - BucketForbidden           bucket_forbidden
      - KeyForbidden              key_forbidden
    + ObjectRejected
      - ObjectEmpty               object_empty
      - ObjectTooLarge            object_too_large
      - ObjectChanged             object_changed
    + ImageRejected
      - ImageFormatUnsupported    image_format_unsupported
      - ImageIsSvg                image_is_svg
      - ImageIsHeic               image_is_heic
      - NotAnImage                not_an_image
      - ImageTruncated            image_truncated
      - ImageCorrupt              image_corrupt
      - ImageZeroSize             image_zero_size
      - ImageTooManyPixels        image_too_many_pixels
      - ImageTooManyFrames        image_too_many_frames
      - ImageMetadataTooLarge     image_metadata_too_large
      - ImageTooComplex           image_too_complex
      - DecodeMemoryExceeded      decode_memory_exceeded
      - DecodeCrash               decode_crash
    + InferenceFailed             inference_failed
    + CrashSuspect                crash_suspect           (a worker died of it three times)
  x Transient                     tried again a bounded number of times, then a dead letter
    + ObjectNotFound              object_not_found
    + ObjectDenied                object_denied
    + ObjectRefused               object_refused
    + DecodeTimeout               decode_timeout
  x DependencyDown                waited for, never a dead letter
    + StoreUnavailable            store_unavailable
    + OutcomeUnreadable           outcome_unreadable
    + BrokerUnavailable           broker_unavailable
    + DecoderUnavailable          decoder_unavailable
  x BatchFailed                   batch_failed            (bisected; never reaches a message)
  x DeviceLost                    device_lost             exit 70 (ends the worker; neither waited for nor a dead letter)
  x NoProgress                    no_progress             exit 70 (the watchdog: lag, and nothing gets finished)
  x RecordsLeftOut                records_left_out        exit 70 (delivery skipped records that are on the topic)
  x ConfigError                   config_invalid          exit 78
    + CheckpointRefused           checkpoint_refused
    + ReleaseMissing              release_missing
    + ReleaseCorrupt              release_corrupt         (the stored bytes are not those of its manifest)
    + ReferenceMissing            reference_missing       (there is no such drift reference)
    + ReferenceCorrupt            reference_corrupt       (what is stored of it cannot be read)
    + TopicMissing                topic_missing
    + BucketMissing               bucket_missing
    + StoreUnsupported            store_unsupported
    + BrokerNotTrusted            broker_not_trusted      (its certificate does not hold)
    + NotAuthenticated            not_authenticated       (it does not accept our password or certificate)
    + NotPermitted                not_permitted           (an ACL is missing)
    + StackUnavailable            stack_unavailable
  x NarrationFailed               narration_failed        (counted; the verdict stays without words)
    + ApiUnavailable              api_unavailable         (rate limit, overload, server error, timeout, no connection)
    + ApiRefused                  api_refused             (key, model name or request is not accepted)
    + AnswerUnusable              answer_unusable         (what the language model wrote may not be published)
  x ReportFailed                  report_failed           (counted; windows and alerts go on)
  x EvidenceGone                  evidence_gone           exit 65 (the image or the model of a verdict is no longer to be had)
  x DependencyDownTooLong         dependency_down_too_long  exit 75: the supervisor restarts the worker
  x UsageError                    usage                   exit 2
  x CheckFailed                   check_failed            exit 3
  x StoreConflict                 already_exists          (answer of a conditional put, not a failure)
"""

from collections.abc import Iterator
from typing import ClassVar


class DeepTraceError(Exception):
    """Says what went wrong, why, and what to do; `code` is stable across releases."""

    code: ClassVar[str] = "unexpected"
    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.why = why
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}: {self.why}" if self.why else self.message


class Rejection(DeepTraceError):
    """The reference can never succeed; it is dead-lettered at once."""

    code = "rejected"
    exit_code = 65


class MessageRejected(Rejection):
    """The message itself is at fault."""

    code = "message_rejected"


class MessageNotJson(MessageRejected):
    """The value is not a JSON object."""

    code = "message_not_json"


class MessageTooLarge(MessageRejected):
    """The value exceeds the limit for references (64 KiB)."""

    code = "message_too_large"


class MessageInvalid(MessageRejected):
    """A field is missing or has a wrong value; `why` names each field and the reason."""

    code = "message_invalid"


class SchemaVersionUnknown(MessageRejected):
    """The message declares a schema or version that this release does not read."""

    code = "schema_version_unknown"


class BucketForbidden(MessageRejected):
    """The bucket is not on the allow-list."""

    code = "bucket_forbidden"


class KeyForbidden(MessageRejected):
    """The object key breaks the key rules (length, `..`, NUL, leading slash)."""

    code = "key_forbidden"


class ObjectRejected(Rejection):
    """The stored object is at fault."""

    code = "object_rejected"


class ObjectEmpty(ObjectRejected):
    """The object holds no bytes."""

    code = "object_empty"


class ObjectTooLarge(ObjectRejected):
    """The object exceeds the size cap."""

    code = "object_too_large"


class ObjectChanged(ObjectRejected):
    """The object is not the one that was referenced (etag, size or sha256 differ)."""

    code = "object_changed"


class ImageRejected(Rejection):
    """The bytes are not an image that may be judged."""

    code = "image_rejected"


class ImageFormatUnsupported(ImageRejected):
    """An image, but of a format that is not on the allow-list (TIFF, BMP, JPEG 2000, ...)."""

    code = "image_format_unsupported"


class ImageIsSvg(ImageRejected):
    """SVG is never rendered: it is a program that may load and run things."""

    code = "image_is_svg"


class ImageIsHeic(ImageRejected):
    """HEIC/HEIF is recognised but no decoder is trusted with it."""

    code = "image_is_heic"


class NotAnImage(ImageRejected):
    """The bytes start like no image format at all."""

    code = "not_an_image"


class ImageTruncated(ImageRejected):
    """The file ends before its pixels do; a grey rest would give a wrong verdict.

    Where its header says what it would be (`declared`), that is an answer about the image: the outcome is a verdict, `not_assessable`. Viewers
    show such files, so their senders must not end among the dead letters, which nobody looks at. Only one that ends within its header is one.
    """

    code = "image_truncated"
    declared: tuple[str, int, int] | None = None
    """Format, width and height."""


class ImageCorrupt(ImageRejected):
    """The decoder refused the file."""

    code = "image_corrupt"


class ImageZeroSize(ImageRejected):
    """Width or height is zero."""

    code = "image_zero_size"


class ImageTooManyPixels(ImageRejected):
    """More pixels than the cap (a decompression bomb, or simply huge)."""

    code = "image_too_many_pixels"


class ImageTooManyFrames(ImageRejected):
    """An animation over the frame caps."""

    code = "image_too_many_frames"


class ImageMetadataTooLarge(ImageRejected):
    """A compressed text or profile chunk unpacks over its limit, or there are too many of them."""

    code = "image_metadata_too_large"


class ImageTooComplex(ImageRejected):
    """Decoding it takes more steps, or more CPU time, than an image may have; it would again, so it is not tried again."""

    code = "image_too_complex"


class DecodeMemoryExceeded(ImageRejected):
    """Decoding needed more memory than a decoder process may take."""

    code = "decode_memory_exceeded"


class DecodeCrash(ImageRejected):
    """The decoder process died on this file, twice."""

    code = "decode_crash"


class InferenceFailed(Rejection):
    """The model failed on this image alone, after its batch was bisected."""

    code = "inference_failed"


class CrashSuspect(Rejection):
    """The worker died three times while this reference was in flight, the last time with nothing beside it."""

    code = "crash_suspect"


class Transient(DeepTraceError):
    """May succeed later for this very object: a few tries at once, then the retry topics, then a dead letter."""

    code = "transient"
    exit_code = 75
    tries_at_once: ClassVar[int | None] = None
    """Tries in a row before the reference is put aside; None: as many as the settings say."""
    rounds: ClassVar[int | None] = None
    """How often it is put aside for another round on a retry topic; None: once on each."""


class ObjectNotFound(Transient):
    """No such object (yet)."""

    code = "object_not_found"


class ObjectDenied(Transient):
    """The store refused access to this object."""

    code = "object_denied"


class ObjectRefused(Transient):
    """The store refused this request for a reason of its own (archived object, customer key, malformed version id)."""

    code = "object_refused"


class DecodeTimeout(Transient):
    """Decoding ran past its wall-clock or CPU limit. Seldom the machine's fault, and each try costs the whole limit: one more, later."""

    code = "decode_timeout"
    tries_at_once = 1
    rounds = 1


class DependencyDown(DeepTraceError):
    """Something everything needs is away; references wait, none is dead-lettered."""

    code = "dependency_down"
    exit_code = 69


class StoreUnavailable(DependencyDown):
    """The object store does not answer, or answers with a server error."""

    code = "store_unavailable"


class OutcomeUnreadable(DependencyDown):
    """What is stored as a reference's outcome cannot be read; that reference waits, the others go on."""

    code = "outcome_unreadable"


class BrokerUnavailable(DependencyDown):
    """The Kafka broker does not answer."""

    code = "broker_unavailable"


class DecoderUnavailable(DependencyDown):
    """No decoder process can be started (memory, process limits)."""

    code = "decoder_unavailable"


class BatchFailed(DeepTraceError):
    """The model failed on a batch, such as by running out of memory; its images are tried again in halves."""

    code = "batch_failed"


class DeviceLost(DeepTraceError):
    """The GPU is gone for this process: only a new process gets a working one. Nothing was acknowledged, so nothing is lost."""

    code = "device_lost"
    exit_code = 70


class NoProgress(DeepTraceError):
    """References wait, nothing that the worker knows of holds them up, and none was finished for a minute: only a new process helps."""

    code = "no_progress"
    exit_code = 70


class RecordsLeftOut(DeepTraceError):
    """Records that lie on the topic were not delivered: going on could commit past them, a restart reads them."""

    code = "records_left_out"
    exit_code = 70


class NarrationFailed(DeepTraceError):
    """A verdict was not put into words. Nothing waits for that: it is counted, and the verdict stands as it is."""

    code = "narration_failed"


class ApiUnavailable(NarrationFailed):
    """The language model's API did not answer, or asks to be left alone for `retry_after_s`; `maybe_paid`: it may have worked nevertheless."""

    code = "api_unavailable"

    def __init__(
        self, message: str, *, why: str = "", remedy: str = "", retry_after_s: float | None = None, maybe_paid: bool
    ) -> None:
        super().__init__(message, why=why, remedy=remedy)
        self.retry_after_s = retry_after_s
        self.maybe_paid = maybe_paid


class ApiRefused(NarrationFailed):
    """The API does not accept our key, our model name or our request; only a person can mend that."""

    code = "api_refused"


class AnswerUnusable(NarrationFailed):
    """What the language model answered may not be published; `fault` says in one word why."""

    code = "answer_unusable"

    def __init__(self, message: str, *, fault: str) -> None:
        super().__init__(message, why=fault)
        self.fault = fault


class DependencyDownTooLong(DeepTraceError):
    """A dependency stayed away longer than a worker may wait without losing its place in the group; a restart waits on."""

    code = "dependency_down_too_long"
    exit_code = 75


class ConfigError(DeepTraceError):
    """The service cannot start as configured."""

    code = "config_invalid"
    exit_code = 78


class CheckpointRefused(ConfigError):
    """The checkpoint does not fit (format, hash, classes, preprocess id)."""

    code = "checkpoint_refused"


class ReleaseMissing(ConfigError):
    """The registry has no such model, version or alias."""

    code = "release_missing"


class ReleaseCorrupt(ConfigError):
    """What is stored of a release is not what was published: a hash differs, or a manifest cannot be read."""

    code = "release_corrupt"


class ReferenceMissing(ConfigError):
    """There is no drift reference, or none of that version."""

    code = "reference_missing"


class ReferenceCorrupt(ConfigError):
    """What is stored of a drift reference cannot be read, or is another's."""

    code = "reference_corrupt"


class TopicMissing(ConfigError):
    """A topic that the worker needs does not exist; Kafka would ignore that silently."""

    code = "topic_missing"


class BucketMissing(ConfigError):
    """A bucket that the worker needs does not exist."""

    code = "bucket_missing"


class StoreUnsupported(ConfigError):
    """The object store lacks an operation that DeepTrace needs (conditional put)."""

    code = "store_unsupported"


class BrokerNotTrusted(ConfigError):
    """The broker did not prove who it is: its certificate is expired, for another host, or of a CA that is not trusted."""

    code = "broker_not_trusted"


class NotAuthenticated(ConfigError):
    """The broker does not accept the user, password or certificate with which this process introduces itself."""

    code = "not_authenticated"


class NotPermitted(ConfigError):
    """The broker knows who we are and does not let us do what is needed; `why` names each right that is missing."""

    code = "not_permitted"


class StackUnavailable(ConfigError):
    """The local stack (broker, object store) cannot be set up or started."""

    code = "stack_unavailable"


class ReportFailed(DeepTraceError):
    """A drift report was not rendered. Nothing waits for it: it is counted, and windows go on."""

    code = "report_failed"


class EvidenceGone(DeepTraceError):
    """What a verdict rests on, its image or its model, is no longer there: it can be neither confirmed nor refuted."""

    code = "evidence_gone"
    exit_code = 65


class UsageError(DeepTraceError):
    """The command was called wrongly."""

    code = "usage"
    exit_code = 2


class CheckFailed(DeepTraceError):
    """A check ran and its answer is no."""

    code = "check_failed"
    exit_code = 3


class StoreConflict(DeepTraceError):
    """A conditional put found an object already there; the first writer won."""

    code = "already_exists"


def leaves(root: type[DeepTraceError] = DeepTraceError) -> Iterator[type[DeepTraceError]]:
    """Yield `root` and every class under it, parents first."""
    yield root
    for child in root.__subclasses__():
        yield from leaves(child)
