import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from schemas.errors import StackUnavailable
from streams.stack.artifacts import ensure_jars
from streams.stack.java import java_command
from streams.stack.launch import Launch, started
from streams.stack.minio_binary import find_minio
from streams.stack.ports import LOOPBACK, free_ports
from streams.stack.readiness import store_is_ready
from streams.stack.server import Server, ServerSpec
from streams.stack.server_tls import ServerTls

StoreKind = Literal["minio", "s3proxy"]

_S3PROXY_SETTINGS = """\
s3proxy.endpoint=http://{host}:{port}
s3proxy.authorization=aws-v2-or-v4
s3proxy.identity={access_key}
s3proxy.credential={secret_key}
jclouds.provider=filesystem-nio2
jclouds.filesystem.basedir={data_dir}
"""

# Without a file of its own S3Proxy logs every request at DEBUG.
_S3PROXY_LOGGING = """\
<configuration>
  <appender name="OUT" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %-5level %logger{20} %msg%n</pattern></encoder>
  </appender>
  <root level="WARN"><appender-ref ref="OUT"/></root>
</configuration>
"""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The one account of a local store, made up for each state folder."""

    access_key: str
    secret_key: str

    @classmethod
    def random(cls) -> "Credentials":
        """Make up an account."""
        return cls("deeptrace", secrets.token_urlsafe(24))


class ObjectStoreServer(Server):
    """An S3 server; `kind` names the program, so that a finding can be laid at the right door."""

    def __init__(self, spec: ServerSpec, *, bound: bool, credentials: Credentials, kind: StoreKind) -> None:
        super().__init__(spec, bound=bound)
        self.access_key = credentials.access_key
        self.secret_key = credentials.secret_key
        self.kind = kind


def start_s3proxy(
    state_dir: Path,
    *,
    port: int | None = None,
    credentials: Credentials | None = None,
    launch: Launch | None = None,
) -> ObjectStoreServer:
    """Start an S3Proxy over a folder under `state_dir`; it is ready when this returns. Raises StackUnavailable."""
    launch = launch or Launch()
    return started(prepare_s3proxy(state_dir, port=port, credentials=credentials, launch=launch), launch)


def start_minio(
    state_dir: Path,
    *,
    port: int | None = None,
    credentials: Credentials | None = None,
    launch: Launch | None = None,
    tls: ServerTls | None = None,
) -> ObjectStoreServer:
    """Start a MinIO over a folder under `state_dir`; it is ready when this returns. With `tls` it speaks nothing else.

    Raises StackUnavailable, also when there is no binary: `build_minio` makes one.
    """
    launch = launch or Launch()
    return started(prepare_minio(state_dir, port=port, credentials=credentials, launch=launch, tls=tls), launch)


def prepare_s3proxy(
    state_dir: Path, *, port: int | None, credentials: Credentials | None, launch: Launch
) -> ObjectStoreServer:
    """Do everything up to the start: get the jars and write the configuration."""
    jars = ensure_jars("s3proxy", launch.cache_dir, progress=launch.progress, cancelled=launch.cancelled)
    work_dir = _work_dir(state_dir, "s3proxy")
    port = port or free_ports(1)[0]
    credentials = credentials or Credentials.random()
    settings = work_dir / "s3proxy.properties"
    settings.touch(mode=0o600)
    settings.write_text(
        _S3PROXY_SETTINGS.format(
            host=LOOPBACK,
            port=port,
            access_key=credentials.access_key,
            secret_key=credentials.secret_key,
            data_dir=_escaped(work_dir / "data"),  # S3Proxy lists nothing under a relative one
        ),
        encoding="utf-8",
    )
    (work_dir / "logback.xml").write_text(_S3PROXY_LOGGING, encoding="utf-8")
    command = java_command(
        work_dir,
        "org.gaul.s3proxy.Main",
        ["--properties", settings.name],
        jars=jars,
        properties={"logback.configurationFile": "logback.xml"},
    )
    return _server(state_dir, "s3proxy", command, {}, port, credentials, launch)


def _escaped(path: Path) -> str:
    """Return an absolute path as a Java properties file spells it: ASCII, backslashes doubled."""
    plain = str(path.resolve()).replace("\\", "\\\\")
    utf16 = plain.encode("utf-16-be")
    units = (int.from_bytes(utf16[i : i + 2], "big") for i in range(0, len(utf16), 2))
    return "".join(chr(unit) if unit < 128 else f"\\u{unit:04x}" for unit in units)  # noqa: PLR2004  # ASCII


def prepare_minio(
    state_dir: Path,
    *,
    port: int | None,
    credentials: Credentials | None,
    launch: Launch,
    tls: ServerTls | None = None,
) -> ObjectStoreServer:
    """Do everything up to the start: find the binary and make its folders."""
    binary = find_minio(launch.cache_dir)
    if binary is None:
        raise StackUnavailable(
            "There is no MinIO binary",
            why=f"`minio` is neither on PATH nor in {launch.cache_dir / 'bin'}",
            remedy="Put one on PATH, or use S3Proxy.",
        )
    work_dir = _work_dir(state_dir, "minio")
    port, console_port = (port, *free_ports(1)) if port else free_ports(2)
    credentials = credentials or Credentials.random()
    addresses = ["--address", f"{LOOPBACK}:{port}", "--console-address", f"{LOOPBACK}:{console_port}"]
    command = [str(binary), "server", *addresses, "--certs-dir", "certs", "data"]
    env = {
        "MINIO_ROOT_USER": credentials.access_key,
        "MINIO_ROOT_PASSWORD": credentials.secret_key,
        "MINIO_BROWSER": "off",
        "MINIO_UPDATE": "off",  # it asks the network for news otherwise
        "HOME": str(work_dir),
    }
    if tls is not None:
        _write_certificate(work_dir / "certs", tls)
    return _server(state_dir, "minio", command, env, port, credentials, launch, ca=tls.ca if tls else None)


def _write_certificate(folder: Path, tls: ServerTls) -> None:
    """Put certificate and key where MinIO looks for them, under the names it expects."""
    folder.mkdir(exist_ok=True)
    (folder / "public.crt").write_bytes(tls.certificate.read_bytes())
    key = folder / "private.key"
    key.touch(mode=0o600)
    key.write_bytes(tls.key.read_bytes())


def _work_dir(state_dir: Path, kind: StoreKind) -> Path:
    work_dir = state_dir.resolve() / kind
    (work_dir / "data").mkdir(parents=True, exist_ok=True)
    return work_dir


def _server(
    state_dir: Path,
    kind: StoreKind,
    command: list[str],
    env: dict[str, str],
    port: int,
    credentials: Credentials,
    launch: Launch,
    *,
    ca: Path | None = None,
) -> ObjectStoreServer:
    spec = ServerSpec(
        name=kind,
        port=port,
        command=command,
        work_dir=state_dir.resolve() / kind,
        log=state_dir.resolve() / "logs" / f"{kind}.log",
        is_ready=lambda: store_is_ready(port, credentials.access_key, credentials.secret_key, ca=ca),
        env=env,
    )
    return ObjectStoreServer(spec, bound=launch.bound, credentials=credentials, kind=kind)
