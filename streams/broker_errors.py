"""Why the broker cannot be talked to, or does not permit something: said for a person, with a remedy.

aiokafka's clients log the cause of a failed connection and raise only that there is none; so after such a failure a connection is made
by hand, once, to see why. What only a person can mend (a wrong password, a CA that is not trusted, a missing ACL) becomes a ConfigError.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Any

from aiokafka.conn import AIOKafkaConnection, collect_hosts
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from schemas.errors import (
    BrokerNotTrusted,
    BrokerUnavailable,
    ConfigError,
    DeepTraceError,
    NotAuthenticated,
    NotPermitted,
)
from streams.kafka_security import client_options
from streams.settings import KafkaSettings

REFUSALS = (TopicAuthorizationFailedError, GroupAuthorizationFailedError, ClusterAuthorizationFailedError)
"""What the broker answers to a client that it knows and does not let do what it asked."""

LOOK_S = 10.0
CLOSE_S = 1.0
START_IT = "Start the broker (`deeptrace dev up` for a local one) or correct DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS."
WRONG_HOST = frozenset({62, 64})  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH
WRONG_TIME = frozenset({9, 10})  # not yet valid, expired


async def unreachable(settings: KafkaSettings) -> DeepTraceError:
    """Return the error that says why there is no connection to the broker. Asks every server once, at most `LOOK_S` seconds each.

    Returns:
        BrokerNotTrusted, NotAuthenticated, ConfigError: a person has to mend something.
        BrokerUnavailable: it is away, or was a moment ago.
    """
    found = [error async for error in looks(settings, client_options(settings)) if error is not None]
    away = BrokerUnavailable(
        f"no Kafka broker at {settings.bootstrap_servers}", why="it answers again", remedy="Try again."
    )
    return next((error for error in found if isinstance(error, ConfigError)), found[0] if found else away)


def not_permitted(error: KafkaError, doing: str, settings: KafkaSettings | None = None) -> NotPermitted:
    """Return the error for a broker that does not permit `doing` (`error` is one of `REFUSALS`, and says on what)."""
    names = sorted({name for arg in error.args for name in ([arg] if isinstance(arg, str) else arg)})
    return NotPermitted(
        f"the broker does not let {principal(settings) if settings else 'this user'} {doing}",
        why=" ".join([type(error).__name__, *names]),
        remedy="Grant the right with kafka-acls: `deeptrace topics acls` prints the commands. Or correct the user.",
    )


def principal(settings: KafkaSettings) -> str:
    """Return the name under which the broker's ACLs know this process, as far as we can tell."""
    if settings.uses_sasl:
        return f"User:{settings.sasl_username}"
    return "the user of our certificate" if settings.ssl_cert_file is not None else "User:ANONYMOUS"


async def looks(settings: KafkaSettings, options: dict[str, Any]) -> AsyncIterator[DeepTraceError | None]:
    """Yield, for each server named in the settings until one is good, and for the brokers that this one names, what is wrong (or None)."""
    timeout_s = min(settings.request_timeout_s, LOOK_S)
    for host, port, _ in collect_hosts(settings.bootstrap_servers):
        answer = await _look(host, port, options, timeout_s, settings)
        if isinstance(answer, DeepTraceError):
            yield answer
            continue
        yield None
        for broker in answer:
            again = await _look(*broker, options, timeout_s, settings)
            yield again if isinstance(again, DeepTraceError) else None
        return


async def _look(
    host: str, port: int, options: dict[str, Any], timeout_s: float, settings: KafkaSettings
) -> DeepTraceError | list[tuple[str, int]]:
    """Return the addresses of the cluster's brokers as this server tells them, or why it does not."""
    connection = AIOKafkaConnection(
        host, port, client_id="deeptrace-look", request_timeout_ms=int(timeout_s * 1000), **options
    )
    try:
        async with asyncio.timeout(timeout_s):
            await connection.connect()
            # A listener that wants a password tells its versions to anybody; the next request shows whether we are let in.
            answer = await connection.send(MetadataRequest([]))
            return [(host, port) for _, host, port, *_ in answer.brokers]
    except (OSError, KafkaError, ValueError, NotImplementedError) as error:
        return _said(error, f"{host}:{port}", settings)
    finally:
        await asyncio.wait({connection.close()}, timeout=CLOSE_S)


def _said(error: Exception, address: str, settings: KafkaSettings) -> DeepTraceError:
    cause = error.__cause__ if isinstance(error.__cause__, ssl.SSLError) else error  # of a connection that was closed
    if isinstance(cause, ssl.SSLCertVerificationError):
        return _untrusted(cause, address)
    if isinstance(cause, ssl.SSLError):
        return _no_handshake(cause, address, settings)
    if isinstance(error, SaslAuthenticationFailed | UnsupportedSaslMechanismError | IllegalSaslStateError):
        return _not_authenticated(error, address, settings)
    if isinstance(
        error, ValueError
    ):  # aiokafka's words for a server that cannot sign with what it should know of our password
        return BrokerNotTrusted(
            f"the Kafka broker at {address} did not prove that it knows {settings.sasl_username}",
            why="its SCRAM signature is wrong",
            remedy="Do not trust this server; check DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS.",
        )
    if isinstance(error, KafkaConnectionError | ConnectionError) and not isinstance(error, ConnectionRefusedError):
        return BrokerUnavailable(
            f"the Kafka broker at {address} ends the connection",
            why=f"security_protocol is {settings.security_protocol}",
            remedy=(
                "If it is up, its listener speaks another protocol or wants a client certificate: see"
                " DEEPTRACE_KAFKA__SECURITY_PROTOCOL and DEEPTRACE_KAFKA__SSL_CERT_FILE."
            ),
        )
    why = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
    return BrokerUnavailable(f"no Kafka broker at {address}", why=why, remedy=START_IT)


def _untrusted(error: ssl.SSLCertVerificationError, address: str) -> DeepTraceError:
    remedy = "Set DEEPTRACE_KAFKA__SSL_CA_FILE to the CA that signed the broker's certificate."
    if error.verify_code in WRONG_HOST:
        remedy = "Name the broker as its certificate does, in DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS and in its advertised.listeners."
    elif error.verify_code in WRONG_TIME:
        remedy = "Renew the broker's certificate, or set the clock of this machine."
    return BrokerNotTrusted(
        f"the Kafka broker at {address} did not prove who it is", why=error.verify_message.rstrip("."), remedy=remedy
    )


def _no_handshake(error: ssl.SSLError, address: str, settings: KafkaSettings) -> DeepTraceError:
    reason = error.reason or ""
    why = reason.replace("_", " ").lower() or "TLS handshake failed"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason or "HANDSHAKE_FAILURE" in reason):
        return NotAuthenticated(
            f"the Kafka broker at {address} does not accept our client certificate",
            why=why if settings.ssl_cert_file is not None else "it wants one, and none is configured",
            remedy=(
                "Set DEEPTRACE_KAFKA__SSL_CERT_FILE and DEEPTRACE_KAFKA__SSL_KEY_FILE to a certificate that is valid and signed by a"
                " CA that the broker trusts."
            ),
        )
    return ConfigError(
        f"there is no TLS with {address}",
        why=why,
        remedy=f"Its listener may not be one for security_protocol {settings.security_protocol}: check the port.",
    )


def _not_authenticated(error: KafkaError, address: str, settings: KafkaSettings) -> DeepTraceError:
    if isinstance(error, IllegalSaslStateError):
        return NotAuthenticated(
            f"the Kafka broker at {address} asks for no password",
            why=f"its listener is not one for security_protocol {settings.security_protocol}",
            remedy="Set DEEPTRACE_KAFKA__SECURITY_PROTOCOL to SSL or PLAINTEXT, or take the port of its SASL listener.",
        )
    if isinstance(error, UnsupportedSaslMechanismError):
        return NotAuthenticated(
            f"the Kafka broker at {address} does not take {settings.sasl_mechanism}",
            why="its listener offers other SASL mechanisms",
            remedy="Set DEEPTRACE_KAFKA__SASL_MECHANISM to one that it offers (its sasl.enabled.mechanisms).",
        )
    return NotAuthenticated(
        f"the Kafka broker at {address} does not accept the user {settings.sasl_username}",
        why=f"wrong user or password ({settings.sasl_mechanism})",
        remedy="Check DEEPTRACE_KAFKA__SASL_USERNAME and DEEPTRACE_KAFKA__SASL_PASSWORD (or ..._FILE).",
    )
