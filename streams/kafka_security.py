"""Who we are to the broker and how we know it: the one place where the settings become TLS contexts and credentials.

Every Kafka client of this service is made with `client_options`. The broker's certificate and host name are always checked; there is no
setting that turns it off.
"""

import ssl
from pathlib import Path
from typing import Any

from schemas.errors import ConfigError
from streams.settings import KafkaSettings


def client_options(settings: KafkaSettings) -> dict[str, Any]:
    """Return the arguments about security that every aiokafka client takes.

    Raises:
        ConfigError: a certificate or key file cannot be used.
    """
    options: dict[str, Any] = {
        "security_protocol": settings.security_protocol,
        "ssl_context": ssl_context(settings) if settings.uses_tls else None,
    }
    if settings.uses_sasl:
        options |= {
            "sasl_mechanism": settings.sasl_mechanism,
            "sasl_plain_username": settings.sasl_username,
            "sasl_plain_password": settings.sasl_password.get_secret_value(),
        }
    return options


def ssl_context(settings: KafkaSettings) -> ssl.SSLContext:
    """Return the context that checks the broker's certificate and shows ours, where there is one.

    Raises:
        ConfigError: naming the file that is missing or is not what it should be, never its content.
    """
    context = ssl.create_default_context() if settings.ssl_ca_file is None else _trusting(settings.ssl_ca_file)
    if settings.ssl_cert_file is not None and settings.ssl_key_file is not None:
        _show_certificate(context, settings.ssl_cert_file, settings.ssl_key_file, settings)
    return context


def introduction(settings: KafkaSettings) -> str:
    """Return, for a person, over what and as whom the broker is spoken to."""
    if settings.uses_sasl:
        who = f"as {settings.sasl_username} ({settings.sasl_mechanism})"
    elif settings.ssl_cert_file is not None:
        who = f"with the certificate {settings.ssl_cert_file.name}"
    else:
        who = "as anybody"
    return f"over {settings.security_protocol} {who}"


def _trusting(ca_file: Path) -> ssl.SSLContext:
    _readable(ca_file, "SSL_CA_FILE")
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as error:
        raise ConfigError(
            f"the CA file of the broker cannot be used: {ca_file}",
            why=_reason(error),
            remedy="DEEPTRACE_KAFKA__SSL_CA_FILE must name certificates in PEM form (-----BEGIN CERTIFICATE-----).",
        ) from None


def _show_certificate(context: ssl.SSLContext, cert_file: Path, key_file: Path, settings: KafkaSettings) -> None:
    _readable(cert_file, "SSL_CERT_FILE")
    _readable(key_file, "SSL_KEY_FILE")
    asked: list[bool] = []

    def password() -> str:
        """Never leave the question to OpenSSL: it asks on the terminal, and a service would wait there for ever."""
        asked.append(True)
        return settings.ssl_key_password.get_secret_value()

    try:
        context.load_cert_chain(cert_file, key_file, password=password)
    except ssl.SSLError as error:
        if asked:
            raise ConfigError(
                f"the key of the client certificate cannot be opened: {key_file}",
                why="it is encrypted, and DEEPTRACE_KAFKA__SSL_KEY_PASSWORD is not its password",
                remedy="Set DEEPTRACE_KAFKA__SSL_KEY_PASSWORD, or DEEPTRACE_KAFKA__SSL_KEY_PASSWORD_FILE.",
            ) from None
        raise ConfigError(
            f"the client certificate {cert_file} and the key {key_file} cannot be used",
            why=_reason(error),
            remedy="DEEPTRACE_KAFKA__SSL_CERT_FILE and DEEPTRACE_KAFKA__SSL_KEY_FILE must be PEM files that belong together.",
        ) from None


def _readable(file: Path, setting: str) -> None:
    try:
        file.open("rb").close()
    except OSError as error:
        raise ConfigError(
            f"DEEPTRACE_KAFKA__{setting} cannot be read: {file}",
            why=error.strerror or type(error).__name__,
            remedy="Correct the path, or let this user read the file.",
        ) from None


def _reason(error: ssl.SSLError) -> str:
    """Return OpenSSL's name for what is wrong; its text adds nothing but a place in its source."""
    return (error.reason or "not in PEM form").replace("_", " ").lower()
