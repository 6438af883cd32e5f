"""Nothing that a server, urllib3 or the SDK can say is left without a decision."""

import inspect

import pytest
import urllib3
from urllib3 import exceptions as transport

from schemas.errors import (
    BucketMissing,
    ConfigError,
    DeepTraceError,
    DependencyDown,
    KeyForbidden,
    ObjectChanged,
    ObjectDenied,
    ObjectNotFound,
    ObjectRefused,
    ObjectTooLarge,
    StoreUnavailable,
)
from storage.s3_errors import REMEDIES, S3_CODES, TRANSPORT_FAULTS, code_in, from_answer, from_transport

# The codes of Amazon's list of S3 errors (general part) and of MinIO's, for GET, HEAD, PUT, DELETE, ListObjectsV2 and HeadBucket.
PUBLISHED = """
AccessDenied AccountProblem AllAccessDisabled AuthorizationHeaderMalformed AuthorizationQueryParametersError BadDigest
BandwidthLimitExceeded Busy ConditionalRequestConflict CredentialsNotSupported EntityTooLarge ExpiredToken IncompleteBody
InsufficientStorage InternalError InvalidAccessKeyId InvalidArgument InvalidBucketName InvalidDigest
InvalidEncryptionAlgorithmError InvalidObjectState InvalidPayer InvalidRange InvalidRegion InvalidRequest InvalidSecurity
InvalidTag InvalidToken InvalidURI KMSDisabledException KMSNotFoundException KeyTooLongError MetadataTooLarge
MethodNotAllowed MissingContentLength MissingSecurityHeader NoSuchBucket NoSuchKey NoSuchVersion NotImplemented NotSignedUp
OperationAborted PermanentRedirect PreconditionFailed Redirect RequestExpired RequestHeaderSectionTooLarge
RequestIsNotMultiPartContent RequestLimitExceeded RequestTimeTooSkewed RequestTimeout
ServerSideEncryptionConfigurationNotFoundError ServiceUnavailable SignatureDoesNotMatch SlowDown SlowDownRead SlowDownWrite
TemporaryRedirect ThrottlingException TokenRefreshRequired TooManyRequests UnexpectedContent XAmzContentSHA256Mismatch
XMinioBackendDown XMinioInvalidObjectName XMinioObjectExistsAsDirectory XMinioParentIsObject XMinioServerNotInitialized
XMinioStorageFull
""".split()

# What a request without proxy, without a file as its body and without a followed redirect cannot raise.
UNREACHABLE = {
    transport.HTTPError,  # the root
    transport.PoolError,  # parents of what is raised
    transport.RequestError,
    transport.ProxyError,
    transport.ProxySchemeUnknown,
    transport.HostChangedError,
    transport.TimeoutStateError,
    transport.UnrewindableBodyError,
}


def test_every_published_code_is_mapped():
    """A code that we have not thought of would be judged by its status alone."""
    assert [code for code in PUBLISHED if code not in S3_CODES] == []


def test_every_urllib3_error_is_mapped():
    """When urllib3 grows an exception, this names it."""
    theirs = {
        kind for _, kind in inspect.getmembers(transport, inspect.isclass) if issubclass(kind, transport.HTTPError)
    }
    assert theirs - set(TRANSPORT_FAULTS) - UNREACHABLE == set()


def test_every_remedy_belongs_to_a_code():
    """A misspelt code would never show its remedy."""
    assert set(REMEDIES) <= set(S3_CODES)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", ObjectNotFound),
        (404, "NoSuchVersion", ObjectNotFound),
        (404, "", ObjectNotFound),
        (404, "NoSuchBucket", BucketMissing),
        (403, "AccessDenied", ObjectDenied),
        (403, "", ObjectDenied),
        (403, "InvalidAccessKeyId", StoreUnavailable),
        (403, "SignatureDoesNotMatch", StoreUnavailable),
        (403, "RequestTimeTooSkewed", StoreUnavailable),
        (403, "InvalidObjectState", ObjectRefused),
        (412, "PreconditionFailed", ObjectChanged),
        (412, "", ObjectChanged),
        (413, "", ObjectTooLarge),
        (400, "KeyTooLongError", KeyForbidden),
        (400, "SomethingNewFromTheVendor", ObjectRefused),
        (400, "RequestTimeout", StoreUnavailable),
        (409, "OperationAborted", StoreUnavailable),
        (429, "", StoreUnavailable),
        (408, "", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (503, "SlowDown", StoreUnavailable),
        (507, "", StoreUnavailable),
        (501, "", ObjectRefused),
        (301, "PermanentRedirect", StoreUnavailable),
        (302, "", StoreUnavailable),
        (204, "", StoreUnavailable),
    ],
)
def test_the_code_decides_and_then_the_status(status, code, kind):
    """Each answer that is no success has exactly one class."""
    assert type(from_answer(status, code, "GET of an object in 'b'")) is kind


@pytest.mark.parametrize("status", range(500, 600))
def test_a_server_error_never_costs_a_reference(status):
    """Any 5xx without a code is waited for, but for 501, which no waiting cures."""
    assert isinstance(from_answer(status, "", "GET"), ObjectRefused if status == 501 else DependencyDown)


def test_no_object_error_stops_the_service():
    """Only a missing bucket or a wrong name of a bucket or region, which concern all objects, may be a configuration error."""
    fatal = {code for code, kind in S3_CODES.items() if issubclass(kind, ConfigError)}
    assert fatal == {"NoSuchBucket", "InvalidBucketName", "InvalidRegion", "IllegalLocationConstraintException"}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"<?xml version='1.0'?><Error><Code>NoSuchKey</Code><Key>a</Key></Error>", "NoSuchKey"),
        (b"<Error>\n <Code> SlowDown </Code>", "SlowDown"),
        (b"", ""),
        (b"<html>Bad gateway</html>", ""),
        (b"<Code></Code>", ""),
        (b"<Code>" + b"A" * 65 + b"</Code>", ""),
        (b"<Code>No<b>Such</Code>", ""),
        (b"\xff\xfe<\x00C\x00", ""),
    ],
)
def test_the_code_is_found_without_an_xml_parser(body, code):
    """Only a plain word between the tags counts."""
    assert code_in(body) == code


def test_a_transport_error_says_what_happened_but_not_which_object():
    """The class and the system's words are told; urllib3's text, which holds the path, is not."""
    inner = urllib3.exceptions.ProtocolError(
        "Connection aborted.", ConnectionResetError(104, "Connection reset by peer")
    )
    error = urllib3.exceptions.MaxRetryError(urllib3.HTTPConnectionPool("h"), "/b/jane-doe.jpg", inner)
    told = str(from_transport(inner, "GET of an object in 'b'"))
    assert (
        told
        == "no answer from the object store to GET of an object in 'b': ProtocolError from Connection reset by peer"
    )
    assert "jane" not in str(from_transport(error, "GET of an object in 'b'"))


def test_an_unknown_fault_is_waited_for():
    """What nobody has thought of must not cost a reference."""

    class Novel(transport.HTTPError):
        pass

    assert type(from_transport(Novel("x"), "GET")) is StoreUnavailable
    assert issubclass(StoreUnavailable, DeepTraceError)
