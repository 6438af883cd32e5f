"""From settings to TLS contexts and credentials, the same for every client."""

import ssl
from pathlib import Path

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth
from pydantic import SecretStr
from support.certificates import Authority

from schemas.errors import ConfigError
from streams.faust_app import make_app
from streams.kafka_security import client_options, introduction, ssl_context
from streams.settings import KafkaSettings

PASSWORD = {"sasl_username": "worker", "sasl_password": SecretStr("canary")}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def client(authority):
    return authority.issue("worker")


def ssl_settings(**values):
    return KafkaSettings(security_protocol="SSL", **values)


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
def test_the_brokers_certificate_and_host_name_are_always_checked(protocol):
    """There is no setting to turn it off, and nothing older than TLS 1.2 is spoken."""
    context = ssl_context(
        KafkaSettings(security_protocol=protocol, **(PASSWORD if protocol.startswith("SASL") else {}))
    )
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_with_a_ca_file_no_other_ca_is_trusted(authority):
    """Not the system's: a broker of one's own is not to be replaced by whoever has a public certificate."""
    context = ssl_context(ssl_settings(ssl_ca_file=authority.certificate))
    [trusted] = context.get_ca_certs()
    assert trusted["subject"] == ((("commonName", "DeepTrace test ca"),),)


def test_without_security_clients_get_none():
    """The default talks to a plain broker."""
    assert client_options(KafkaSettings()) == {"security_protocol": "PLAINTEXT", "ssl_context": None}


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "SCRAM-SHA-256"])
def test_a_password_without_tls_makes_no_context(mechanism):
    """SASL_PLAINTEXT, with a mechanism that does not send the password."""
    settings = KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism=mechanism, **PASSWORD)
    assert client_options(settings) == {
        "security_protocol": "SASL_PLAINTEXT",
        "ssl_context": None,
        "sasl_mechanism": mechanism,
        "sasl_plain_username": "worker",
        "sasl_plain_password": "canary",
    }


def test_a_locked_key_opens_with_its_password(authority, client):
    """And without asking on the terminal."""
    locked = authority.locked(client.key, "canary-key")
    settings = ssl_settings(
        ssl_cert_file=client.certificate, ssl_key_file=locked, ssl_key_password=SecretStr("canary-key")
    )
    assert ssl_context(settings).check_hostname


@pytest.mark.parametrize("password", ["", "canary-wrong"])
def test_a_locked_key_without_its_password_is_refused(authority, client, password):
    """The error names the setting and holds no password."""
    locked = authority.locked(client.key, "canary-key")
    settings = ssl_settings(ssl_cert_file=client.certificate, ssl_key_file=locked, ssl_key_password=SecretStr(password))
    with pytest.raises(ConfigError) as caught:
        ssl_context(settings)
    assert str(caught.value) == (
        f"the key of the client certificate cannot be opened: {locked}: "
        "it is encrypted, and DEEPTRACE_KAFKA__SSL_KEY_PASSWORD is not its password"
    )
    assert "DEEPTRACE_KAFKA__SSL_KEY_PASSWORD_FILE" in caught.value.remedy


def test_files_that_do_not_fit_are_refused(authority, client, tmp_path):
    """Each is named, with OpenSSL's own reason."""
    other, junk = authority.issue("other"), tmp_path / "junk.pem"
    junk.write_text("canary")
    for settings, said in (
        (ssl_settings(ssl_ca_file=junk), f"{junk}: no certificate or crl found"),
        (ssl_settings(ssl_ca_file=tmp_path), "Is a directory"),
        (ssl_settings(ssl_ca_file=Path("/nowhere/ca.pem")), "No such file or directory"),
        (ssl_settings(ssl_cert_file=client.certificate, ssl_key_file=other.key), "key values mismatch"),
        (ssl_settings(ssl_cert_file=junk, ssl_key_file=client.key), "not in pem form"),
        (ssl_settings(ssl_cert_file=client.certificate, ssl_key_file=junk), "not in pem form"),
    ):
        with pytest.raises(ConfigError) as caught:
            ssl_context(settings)
        assert said in str(caught.value)
        assert "canary" not in str(caught.value)
        assert caught.value.remedy


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"security_protocol": "SSL"},
        {"security_protocol": "SASL_SSL", **PASSWORD},
        {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", **PASSWORD},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256", **PASSWORD},
    ],
    ids=["plain", "tls", "tls-scram", "tls-plain", "scram"],
)
async def test_fausts_clients_introduce_themselves_as_ours_do(values, tmp_path):
    """Its own translation of credentials comes to the options of all other clients."""
    settings = KafkaSettings(**values)
    app = make_app(settings, group="group", data_dir=tmp_path, buffer_records=1)
    given = dict(credentials_to_aiokafka_auth(app.conf.broker_credentials, app.conf.ssl_context))
    wanted = client_options(settings)
    contexts = [options.pop("ssl_context", None) for options in (given, wanted)]
    assert given == wanted
    assert [getattr(context, "check_hostname", None) for context in contexts] == [settings.uses_tls or None] * 2


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "over PLAINTEXT as anybody"),
        ({"security_protocol": "SASL_SSL", **PASSWORD}, "over SASL_SSL as worker (SCRAM-SHA-512)"),
        (
            {"security_protocol": "SSL", "ssl_cert_file": Path("/etc/me.pem"), "ssl_key_file": Path("/etc/me.key")},
            "over SSL with the certificate me.pem",
        ),
    ],
)
def test_a_person_is_told_over_what_and_as_whom(values, said):
    """In one line of `deeptrace doctor`, without the password."""
    assert introduction(KafkaSettings(**values)) == said
