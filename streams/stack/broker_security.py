"""What makes a local broker a secured one: TLS, users with passwords, clients with certificates, and ACLs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from streams.stack.ports import LOOPBACK, free_ports
from streams.stack.server_tls import ServerTls

_KEYSTORE = "keystore.pem"
_TRUSTSTORE = "truststore.pem"

# The plain listener stays, for the broker itself and for whoever sets it up: on it everybody is ANONYMOUS, who may do everything. The
# others know their clients and let them do what an ACL allows, and nothing else.
_PROPERTIES = """\
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.type=PEM
ssl.keystore.location={keystore}
ssl.truststore.type=PEM
ssl.truststore.location={truststore}
listener.name.ssl.ssl.client.auth=required
# A certificate for CN=somebody is the Kafka user `somebody`, as a password may make one.
ssl.principal.mapping.rules=RULE:^.*CN=([^,]+).*$/$1/,DEFAULT
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
"""


@dataclass(frozen=True, slots=True)
class BrokerSecurity:
    """Two listeners more: SASL_SSL for `users` (SCRAM-SHA-512), and SSL for clients with a certificate of the CA in `tls`."""

    tls: ServerTls
    users: Mapping[str, str] = field(repr=False)  # names and passwords
    sasl_port: int
    tls_port: int

    @classmethod
    def on_free_ports(cls, tls: ServerTls, users: Mapping[str, str]) -> "BrokerSecurity":
        """Make one that listens where nobody else does."""
        sasl_port, tls_port = free_ports(2)
        return cls(tls, users, sasl_port, tls_port)

    @property
    def sasl_address(self) -> str:
        """Return where clients with a password bootstrap."""
        return f"{LOOPBACK}:{self.sasl_port}"

    @property
    def tls_address(self) -> str:
        """Return where clients with a certificate bootstrap."""
        return f"{LOOPBACK}:{self.tls_port}"

    @property
    def listeners(self) -> str:
        """Return the listeners, to be added to those that there are; they are advertised as they are."""
        return f",SASL_SSL://{self.sasl_address},SSL://{self.tls_address}"

    @property
    def protocols(self) -> str:
        """Return what the listeners speak, to be added likewise."""
        return ",SASL_SSL:SASL_SSL,SSL:SSL"

    @property
    def format_arguments(self) -> list[str]:
        """Return the arguments that give the data folder its users when it is formatted."""
        users = (f"SCRAM-SHA-512=[name={name},password={password}]" for name, password in self.users.items())
        return [argument for user in users for argument in ("--add-scram", user)]

    def write(self, work_dir: Path) -> str:
        """Write keys and certificates where the broker will look for them, readable by this user only; return its further properties."""
        keystore = work_dir / _KEYSTORE
        keystore.touch(mode=0o600)
        keystore.write_text(self.tls.key.read_text() + self.tls.certificate.read_text())
        (work_dir / _TRUSTSTORE).write_text(self.tls.ca.read_text())
        return _PROPERTIES.format(keystore=_KEYSTORE, truststore=_TRUSTSTORE)
