"""Names of certificates; openssl is the oracle."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from imaging import certificate
from imaging.certificate import InvalidCertificateNameError

PRINT = ":".join(["AB"] * 32)


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificate")
    path = folder / "one.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-keyout", str(folder / "one.key"), "-out", str(path)),
            *("-subj", "/CN=scanner/O=North Clinic"),
        ],
        check=True,
        capture_output=True,
    )
    return path


def openssl(pem: Path, *options: str) -> str:
    line = ["openssl", "x509", "-noout", "-in", str(pem), *options]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


@pytest.mark.peers
def test_what_openssl_prints_is_taken(pem: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert(pem.read_text())
    printed = openssl(pem, "-fingerprint", "-sha256")
    assert certificate.normalise(printed) == certificate.fingerprint(der)
    assert certificate.normalise(openssl(pem, "-subject")) == "CN=scanner, O=North Clinic"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (PRINT, PRINT),
        ("ab" * 32, PRINT),
        ("  " + PRINT.lower() + "\n", PRINT),
        ("CN=scanner", "CN=scanner"),
        ("CN = scanner,O= North Clinic", "CN=scanner, O=North Clinic"),
        ("CN=scanner, O=Clinic\\, North", "CN=scanner, O=Clinic\\, North"),
    ],
)
def test_names_have_one_form(text: str, expected: str) -> None:
    assert certificate.normalise(text) == expected
    assert certificate.normalise(expected) == expected


@pytest.mark.parametrize(
    "text", ["", "scanner", "ab" * 31, "ab" * 33, "xy" * 32, "=x", "CN=" + "x" * 300, "CN=a\nb"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    with pytest.raises(InvalidCertificateNameError):
        certificate.normalise(text)


def test_one_long_name_does_not_pass_for_several() -> None:
    forged = certificate.subject(((("commonName", "scanner, O=Clinic"),),))
    honest = certificate.subject(((("commonName", "scanner"),), (("organizationName", "Clinic"),)))
    assert honest == certificate.normalise("CN=scanner, O=Clinic")
    assert forged != honest
