"""Reading association requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dimse import association
from dimse.association import AssociationRequest, RequestError
from tests.pdu import CT, EXPLICIT_LE, IMPLICIT_LE, associate_rq

OFFERED = [(CT, [EXPLICIT_LE, IMPLICIT_LE]), ("1.2.3", [IMPLICIT_LE])]
REQUEST = associate_rq("CT_NORTH", "NOCTIS_SCP", OFFERED)


def test_a_request_is_read() -> None:
    found = association.parse(REQUEST, "10.0.0.7")
    assert found.calling_ae_title == "CT_NORTH"
    assert found.called_ae_title == "NOCTIS_SCP"
    assert found.address == "10.0.0.7"
    assert found.implementation == "RAW_PEER"
    assert found.fault == ""
    assert [(o.context_id, o.abstract_syntax, o.transfer_syntaxes) for o in found.offers] == [
        (1, CT, (EXPLICIT_LE, IMPLICIT_LE)),
        (3, "1.2.3", (IMPLICIT_LE,)),
    ]


def test_a_short_one_names_nobody() -> None:
    with pytest.raises(RequestError):
        association.parse(REQUEST[:73], "10.0.0.7")


@pytest.mark.parametrize(
    ("address", "plain"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("::ffff:10.0.0.7", "10.0.0.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::1", "::1"),
    ],
)
def test_addresses_are_stored_plain(address: str, plain: str) -> None:
    assert association.plain_address(address) == plain


@given(st.lists(st.tuples(st.integers(42, len(REQUEST) - 1), st.integers(0, 255)), max_size=6))
def test_damaged_items_are_a_fault_and_never_an_error(changes: list[tuple[int, int]]) -> None:
    damaged = bytearray(REQUEST)
    for place, byte in changes:
        damaged[place] = byte
    found = association.parse(bytes(damaged), "10.0.0.7")
    assert isinstance(found, AssociationRequest)
    assert found.calling_ae_title == "CT_NORTH"
    assert not (found.fault and found.offers)
