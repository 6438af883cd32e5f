"""Settings about transport security: whole or refused, and never silently unused."""

import pytest

from schemas.errors import ConfigError
from storage.by_bucket import ByBucket
from storage.minio_store import MinioStore
from streams.assembly import make_store
from streams.settings_sources import load

WITH_PASSWORD = {"SASL_USERNAME": "worker", "SASL_PASSWORD": "canary-password"}


def kafka(**values):
    return {f"DEEPTRACE_KAFKA__{name}": value for name, value in values.items()}


def store(**values):
    return {f"DEEPTRACE_STORE__{name}": value for name, value in values.items()}


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (kafka(SECURITY_PROTOCOL="SASL_SSL"), "SASL_SSL needs sasl_username and sasl_password"),
        (kafka(SECURITY_PROTOCOL="SASL_SSL", SASL_USERNAME="worker"), "needs sasl_username and sasl_password"),
        (kafka(**WITH_PASSWORD), "PLAINTEXT uses neither: set it to SASL_SSL"),
        (kafka(SECURITY_PROTOCOL="SSL", **WITH_PASSWORD), "SSL uses neither"),
        (kafka(SECURITY_PROTOCOL="SASL_PLAINTEXT", SASL_MECHANISM="PLAIN", **WITH_PASSWORD), "password unencrypted"),
        (kafka(SSL_CA_FILE="ca.pem"), "PLAINTEXT is not encrypted: set it to SSL or SASL_SSL"),
        (kafka(SECURITY_PROTOCOL="SASL_PLAINTEXT", SSL_CA_FILE="ca.pem", **WITH_PASSWORD), "is not encrypted"),
        (kafka(SECURITY_PROTOCOL="SSL", SSL_CERT_FILE="cert.pem"), "ssl_cert_file and ssl_key_file go together"),
        (kafka(SECURITY_PROTOCOL="SSL", SSL_KEY_FILE="key.pem"), "ssl_cert_file and ssl_key_file go together"),
        (kafka(SECURITY_PROTOCOL="SSL", SSL_KEY_PASSWORD="canary-key"), "ssl_key_password is set without ssl_key_file"),
        (kafka(SECURITY_PROTOCOL="TLS"), "kafka.security_protocol: Input should be 'PLAINTEXT', 'SSL'"),
        (store(WRITE_ACCESS_KEY="writer"), "write_access_key and write_secret_key go together"),
        (store(WRITE_SECRET_KEY="canary-writer"), "write_access_key and write_secret_key go together"),
        (
            store(WRITE_ACCESS_KEY="w", WRITE_SECRET_KEY="canary-w", OVERLAY_BUCKET="deeptrace-images"),
            "need buckets apart from the images: deeptrace-images",
        ),
        (store(CA_FILE="ca.pem"), "secure=false is not encrypted"),
    ],
)
def test_half_a_configuration_is_refused(env, said):
    """What somebody has set and would not be used is the most dangerous half: it looks protected."""
    with pytest.raises(ConfigError) as caught:
        load(env)
    assert said in caught.value.why
    assert "canary" not in caught.value.why


@pytest.mark.parametrize(
    "env",
    [
        {},
        kafka(SECURITY_PROTOCOL="SSL"),
        kafka(SECURITY_PROTOCOL="SSL", SSL_CA_FILE="ca.pem", SSL_CERT_FILE="c.pem", SSL_KEY_FILE="k.pem"),
        kafka(SECURITY_PROTOCOL="SASL_SSL", SASL_MECHANISM="PLAIN", **WITH_PASSWORD),
        kafka(SECURITY_PROTOCOL="SASL_SSL", SSL_CERT_FILE="c.pem", SSL_KEY_FILE="k.pem", **WITH_PASSWORD),
        kafka(SECURITY_PROTOCOL="SASL_PLAINTEXT", **WITH_PASSWORD),
        store(SECURE="true", CA_FILE="ca.pem", WRITE_ACCESS_KEY="w", WRITE_SECRET_KEY="canary-w"),
    ],
)
def test_a_whole_configuration_is_accepted_and_shows_no_secret(env):
    """Files are looked at when they are used: `config show` works on any machine."""
    assert "canary" not in repr(load(env).settings)


@pytest.mark.parametrize(
    "name", ["KAFKA__SASL_PASSWORD", "KAFKA__SSL_KEY_PASSWORD", "STORE__WRITE_ACCESS_KEY", "STORE__WRITE_SECRET_KEY"]
)
def test_each_secret_may_lie_in_a_file(name, tmp_path):
    """As container platforms hand secrets over."""
    (tmp_path / "secret").write_text("canary\n")
    whole = {
        **kafka(SECURITY_PROTOCOL="SASL_SSL", SSL_CERT_FILE="c.pem", SSL_KEY_FILE="k.pem", **WITH_PASSWORD),
        **store(WRITE_ACCESS_KEY="w", WRITE_SECRET_KEY="w"),
    }
    env = {key: value for key, value in whole.items() if key != f"DEEPTRACE_{name}"}
    settings = load({**env, f"DEEPTRACE_{name}_FILE": str(tmp_path / "secret")}).settings
    section, _, setting = name.lower().partition("__")
    assert getattr(getattr(settings, section), setting).get_secret_value() == "canary"


def test_one_store_user_has_all_buckets():
    """The default."""
    made = make_store(load(store(ACCESS_KEY="r", SECRET_KEY="canary-r")).settings)
    assert isinstance(made, MinioStore)
    assert repr(made) == (
        "MinioStore('127.0.0.1:9000', buckets=['deeptrace-images', 'deeptrace-outcomes', 'deeptrace-overlays'])"
    )
    made.close()


def test_two_store_users_share_no_bucket():
    """Neither connection could be used for the other's bucket, whatever the server allows."""
    first = store(ACCESS_KEY="r", SECRET_KEY="canary-r")
    made = make_store(load({**first, **store(WRITE_ACCESS_KEY="w", WRITE_SECRET_KEY="canary-w")}).settings)
    assert isinstance(made, ByBucket)
    results = "MinioStore('127.0.0.1:9000', buckets=['deeptrace-outcomes', 'deeptrace-overlays'])"
    assert repr(made) == (
        "ByBucket({'deeptrace-images': MinioStore('127.0.0.1:9000', buckets=['deeptrace-images']), "
        f"'deeptrace-overlays': {results}, 'deeptrace-outcomes': {results}}})"
    )
    made.close()
