"""Which SOP classes are storage, and how proposals read."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary
from pynetdicom.sop_class import _SERVICE_CLASSES, _STORAGE_CLASSES

from dimse import contexts
from dimse.contexts import Offer


@pytest.mark.parametrize("uid", sorted(set(_STORAGE_CLASSES.values())))
def test_every_storage_class_of_pynetdicom_is_storage(uid: str) -> None:
    assert contexts.is_storage(uid)


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.3", True),  # Ultrasound Multi-frame, retired
        ("1.2.840.10008.5.1.1.27", True),  # Stored Print, retired
        ("1.2.840.10008.5.1.4.38.1", True),  # Hanging Protocol
        ("1.2.840.10008.5.1.4.1.1.501.6", True),  # DICOS QR
        ("1.3.12.2.1107.5.9.1", True),  # Siemens CSA non-image
        ("1.2.840.113619.4.30", True),  # GE 3D model
        ("1.2.840.10008.5.1.4.1.1.9999", True),  # of a later edition
        ("1.2.840.10008.1.1", False),  # Verification
        ("1.2.840.10008.1.3.10", False),  # DICOMDIR
        ("1.2.840.10008.1.20.1", False),  # Storage Commitment
        ("1.2.840.10008.5.1.4.1.2.2.1", False),  # Study Root FIND
        ("1.2.840.10008.5.1.4.31", False),  # Modality Worklist
        ("1.2.840.10008.3.1.2.3.3", False),  # MPPS
        ("1.2.840.10008.5.1.1.9", False),  # Basic Grayscale Print, a meta SOP class
        ("1.2.840.10008.1.2.4.70", False),  # a transfer syntax
        ("1.2.840.10008.3.1.1.1", False),  # the application context
        ("1.2.840.10008.4.2", False),  # the Storage Service Class itself
    ],
)
def test_kinds(uid: str, expected: bool) -> None:
    assert contexts.is_storage(uid) is expected


def test_no_other_service_is_taken_for_storage() -> None:
    others = {
        uid
        for uid, (name, kind, *_) in UID_dictionary.items()
        if kind == "SOP Class" and "Storage" not in name
    }
    assert len(others) > 90
    assert [uid for uid in others | set(_SERVICE_CLASSES) if contexts.is_storage(uid)] == []


def test_proposals_in_words() -> None:
    ct, mine = "1.2.840.10008.5.1.4.1.1.2", "1.3.6.1.4.1.99999.1"
    offers = [
        Offer(1, ct, ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1")),
        Offer(3, ct, ("1.2.840.10008.1.2",)),
        Offer(5, mine, ("1.2.840.10008.1.2",)),
    ]
    assert contexts.in_words(offers) == [
        "CT Image Storage (2 transfer syntaxes)",
        f"private or unknown class {mine} (1 transfer syntax)",
    ]
