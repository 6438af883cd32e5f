"""A wrong password, certificate, CA or address: the worker does not start and says what to do; doctor finds it too."""

import asyncio
import json
import socket
import ssl
import threading

import pytest
from support.certificates import Authority
from support.secure_world import CANARY, READER

from schemas.errors import NotAuthenticated
from streams.broker_watch import refused
from streams.checks import run_checks
from streams.kafka_security import client_options

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="session")
def stranger(secured):
    """A CA that nobody here trusts."""
    return Authority(secured.folder / "stranger", "stranger")


@pytest.fixture(scope="session")
def expired_server(secured):
    """The address of a server whose certificate has expired; it never gets as far as Kafka."""
    tls = secured.authority.server("expired-broker", days=-1)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.certificate, tls.key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                client, _ = listener.accept()
                with client:
                    context.wrap_socket(client, server_side=True).close()
            except ssl.SSLError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def wrong_password(secured, **_):
    return {"SASL_PASSWORD": f"{CANARY}-wrong"}


def wrong_user(secured, **_):
    return {"SASL_USERNAME": "nobody"}


def other_mechanism(secured, **_):
    return {"SASL_MECHANISM": "SCRAM-SHA-256"}


def wrong_ca(secured, stranger, **_):
    return {"SSL_CA_FILE": str(stranger.certificate)}


def wrong_host(secured, **_):
    return {"BOOTSTRAP_SERVERS": secured.security.sasl_address.replace("127.0.0.1", "localhost")}


def expired_broker(secured, expired_server, **_):
    return {"BOOTSTRAP_SERVERS": expired_server}


def no_certificate(secured, **_):
    return {**mutual(secured), "SSL_CERT_FILE": None, "SSL_KEY_FILE": None}


def strangers_certificate(secured, stranger, **_):
    issued = stranger.issue("deeptrace-worker")
    return {**mutual(secured), "SSL_CERT_FILE": str(issued.certificate), "SSL_KEY_FILE": str(issued.key)}


def expired_certificate(secured, **_):
    issued = secured.authority.issue("expired-worker", subject="/CN=deeptrace-worker", days=-1)
    return {**mutual(secured), "SSL_CERT_FILE": str(issued.certificate), "SSL_KEY_FILE": str(issued.key)}


def key_of_another(secured, **_):
    return {**mutual(secured), "SSL_KEY_FILE": str(secured.authority.issue("another").key)}


def locked_key(secured, **_):
    locked = secured.authority.locked(secured.client_certificate.key, f"{CANARY}-of-the-key")
    return {**mutual(secured), "SSL_KEY_FILE": str(locked), "SSL_KEY_PASSWORD": f"{CANARY}-wrong"}


def no_such_file(secured, **_):
    return {"SSL_CA_FILE": str(secured.folder / "nowhere.pem")}


def plain_port(secured, **_):
    return {"BOOTSTRAP_SERVERS": secured.broker.address}


def mutual(secured):
    return {name.removeprefix("DEEPTRACE_KAFKA__"): value for name, value in secured.mutual_tls.items()}


KAFKA_FAULTS = [
    (wrong_password, "not_authenticated", "does not accept the user deeptrace-worker", "SASL_PASSWORD"),
    (wrong_user, "not_authenticated", "does not accept the user nobody", "SASL_USERNAME"),
    (other_mechanism, "not_authenticated", "does not take SCRAM-SHA-256", "SASL_MECHANISM"),
    (wrong_ca, "broker_not_trusted", "certificate", "SSL_CA_FILE"),
    (wrong_host, "broker_not_trusted", "Hostname mismatch", "BOOTSTRAP_SERVERS"),
    (expired_broker, "broker_not_trusted", "certificate has expired", "Renew"),
    (no_certificate, "not_authenticated", "it wants one, and none is configured", "SSL_CERT_FILE"),
    (strangers_certificate, "not_authenticated", "does not accept our client certificate", "CA that the broker trusts"),
    (expired_certificate, "not_authenticated", "does not accept our client certificate", "valid"),
    (key_of_another, "config_invalid", "key values mismatch", "belong together"),
    (locked_key, "config_invalid", "it is encrypted", "SSL_KEY_PASSWORD"),
    (no_such_file, "config_invalid", "nowhere.pem", "Correct the path"),
    (plain_port, "broker_unavailable", "ends the connection", "SECURITY_PROTOCOL"),
]


@pytest.fixture(params=KAFKA_FAULTS, ids=lambda fault: fault[0].__name__)
def fault(request, secured, stranger, expired_server):
    """The variables of a faulty configuration, and what is to be said of it."""
    make, code, said, remedy = request.param
    changed = make(secured, stranger=stranger, expired_server=expired_server)
    env = {f"DEEPTRACE_KAFKA__{name}": value for name, value in changed.items() if value is not None}
    left_out = {f"DEEPTRACE_KAFKA__{name}" for name, value in changed.items() if value is None}
    return {name: value for name, value in {**secured.env, **env}.items() if name not in left_out}, code, said, remedy


async def test_doctor_says_what_is_wrong_with_kafka_and_what_to_do(fault, secured):
    """In the line of the broker; no secret in it."""
    env, code, said, remedy = fault
    settings = secured.settings_of(env)
    [finding] = await run_checks(settings, only=["broker"])
    assert not finding.ok
    assert f"({code})" in finding.detail
    assert said in finding.detail
    assert remedy in finding.remedy
    assert CANARY not in finding.detail + finding.remedy + repr(settings)


@pytest.mark.parametrize(
    ("make", "code", "exit_code"),
    [
        (wrong_password, "not_authenticated", 78),
        (wrong_ca, "broker_not_trusted", 78),
        (plain_port, "broker_unavailable", 69),
    ],
)
def test_a_worker_ends_at_once_and_says_so(secured, stranger, make, code, exit_code):
    """Instead of trying for ever: 78 where a person must mend it, 69 where it may be the broker's own trouble."""
    changed = make(secured, stranger=stranger)
    done = secured.run("worker", **{f"DEEPTRACE_KAFKA__{name}": value for name, value in changed.items()})
    assert done.returncode == exit_code
    [ended] = [json.loads(line) for line in done.stderr.splitlines() if '"failed"' in line]
    assert ended["code"] == code
    assert ended["remedy"]


async def test_a_running_worker_that_is_no_longer_let_in_ends_and_one_that_is_goes_on(secured, stranger):
    """aiokafka would take the first for a broker that is away, and try again for ever."""
    changed = {f"DEEPTRACE_KAFKA__{name}": value for name, value in strangers_certificate(secured, stranger).items()}
    turned_away, welcome = secured.settings_with(**changed).kafka, secured.settings_with(**secured.mutual_tls).kafka
    error = await asyncio.wait_for(refused(turned_away, client_options(turned_away), every_s=0.05), timeout=20)
    assert (type(error), error.exit_code) == (NotAuthenticated, 78)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(refused(welcome, client_options(welcome), every_s=0.05), timeout=1)


async def test_a_broker_that_is_away_refuses_nobody(secured):
    """It is waited for."""
    away = secured.settings_with(DEEPTRACE_KAFKA__BOOTSTRAP_SERVERS="127.0.0.1:1").kafka
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(refused(away, client_options(away), every_s=0.05), timeout=1)


@pytest.mark.parametrize(
    ("changed", "said", "remedy"),
    [
        ({"SECRET_KEY": f"{CANARY}-wrong"}, "SignatureDoesNotMatch", "secret key"),
        ({"ACCESS_KEY": "nobody"}, "InvalidAccessKeyId", "access key"),
        ({"CA_FILE": "stranger"}, "SSLError", "ca_file"),
        ({"CA_FILE": "no-pem"}, "holds no certificate", "PEM form"),
        ({"SECURE": "false", "CA_FILE": None}, "no answer", "DEEPTRACE_STORE__SECURE"),
        ({"WRITE_ACCESS_KEY": READER, "WRITE_SECRET_KEY": "the reader's"}, "AccessDenied", "storage policies"),
    ],
    ids=["secret", "access-key", "ca", "no-pem", "not-encrypted", "no-right"],
)
async def test_doctor_says_what_is_wrong_with_the_store_and_what_to_do(secured, stranger, changed, said, remedy):
    """In the line of the store; no secret in it."""
    (secured.folder / "no.pem").write_text("-----BEGIN NOTHING-----")
    known = {
        "stranger": str(stranger.certificate),
        "no-pem": str(secured.folder / "no.pem"),
        "the reader's": secured.reader_secret,
    }
    env = {**secured.env, **{f"DEEPTRACE_STORE__{name}": known.get(value, value) for name, value in changed.items()}}
    settings = secured.settings_of({name: value for name, value in env.items() if value is not None})
    [finding] = await run_checks(settings, only=["store"])
    assert not finding.ok
    assert said in finding.detail
    assert remedy in finding.remedy
    assert CANARY not in finding.detail + finding.remedy + repr(settings)


async def test_doctor_finds_an_expired_client_certificate_by_itself(secured):
    """The broker's alert alone would not say which of the two has expired."""
    issued = secured.authority.issue("old-worker", subject="/CN=deeptrace-worker", days=-1)
    env = {**secured.env, **secured.mutual_tls}
    env |= {"DEEPTRACE_KAFKA__SSL_CERT_FILE": str(issued.certificate), "DEEPTRACE_KAFKA__SSL_KEY_FILE": str(issued.key)}
    [finding] = await run_checks(secured.settings_of(env), only=["certificates"])
    assert not finding.ok
    assert f"our certificate {issued.certificate} has expired" in finding.detail
    assert finding.remedy == "Renew it."


def test_doctor_passes_a_worker_that_is_set_up_as_documented(secured):
    """It says over what and as whom the broker is spoken to, until when the certificates are valid, and whose rights these are."""
    checks = ("certificates", "broker", "topics", "rights", "store", "outcomes")
    options = [word for check in checks for word in ("--only", check)]
    done = secured.run("doctor", "--json", *options)
    found = {row["check"]: row for row in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 0
    assert all(row["ok"] for row in found.values())
    assert "over SASL_SSL as deeptrace-worker (SCRAM-SHA-512)" in found["broker"]["detail"]
    assert found["certificates"]["detail"].count("(1 days)") == 2
    assert found["topics"]["detail"].startswith("5 topics; this user may not see deeptrace-drift-windows-changelog")
    assert found["rights"]["detail"].startswith("scoring worker: all, drift worker: ")
    assert "two users" in found["store"]["detail"]


def test_the_settings_are_shown_without_secrets(secured):
    """`config show` masks them, however they came in."""
    done = secured.run(
        "config",
        "show",
        "--json",
        DEEPTRACE_KAFKA__SSL_KEY_FILE="k",
        DEEPTRACE_KAFKA__SSL_CERT_FILE="c",
        DEEPTRACE_KAFKA__SSL_KEY_PASSWORD=f"{CANARY}-of-the-key",
    )
    shown = {row["setting"]: row["value"] for row in map(json.loads, done.stdout.splitlines())}
    masked = {name for name, value in shown.items() if value == "********"}
    assert masked == {
        *("kafka.sasl_password", "kafka.ssl_key_password", "store.access_key", "store.secret_key"),
        *("store.write_access_key", "store.write_secret_key"),
    }
