"""The encrypted port: the same services, and certificates where they are asked for."""

from __future__ import annotations

import socket
import ssl
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.pdu import read_part10
from tests.receiver import ReceiverSite

pytestmark = [pytest.mark.peers, pytest.mark.slow]


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key, cert = folder / f"{name}.key", folder / f"{name}.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-keyout", str(key), "-out", str(cert), "-subj", f"/CN={name}"),
        ],
        check=True,
        capture_output=True,
    )
    return key, cert


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(
    program: str, port: int, *options: str | Path, paths: Sequence[Path] = ()
) -> subprocess.CompletedProcess[str]:
    line = [program, "-v", "-aec", "NOCTIS_SCP", "-to", "5", *map(str, options), "127.0.0.1"]
    return subprocess.run(
        [*line, str(port), *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return certificate(tmp_path_factory.mktemp("own"), "archive")


def test_whoever_comes_encrypted_is_served_as_on_the_plain_port(
    make_site: Callable[..., ReceiverSite], own: tuple[Path, Path], data: Path
) -> None:
    port = free_port()
    site = make_site(
        environment={
            "DICOM_TLS_PORT": str(port),
            "DICOM_TLS_KEY": str(own[0]),
            "DICOM_TLS_CERT": str(own[1]),
        }
    )
    site.start()
    paths = sorted((data / "ct" / "head_phantom_1mm").iterdir())[:6]
    done = call("storescu", port, "+tla", "-ic", "-aet", "CT_1", paths=paths)
    assert done.returncode == 0, done.stderr
    stored = {
        read_part10((site.store / row["storage_key"]).read_bytes()).data for row in site.images()
    }
    assert stored == {read_part10(path.read_bytes()).data for path in paths}

    stranger = call("echoscu", port, "+tla", "-ic", "-aet", "NOBODY")
    assert stranger.returncode != 0
    assert "Calling AE Title Not Recognized" in stranger.stderr

    # Neither a plain caller on this port nor one who is silent keeps others out.
    with socket.create_connection(("127.0.0.1", port)) as silent:
        plain = call("echoscu", port, "-aet", "CT_1")
        assert plain.returncode != 0
        assert call("echoscu", port, "+tla", "-ic", "-aet", "CT_1").returncode == 0
        silent.close()
    assert site.echo() < 1

    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        with pytest.warns(DeprecationWarning, match="deprecated"):
            old.minimum_version, old.maximum_version = version, version
        old.set_ciphers("ALL:@SECLEVEL=0")
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as client,
            pytest.raises((ssl.SSLError, ConnectionError)),
        ):
            old.wrap_socket(client)


def test_with_an_authority_callers_present_a_certificate(
    make_site: Callable[..., ReceiverSite], own: tuple[Path, Path], tmp_path: Path
) -> None:
    known_key, known = certificate(tmp_path, "scanner")
    other_key, other = certificate(tmp_path, "impostor")
    port = free_port()
    site = make_site(
        environment={
            "DICOM_TLS_PORT": str(port),
            "DICOM_TLS_KEY": str(own[0]),
            "DICOM_TLS_CERT": str(own[1]),
            "DICOM_TLS_CA": str(known),
        }
    )
    site.start()
    caller = ("-ic", "-aet", "CT_1")
    assert call("echoscu", port, "+tls", known_key, known, *caller).returncode == 0
    assert call("echoscu", port, "+tls", other_key, other, *caller).returncode != 0
    assert call("echoscu", port, "+tla", *caller).returncode != 0


def signed_by(folder: Path, authority: tuple[Path, Path], name: str) -> tuple[Path, Path]:
    """A key and a certificate that an authority vouches for."""
    key, request, cert = (folder / f"{name}.{kind}" for kind in ("key", "csr", "pem"))
    new_key = ("-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(request))
    subject = ("-subj", f"/CN={name}/O=North Clinic")
    subprocess.run(["openssl", "req", *new_key, *subject], check=True, capture_output=True)
    signing = ("-CA", str(authority[1]), "-CAkey", str(authority[0]), "-CAcreateserial")
    subprocess.run(
        ["openssl", "x509", "-req", "-in", str(request), "-out", str(cert), *signing],
        check=True,
        capture_output=True,
    )
    return key, cert


def fingerprint(cert: Path) -> str:
    line = ["openssl", "x509", "-noout", "-fingerprint", "-sha256", "-in", str(cert)]
    printed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return printed.strip().rpartition("=")[2]


BIND = """
from archive.access import Actor, EVERYTHING
from archive.facilities import bind_certificate
from worklist.models import FacilityAE
entry = FacilityAE.objects.select_related("facility").get(ae_title={ae_title!r})
actor = Actor(name="ada", scope=EVERYTHING, is_administrator=True)
bind_certificate(actor, entry.facility, entry.pk, {name!r})
"""
TRUST = """
from archive.access import Actor, EVERYTHING
from archive.facilities import admit_knock
from archive.models import Knock
from worklist.models import Facility
actor = Actor(name="ada", scope=EVERYTHING, is_administrator=True)
knock = Knock.objects.get(calling_ae_title={ae_title!r}, reason_code="certificate")
admit_knock(actor, knock, Facility.objects.get(code="NORTH"))
"""


@pytest.mark.parametrize("fast", ["1", "0"], ids=["own", "pynetdicom"])
def test_an_ae_title_may_be_bound_to_a_certificate(
    make_site: Callable[..., ReceiverSite], own: tuple[Path, Path], tmp_path: Path, fast: str
) -> None:
    authority = certificate(tmp_path, "authority")
    scanner, other = (signed_by(tmp_path, authority, name) for name in ("scanner", "other"))
    port = free_port()
    site = make_site(
        environment={
            "DICOM_TLS_PORT": str(port),
            "DICOM_TLS_KEY": str(own[0]),
            "DICOM_TLS_CERT": str(own[1]),
            "DICOM_TLS_CA": str(authority[1]),
            "DICOM_FAST_PATH": fast,
        }
    )
    site.run_python(BIND.format(ae_title="CT_1", name=fingerprint(scanner[1])))
    site.run_python(BIND.format(ae_title="CT_2", name="CN = scanner, O = North Clinic"))
    site.run_python(
        "from worklist.models import Facility\n"
        "Facility.objects.filter(code='WEST').update(requires_tls=True)"
    )
    site.start()

    def calls(title: str, own_certificate: tuple[Path, Path] | None) -> bool:
        if own_certificate is None:
            return call("echoscu", site.port, "-aet", title).returncode == 0
        key, cert = own_certificate
        return call("echoscu", port, "+tls", key, cert, "-ic", "-aet", title).returncode == 0

    def knock(title: str, code: str) -> dict[str, object]:
        rows: list[dict[str, object]] = site.eventually(
            lambda: site.rows(
                "SELECT * FROM archive_knock WHERE calling_ae_title = ? AND reason_code = ?",
                title,
                code,
            )
        )
        return rows[0]

    for title in ("CT_1", "CT_2"):
        assert calls(title, scanner)
        assert not calls(title, None)
        assert "presented none" in str(knock(title, "certificate")["reason"])
        assert not calls(title, other)
        site.eventually(lambda t=title: knock(t, "certificate")["certificate"])
        shown = knock(title, "certificate")
        assert shown["certificate"] == fingerprint(other[1])
        assert "CN=other, O=North Clinic" in str(shown["reason"])
    # Who is not bound calls as before, and what it presents is noted.
    assert calls("CT_3", other)
    assert calls("CT_3", None)
    assert calls("CT_4", other)
    (entry,) = site.eventually(
        lambda: site.rows(
            "SELECT * FROM worklist_facilityae WHERE ae_title='CT_4' AND last_certificate != ''"
        )
    )
    assert entry["last_certificate"] == fingerprint(other[1])

    site.run_python(TRUST.format(ae_title="CT_1"))
    site.eventually(lambda: calls("CT_1", other))
    assert not calls("CT_1", scanner)

    assert not calls("CT_WEST", None)
    assert "West Clinic takes encrypted calls alone" in str(knock("CT_WEST", "plain")["reason"])
    assert calls("CT_WEST", other)


def test_a_certificate_that_cannot_be_used_stops_the_start(
    make_site: Callable[..., ReceiverSite], own: tuple[Path, Path]
) -> None:
    site = make_site(
        environment={
            "DICOM_TLS_PORT": str(free_port()),
            "DICOM_TLS_KEY": str(own[1]),  # the certificate in the key's place
            "DICOM_TLS_CERT": str(own[1]),
        }
    )
    with pytest.raises(AssertionError):
        site.start()
    assert site.process is not None
    assert site.process.wait(timeout=10) == 1
    assert "DICOM_TLS_CERT, _KEY or _CA cannot be used" in site.log()
