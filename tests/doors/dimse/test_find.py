"""C-FIND, asked by dcmtk, pynetdicom and a peer that writes its PDUs by hand."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid
from pynetdicom import AE
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation
from pynetdicom.sop_class import (
    PatientRootQueryRetrieveInformationModelFind,
    PatientStudyOnlyQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelFind,
)

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    RawPeer,
    command,
    fragment,
    read_part10,
    uid_bytes,
    us,
)
from tests.receiver import ReceiverSite

FIND = "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT = StudyRootQueryRetrieveInformationModelFind
PATIENT_ROOT = PatientRootQueryRetrieveInformationModelFind
STUDIES = [generate_uid(entropy_srcs=["find", str(number)]) for number in range(3)]
NAMES = ["Yamada^Tarou=山田^太郎=やまだ^たろう", "Buc^Jérôme", "Люкceмбypг"]


def keep(site: ReceiverSite, calling: str = "CT_NORTH", **keywords: Any) -> None:
    part = read_part10(to_bytes(make_instance(SpecificCharacterSet="ISO_IR 192", **keywords)))
    with RawPeer(site.port, [(CT, [EXPLICIT_LE])], calling=calling) as peer:
        assert peer.store(CT, part.sop_instance, part.data).status == 0
        peer.release()


@pytest.fixture(scope="module")
def site(receiver: ReceiverSite) -> ReceiverSite:
    """A receiver with three studies of North, and one of West under the same IDs."""
    for number, (uid, name) in enumerate(zip(STUDIES, NAMES, strict=True), start=1):
        keep(
            receiver,
            StudyInstanceUID=uid,
            PatientName=name,
            PatientID=f"P{number}",
            AccessionNumber=f"ACC{number}",
            StudyDate=f"2026031{number}",
        )
    keep(receiver, "CT_WEST", StudyInstanceUID=STUDIES[0], PatientName="West^W", PatientID="P1")
    return receiver


def keys(**keywords: Any) -> Dataset:
    found = Dataset()
    for keyword, value in keywords.items():
        setattr(found, keyword, value)
    return found


def ask(
    site: ReceiverSite,
    asked: Dataset,
    model: Any = STUDY_ROOT,
    *,
    calling: str = "CT_NORTH",
    syntax: str = ExplicitVRLittleEndian,
    extended: bytes = b"",
) -> tuple[list[Dataset], list[Dataset], Any]:
    """Ask; returns statuses, answers, and what extended negotiation agreed on."""
    ae = AE(ae_title=calling)
    ae.add_requested_context(model, syntax)
    items = []
    if extended:
        item = SOPClassExtendedNegotiation()
        item.sop_class_uid = model
        item.service_class_application_information = extended
        items.append(item)
    association = ae.associate("127.0.0.1", site.port, ae_title="NOCTIS_SCP", ext_neg=items)
    assert association.is_established
    try:
        pairs = list(association.send_c_find(asked, model))
        agreed = association.acceptor.sop_class_extended.get(model)
    finally:
        association.release()
    return [s for s, _ in pairs], [found for _, found in pairs if found is not None], agreed


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_studies_are_answered_with_the_keys_asked_for(site: ReceiverSite, syntax: str) -> None:
    asked = keys(
        QueryRetrieveLevel="STUDY",
        PatientID="P2",
        PatientName="",
        StudyDate="20260301-20260331",
        StudyInstanceUID="",
        NumberOfStudyRelatedInstances="",
        Occupation="",
    )
    statuses, (found,), _ = ask(site, asked, syntax=syntax)
    assert [s.Status for s in statuses] == [0xFF00, 0x0000]
    assert found.StudyInstanceUID == STUDIES[1]
    assert found.StudyDate == "20260312"
    assert found.QueryRetrieveLevel == "STUDY"
    assert found.RetrieveAETitle == "NOCTIS_SCP"
    assert found.NumberOfStudyRelatedInstances == 1
    assert str(found.PatientName) == NAMES[1]
    assert found["Occupation"].is_empty
    assert "PatientBirthDate" not in found


@pytest.mark.parametrize(
    ("model", "level", "asked", "count"),
    [
        (PATIENT_ROOT, "PATIENT", {"PatientID": "P*"}, 3),
        (PATIENT_ROOT, "STUDY", {"PatientID": "P1", "StudyInstanceUID": ""}, 1),
        (PATIENT_ROOT, "SERIES", {"PatientID": "P1", "StudyInstanceUID": STUDIES[0]}, 1),
        (STUDY_ROOT, "SERIES", {"StudyInstanceUID": STUDIES[0]}, 1),
        (PatientStudyOnlyQueryRetrieveInformationModelFind, "PATIENT", {"PatientID": "P3"}, 1),
    ],
)
def test_every_model_has_its_levels(
    site: ReceiverSite, model: Any, level: str, asked: dict[str, str], count: int
) -> None:
    statuses, found, _ = ask(site, keys(QueryRetrieveLevel=level, **asked), model)
    assert len(found) == count
    assert statuses[-1].Status == 0


def test_an_image_is_found_by_way_of_its_series(site: ReceiverSite) -> None:
    above = {"PatientID": "P1", "StudyInstanceUID": STUDIES[0]}
    series = keys(QueryRetrieveLevel="SERIES", SeriesInstanceUID="", **above)
    _, (one,), _ = ask(site, series, PATIENT_ROOT)
    image = keys(
        QueryRetrieveLevel="IMAGE",
        SeriesInstanceUID=one.SeriesInstanceUID,
        SOPInstanceUID="",
        SOPClassUID="",
        **above,
    )
    _, (found,), _ = ask(site, image, PATIENT_ROOT)
    assert found.SOPClassUID == CT


@pytest.mark.parametrize(
    ("asked", "status", "words", "blamed"),
    [
        (keys(PatientID="P1"), 0xA900, "Level", 0x00080052),
        (keys(QueryRetrieveLevel="PATIENT", PatientID=""), 0xA900, "STUDY", 0x00080052),
        (keys(QueryRetrieveLevel="SERIES"), 0xA900, "StudyInstanceUID", 0x0020000D),
        (
            keys(QueryRetrieveLevel="IMAGE", StudyInstanceUID=STUDIES[0], SeriesInstanceUID="*"),
            0xA900,
            "SeriesInstanceUID",
            0x0020000E,
        ),
        (keys(QueryRetrieveLevel="STUDY", StudyDate="soon"), 0xA900, "StudyDate", 0x00080020),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(
    site: ReceiverSite, asked: Dataset, status: int, words: str, blamed: int
) -> None:
    (answer,), found, _ = ask(site, asked)
    assert (answer.Status, found) == (status, [])
    assert words in answer.ErrorComment
    assert answer.OffendingElement == blamed


def test_keys_that_are_not_known_are_said_to_be_so(site: ReceiverSite) -> None:
    asked = keys(QueryRetrieveLevel="STUDY", PatientID="P1", SeriesDescription="x", EchoTime="")
    statuses, (found,), _ = ask(site, asked)
    assert [s.Status for s in statuses] == [0xFF01, 0x0000]
    assert "SeriesDescription" not in found


@pytest.mark.parametrize(
    ("offered", "agreed"), [(b"\1", b"\1"), (b"\1\1\1\1\1", b"\1\1\1\0\0"), (b"\0\0", b"\0\0")]
)
def test_extended_negotiation_agrees_to_what_can_be_done(
    site: ReceiverSite, offered: bytes, agreed: bytes
) -> None:
    asked = keys(QueryRetrieveLevel="SERIES", Modality="CT", PatientID="P1")
    statuses, found, answered = ask(site, asked, extended=offered)
    assert answered == agreed
    if offered[0]:
        assert len(found) == 1
    else:
        assert statuses[0].Status == 0xA900


def test_fuzzy_names_must_be_negotiated(site: ReceiverSite) -> None:
    asked = keys(QueryRetrieveLevel="STUDY", PatientName="jerome buc")
    assert len(ask(site, asked, extended=b"\0\0\1")[1]) == 1
    assert ask(site, asked)[1] == []


def test_each_facility_finds_its_own(site: ReceiverSite) -> None:
    asked = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDIES[0], PatientName="")
    _, (found,), _ = ask(site, asked, calling="CT_WEST")
    assert found.PatientName == "West^W"
    asked = keys(QueryRetrieveLevel="STUDY", StudyInstanceUID=STUDIES[1])
    assert ask(site, asked, calling="CT_WEST")[1] == []


@pytest.mark.parametrize(
    ("terms", "name", "expected"),
    [
        (["ISO_IR 13", "ISO 2022 IR 87"], "*=山田*", NAMES[0]),
        (["", "ISO 2022 IR 87"], "山田^太郎", NAMES[0]),
        ("ISO_IR 100", "*Jérôme", NAMES[1]),
        ("ISO_IR 144", "Люкceмбypг", NAMES[2]),
        ("GB18030", "山田*", NAMES[0]),
        ("ISO_IR 192", "люкceмбypг", NAMES[2]),
    ],
)
def test_names_are_asked_and_answered_in_the_callers_character_set(
    site: ReceiverSite, terms: Any, name: str, expected: str
) -> None:
    asked = keys(SpecificCharacterSet=terms, QueryRetrieveLevel="STUDY", PatientName=name)
    _, (found,), _ = ask(site, asked)
    found.decode()
    assert str(found.PatientName) == expected
    assert found.SpecificCharacterSet == terms


def test_what_the_callers_set_lacks_comes_in_utf_8(site: ReceiverSite) -> None:
    asked = keys(SpecificCharacterSet="ISO_IR 100", QueryRetrieveLevel="STUDY", PatientName="")
    _, found, _ = ask(site, asked)
    for item in found:
        item.decode()
    sets = {str(item.PatientName): item.SpecificCharacterSet for item in found}
    assert sets == {
        NAMES[0]: "ISO_IR 192",
        NAMES[1]: "ISO_IR 100",
        NAMES[2]: "ISO_IR 192",
    }


def test_every_query_is_in_the_audit_trail_without_names(site: ReceiverSite) -> None:
    ask(site, keys(QueryRetrieveLevel="STUDY", PatientName="Secret^Name", PatientID=""))
    row = site.rows("SELECT * FROM archive_auditevent WHERE verb = 'query' ORDER BY at DESC")[0]
    assert row["actor"] == "CT_NORTH"
    assert json.loads(row["detail"]) == {
        "service": "C-FIND",
        "level": "STUDY",
        "keys": ["PatientName", "QueryRetrieveLevel"],
    }
    assert "Secret" not in site.log()


# --- by hand


def find_rq(message_id: int) -> bytes:
    return command(
        (0x0002, uid_bytes(FIND)),
        (0x0100, us(0x0020)),
        (0x0110, us(message_id)),
        (0x0700, us(0)),
        (0x0800, us(1)),
    )


def raw_identifier() -> bytes:
    return b"\x08\x00\x52\x00\x06\x00\x00\x00STUDY \x20\x00\x0d\x00\x00\x00\x00\x00"


def statuses_of(peer: RawPeer) -> Iterator[int]:
    """Read the commands of responses until the last."""
    while True:
        kind, body = peer.receive()
        assert kind == 0x04
        at = 0
        while at < len(body):
            length = int.from_bytes(body[at : at + 4], "big")
            control, value = body[at + 5], body[at + 6 : at + 4 + length]
            at += 4 + length
            if control != 3:
                continue
            offset = 0
            while offset < len(value):
                number = int.from_bytes(value[offset + 2 : offset + 4], "little")
                size = int.from_bytes(value[offset + 4 : offset + 8], "little")
                if number == 0x0900:
                    status = int.from_bytes(value[offset + 8 : offset + 10], "little")
                    yield status
                    if status not in {0xFF00, 0xFF01}:
                        return
                offset += 8 + size


def test_a_cancelled_query_ends_as_cancelled(site: ReceiverSite) -> None:
    with RawPeer(site.port, [(FIND, [IMPLICIT_LE])]) as peer:
        context = peer.context_of(FIND)
        cancel = command((0x0100, us(0x0FFF)), (0x0120, us(7)), (0x0800, us(0x0101)))
        peer.send(
            fragment(context, 3, find_rq(7))
            + fragment(context, 2, raw_identifier())
            + fragment(context, 3, cancel)
        )
        assert list(statuses_of(peer))[-1] == 0xFE00
        peer.send(fragment(context, 3, find_rq(8)) + fragment(context, 2, raw_identifier()))
        assert list(statuses_of(peer)) == [0xFF00, 0xFF00, 0xFF00, 0]
        peer.release()


@pytest.mark.parametrize("raw", [b"\x10\x00", b"\x10\x00\x10\x00\x99\x00\x00\x00Doe"])
def test_what_is_no_identifier_cannot_be_understood(site: ReceiverSite, raw: bytes) -> None:
    with RawPeer(site.port, [(FIND, [IMPLICIT_LE])]) as peer:
        context = peer.context_of(FIND)
        peer.send(fragment(context, 3, find_rq(1)) + fragment(context, 2, raw))
        assert list(statuses_of(peer)) == [0xC000]
        peer.release()


# --- dcmtk


@pytest.fixture
def findscu(site: ReceiverSite, tmp_path: Path) -> Callable[..., list[Dataset]]:
    def run(*options: str) -> list[Dataset]:
        done = subprocess.run(
            [
                "findscu", "-X", "-od", str(tmp_path), "-aet", "CT_NORTH", "-aec", "NOCTIS_SCP",
                "127.0.0.1", str(site.port), *options,
            ],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [dcmread(path, force=True) for path in sorted(tmp_path.glob("rsp*.dcm"))]

    return run


@pytest.mark.peers
@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["-P", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=P?"], 3),
        (["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientName=buc*"], 1),
        (["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "StudyDate=20260312-"], 2),
        (["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "AccessionNumber=ACC3"], 1),
        (["-O", "-k", "QueryRetrieveLevel=PATIENT", "-k", "PatientID=P1"], 1),
        (["-S", "-k", "QueryRetrieveLevel=SERIES", "-k", f"StudyInstanceUID={STUDIES[0]}"], 1),
        (["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", "PatientID=none"], 0),
    ],
    ids=str,
)
def test_dcmtk_finds(findscu: Callable[..., list[Dataset]], options: list[str], count: int) -> None:
    assert len(findscu(*options)) == count


@pytest.mark.peers
def test_dcmtk_finds_a_japanese_name(findscu: Callable[..., list[Dataset]], tmp_path: Path) -> None:
    asked = keys(
        SpecificCharacterSet=["", "ISO 2022 IR 87"],
        QueryRetrieveLevel="STUDY",
        PatientName="*=山田*",
        PatientID="",
    )
    path = tmp_path / "query.dcm"
    asked.save_as(path, implicit_vr=False, little_endian=True)
    (found,) = findscu("-S", str(path))
    assert found.PatientID == "P1"
    assert str(found.PatientName) == NAMES[0]
