"""A real receiver of audit messages: rsyslog with TLS on a free port, and certificates for it."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.services.servers import MissingProgramError, Server, free_port


def certify(folder: Path) -> tuple[Path, Path, Path]:
    """Make an authority and a certificate of 127.0.0.1; returns CA, certificate and key."""
    now = datetime.now(UTC)

    def made(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=2))
        )

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    ca = (
        made("Test CA", "Test CA", ca_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    server = (
        made("syslog", "Test CA", key)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    paths = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(server.public_bytes(serialization.Encoding.PEM))
    paths[2].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
    return paths


class Receiver(Server):
    """rsyslog, with a certificate of its own, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("rsyslogd", path="/usr/sbin:/sbin:/usr/bin")
        if program is None:
            raise MissingProgramError(
                "rsyslog is missing. Run: sudo apt-get install rsyslog rsyslog-gnutls"
            )
        port = free_port()
        self.folder = folder
        (folder / "work").mkdir()
        (folder / "conf").write_text(
            f"""
global(workDirectory="{folder}/work" maxMessageSize="64k"
  parser.escapeControlCharactersOnReceive="off"
  defaultNetstreamDriverCAFile="{folder}/ca.pem"
  defaultNetstreamDriverCertFile="{folder}/cert.pem"
  defaultNetstreamDriverKeyFile="{folder}/key.pem")
module(load="imtcp" StreamDriver.Name="gtls" StreamDriver.Mode="1" StreamDriver.AuthMode="anon")
template(name="raw" type="string" string="%rawmsg%\\n")
input(type="imtcp" port="{port}" address="127.0.0.1" ruleset="audit")
ruleset(name="audit") {{ action(type="omfile" file="{folder}/messages" template="raw") }}
""",
            "utf-8",
        )
        super().__init__(
            url=f"tls://127.0.0.1:{port}",
            port=port,
            command=[program, "-n", "-f", folder / "conf", "-i", folder / "pid"],
            log=folder / "log",
        )

    @property
    def messages(self) -> list[str]:
        """What it has written: messages as they came, each on one line."""
        path = self.folder / "messages"
        return path.read_text("utf-8").splitlines() if path.exists() else []


@contextmanager
def receiver(folder: Path) -> Iterator[Receiver]:
    """Run rsyslog with a certificate of its own."""
    certify(folder)
    running = Receiver(folder)
    try:
        running.start()
        yield running
    finally:
        if running.process is not None and running.process.poll() is None:
            running.kill()
