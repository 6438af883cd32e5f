"""What an S3 error means for a reference: error codes, bare HTTP statuses, transport faults and SDK exceptions to our classes.

The rule behind the tables: what waiting cures for every object (overload, clock, credentials, network) is StoreUnavailable and
never costs a reference; what concerns one object is one of the Object classes; what no waiting cures is a ConfigError.
"""

import re
from collections.abc import Iterable
from typing import Final
from xml.etree.ElementTree import ParseError

from minio.error import MinioException, S3Error, ServerError
from urllib3 import exceptions as transport

from schemas.errors import (
    BucketMissing,
    ConfigError,
    DeepTraceError,
    KeyForbidden,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    ObjectRefused,
    ObjectTooLarge,
    StoreUnavailable,
)

ErrorKind = type[DeepTraceError]


def _table(*rows: tuple[ErrorKind, str]) -> dict[str, ErrorKind]:
    return {code: kind for kind, codes in rows for code in codes.split()}


S3_CODES: Final = _table(
    (ObjectNotFound, "NoSuchKey NoSuchVersion ResourceNotFound"),
    (BucketMissing, "NoSuchBucket"),
    (ConfigError, "InvalidBucketName InvalidRegion IllegalLocationConstraintException"),
    (ObjectDenied, "AccessDenied"),
    (ObjectChanged, "PreconditionFailed"),
    (ObjectTooLarge, "EntityTooLarge"),
    (
        KeyForbidden,
        "KeyTooLongError InvalidURI XMinioInvalidObjectName XMinioObjectExistsAsDirectory XMinioParentIsObject",
    ),
    (
        ObjectRefused,
        (
            "InvalidArgument InvalidObjectState InvalidRange InvalidRequest InvalidTag MetadataTooLarge MethodNotAllowed MissingSecurityHeader "
            "NotImplemented RequestHeaderSectionTooLarge UnexpectedContent BadRequest XMinioInvalidVersionId "
            "ServerSideEncryptionConfigurationNotFoundError InvalidEncryptionAlgorithmError KMSDisabledException KMSNotFoundException"
        ),
    ),
    # The store cannot work just now.
    (
        StoreUnavailable,
        (
            "InternalError ServiceUnavailable SlowDown SlowDownRead SlowDownWrite Busy BandwidthLimitExceeded RequestTimeout "
            "RequestTimedOut RequestLimitExceeded ThrottlingException TooManyRequests OperationAborted "
            "ConditionalRequestConflict InsufficientStorage XMinioStorageFull XMinioServerNotInitialized XMinioBackendDown "
            "ServerNotInitialized ReplicationInProgress"
        ),
    ),
    # The bytes suffered on their way.
    (StoreUnavailable, "BadDigest IncompleteBody InvalidDigest MissingContentLength XAmzContentSHA256Mismatch"),
    # The credentials, the clock or the address are wrong: for all objects, until someone mends it.
    (
        StoreUnavailable,
        (
            "InvalidAccessKeyId SignatureDoesNotMatch RequestTimeTooSkewed RequestExpired ExpiredToken InvalidToken "
            "TokenRefreshRequired InvalidSecurity NotSignedUp AccountProblem AllAccessDisabled AccessPointNotOwnedByYou "
            "AuthorizationHeaderMalformed AuthorizationQueryParametersError CredentialsNotSupported InvalidPayer "
            "PermanentRedirect Redirect TemporaryRedirect RetryHead RequestIsNotMultiPartContent"
        ),
    ),
)
"""Every error code that the requests of `MinioStore` can meet."""

REMEDIES: Final = {
    "AccessDenied": "Check what the policy of the store's user allows (`deeptrace storage policies` prints what it must).",
    "InvalidAccessKeyId": "Check the access key of the store.",
    "SignatureDoesNotMatch": "Check the secret key of the store.",
    "RequestTimeTooSkewed": "Set the clock of this machine.",
    "ExpiredToken": "Renew the credentials of the store.",
    "PermanentRedirect": "Check the endpoint and region of the store.",
    "AuthorizationHeaderMalformed": "Check the region of the store.",
}

TRANSPORT_FAULTS: Final[dict[type[Exception], ErrorKind]] = {
    transport.ConnectTimeoutError: StoreUnavailable,
    transport.NewConnectionError: StoreUnavailable,
    transport.NameResolutionError: StoreUnavailable,
    transport.ReadTimeoutError: StoreUnavailable,
    transport.TimeoutError: StoreUnavailable,
    transport.ProtocolError: StoreUnavailable,
    transport.IncompleteRead: StoreUnavailable,
    transport.InvalidChunkLength: StoreUnavailable,
    transport.InvalidHeader: StoreUnavailable,
    transport.HeaderParsingError: StoreUnavailable,
    transport.ResponseNotChunked: StoreUnavailable,
    transport.BodyNotHttplibCompatible: StoreUnavailable,
    transport.DecodeError: StoreUnavailable,
    transport.SSLError: StoreUnavailable,
    transport.MaxRetryError: StoreUnavailable,
    transport.ResponseError: StoreUnavailable,
    transport.ClosedPoolError: StoreUnavailable,
    transport.EmptyPoolError: StoreUnavailable,
    transport.FullPoolError: StoreUnavailable,
    transport.LocationValueError: ConfigError,
    transport.LocationParseError: ConfigError,
    transport.URLSchemeUnknown: ConfigError,
}
"""Every urllib3 error that a request without proxy, file body or followed redirect can raise."""

SDK_FAULTS: Final = (MinioException, transport.HTTPError, ParseError, OSError, ValueError)
"""All that the SDK lets through; hand it to `from_sdk`."""

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9]{1,64})\s*</Code>")


def code_in(body: bytes) -> str:
    """Return the error code in an S3 error document, or "" if there is none. No XML parser meets unasked bytes for this."""
    found = _CODE.search(body)
    return found.group(1).decode() if found else ""


def from_answer(status: int, code: str, what: str) -> DeepTraceError:
    """Return the error for an answer that is no success. `what` names the request without its key."""
    kind = S3_CODES.get(code) or _by_status(status)
    return kind(
        f"the object store refused {what}",
        why=f"{code or 'no error code'} (HTTP {status})",
        remedy=REMEDIES.get(code, ""),
    )


def _by_status(status: int) -> ErrorKind:
    kinds = {401: ObjectDenied, 403: ObjectDenied, 404: ObjectNotFound, 412: ObjectChanged, 413: ObjectTooLarge}
    # 408, 409, 425 and 429 pass; below 400 it is no S3 answer for this request (a redirect, a captive portal).
    waits = status < 400 or status in {408, 409, 425, 429} or (status >= 500 and status != 501)  # noqa: PLR2004
    return kinds.get(status) or (StoreUnavailable if waits else ObjectRefused)


def from_transport(error: Exception, what: str) -> DeepTraceError:
    """Return the error for a fault on the way to the store or back."""
    kind = TRANSPORT_FAULTS.get(type(error), StoreUnavailable)
    return kind(
        f"no answer from the object store to {what}",
        why=" from ".join(_names(error)),
        remedy="Check its ca_file and certificate." if isinstance(error, transport.SSLError) else "",
    )


def _names(error: BaseException) -> Iterable[str]:
    # Class names and the system's own words only: urllib3 texts hold the request's path, which is the object key.
    yield type(error).__name__
    inner = error.__cause__ or next((arg for arg in error.args if isinstance(arg, BaseException)), None)
    if isinstance(inner, OSError) and inner.strerror:
        yield inner.strerror
    elif inner is not None:
        yield type(inner).__name__


def from_sdk(error: Exception, what: str) -> DeepTraceError:
    """Return the error for an exception of the minio SDK's own requests (listing and buckets)."""
    if isinstance(error, S3Error):
        # The answer to a HEAD has no body: the SDK calls every 403 AccessDenied, be it a wrong secret key or a missing right.
        said = error.response.headers.get("x-minio-error-code", "")
        return from_answer(error.response.status, said or error.code or "", what)
    if isinstance(error, ServerError):
        return from_answer(error.status_code, "", what)
    if isinstance(error, transport.HTTPError | OSError):
        return from_transport(error, what)
    return StoreUnavailable(f"the object store did not answer {what} in S3's form", why=type(error).__name__)
