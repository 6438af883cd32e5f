"""How a `MinioStore` is set up and let go."""

import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shutil import which

import pytest

from schemas.errors import ConfigError, StoreUnavailable
from storage.minio_store import MinioStore

KEYS = {"access_key": "canary-access", "secret_key": "canary-secret-key", "secure": False}
READ = {"max_bytes": 100, "deadline_s": 2.0}


@pytest.mark.parametrize(
    "endpoint", ["", "http://127.0.0.1:9000", "127.0.0.1:9000/path", "u:p@127.0.0.1:9000", "127.0.0.1:port"]
)
def test_an_address_that_is_none_is_refused(endpoint):
    """The endpoint is host and port, nothing else."""
    with pytest.raises(ConfigError):
        MinioStore(endpoint, allowed_buckets=["images"], **KEYS)


@pytest.mark.parametrize("bucket", ["", "Images", "a", "a..b", "../etc", "192.168.0.1"])
def test_a_bucket_name_that_is_none_is_refused(bucket):
    """At the start, and not with the first object."""
    with pytest.raises(ConfigError):
        MinioStore("127.0.0.1:9000", allowed_buckets=[bucket], **KEYS)


def test_a_missing_ca_file_is_refused(tmp_path):
    """Silently falling back to the system's certificates would fail later and puzzle."""
    with pytest.raises(ConfigError, match="CA file"):
        MinioStore("127.0.0.1:9000", allowed_buckets=["images"], ca_file=tmp_path / "ca.pem", **KEYS)


def test_a_ca_file_without_a_certificate_is_refused(tmp_path):
    """At the first request it would look like a store that is away, and be waited for."""
    (tmp_path / "ca.pem").write_text("canary")
    with pytest.raises(ConfigError) as caught:
        MinioStore("127.0.0.1:9000", allowed_buckets=["images"], ca_file=tmp_path / "ca.pem", **KEYS)
    assert "no certificate in PEM form" in caught.value.why
    assert "canary" not in str(caught.value)


def test_the_secrets_are_in_no_repr():
    """A store may be logged."""
    assert (
        repr(MinioStore("127.0.0.1:9000", allowed_buckets=["images"], **KEYS))
        == "MinioStore('127.0.0.1:9000', buckets=['images'])"
    )


def test_a_bad_setting_is_told_without_the_secrets():
    """Nor do they stand in the error of a failed set-up."""
    with pytest.raises(ConfigError) as caught:
        MinioStore("127.0.0.1:port", allowed_buckets=["images"], **KEYS)
    assert "canary" not in repr(caught.value) + str(caught.value)


def test_connections_are_kept(serve, connect, http_answer):
    """Objects and listings share the pool, one after the other one connection."""
    listing = b"<ListBucketResult><Name>images</Name><IsTruncated>false</IsTruncated></ListBucketResult>"

    def script(_server, client, request):
        if b"list-type" in request:
            client.sendall(http_answer(200, listing, Content_Type="application/xml"))
        else:
            client.sendall(
                http_answer(200, b"", Content_Length="1") if request.startswith(b"HEAD") else http_answer(200, b"x")
            )

    server = serve(script)
    store = connect(server.endpoint)
    for _ in range(5):
        store.get("images", "a", **READ)
        store.put("images", "a", b"x", content_type="image/webp", deadline_s=2.0)
        store.head("images", "a")
        assert list(store.list("images")) == []
    assert server.connections == 1


def test_more_threads_than_the_pool_has_room_for_still_work(serve, connect, http_answer):
    """They do not wait for each other, which could outlast their deadlines."""
    all_there = threading.Barrier(8)

    def script(_server, client, _request):
        all_there.wait(5)
        client.sendall(http_answer(200, b"x"))

    store = connect(serve(script).endpoint, pool_size=2)
    with ThreadPoolExecutor(8) as pool:
        assert [found.data for found in pool.map(lambda _: store.get("images", "a", **READ), range(8))] == [b"x"] * 8


def test_a_closed_store_is_unavailable(serve, connect, http_answer):
    """It opens no new connection; closing it again does nothing."""
    server = serve(http_answer(200, b"x"))
    store = connect(server.endpoint)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.get("images", "a", **READ)
    assert server.connections == 0


@pytest.fixture
def certificate(tmp_path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    if which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    pem, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=store -addext subjectAltName=IP:127.0.0.1"
    subprocess.run([*command.split(), "-keyout", str(key), "-out", str(pem)], check=True, capture_output=True)
    return pem, key


@pytest.fixture
def tls_endpoint(certificate, http_answer):
    """The address of a server that speaks TLS with the certificate."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    listener = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            try:
                client, _ = listener.accept()
                with context.wrap_socket(client, server_side=True) as secured:
                    secured.recv(65536)
                    secured.sendall(http_answer(200, b"over TLS"))
            except ssl.SSLError:
                continue
            except OSError:
                return

    thread = threading.Thread(target=run)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def test_the_ca_file_makes_a_private_certificate_trusted(tls_endpoint, connect, certificate):
    """A store behind a certificate of one's own works with `ca_file`."""
    assert connect(tls_endpoint, secure=True, ca_file=certificate[0]).get("images", "a", **READ).data == b"over TLS"


def test_an_untrusted_certificate_is_an_outage(tls_endpoint, connect):
    """Nothing is sent to a server that cannot prove who it is; the remedy names the setting."""
    with pytest.raises(StoreUnavailable) as caught:
        connect(tls_endpoint, secure=True).get("images", "a", **READ)
    assert "ca_file" in caught.value.remedy
