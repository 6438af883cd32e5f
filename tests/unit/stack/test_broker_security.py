"""What a local broker is told to be a secured one."""

import stat

import pytest

from streams.stack.broker_security import BrokerSecurity
from streams.stack.server_tls import ServerTls


@pytest.fixture
def security(tmp_path):
    files = {name: tmp_path / f"{name}.pem" for name in ("certificate", "key", "ca")}
    for name, file in files.items():
        file.write_text(f"{name}\n")
    return BrokerSecurity(ServerTls(**files), {"worker": "canary"}, sasl_port=1111, tls_port=2222)


def test_key_and_certificate_lie_in_one_file_that_only_we_can_read(security, tmp_path):
    """As the broker wants it; the path is relative, as all of its paths."""
    work_dir = tmp_path / "broker"
    work_dir.mkdir()
    properties = security.write(work_dir)
    assert (work_dir / "keystore.pem").read_text() == "key\ncertificate\n"
    assert stat.S_IMODE((work_dir / "keystore.pem").stat().st_mode) == 0o600
    assert (work_dir / "truststore.pem").read_text() == "ca\n"
    assert "ssl.keystore.location=keystore.pem\n" in properties
    assert "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer\n" in properties
    assert "listener.name.ssl.ssl.client.auth=required\n" in properties


def test_passwords_are_in_no_repr(security):
    """It may be printed by a failing test."""
    assert "canary" not in repr(security)


def test_users_are_made_when_the_data_folder_is(security):
    """With the arguments of Kafka's own tool."""
    assert security.format_arguments == ["--add-scram", "SCRAM-SHA-512=[name=worker,password=canary]"]


def test_two_listeners_come_to_those_that_there_are(security):
    """On loopback."""
    assert security.listeners == ",SASL_SSL://127.0.0.1:1111,SSL://127.0.0.1:2222"
    assert security.protocols == ",SASL_SSL:SASL_SSL,SSL:SSL"
