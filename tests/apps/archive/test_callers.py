"""Which facility an AE title belongs to, and what is kept of its calls."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from archive import callers
from archive.callers import Sighting
from archive.models import OutboxEvent
from worklist.models import Facility, FacilityAE

pytestmark = pytest.mark.django_db


def test_a_title_leads_to_its_facility(facility: Facility) -> None:
    entry = callers.entry_of("CT_NORTH")
    assert entry is not None
    assert entry.facility == facility
    assert callers.entry_of("ct_north") is None
    assert callers.entry_of("") is None


def test_a_sighting_is_kept_and_told(facility: Facility) -> None:
    now = timezone.now()
    seen = Sighting(
        ae_title="CT_NORTH",
        facility_id=facility.pk,
        address="10.0.0.7",
        associated_at=now,
        echoed_at=now,
        error="It sent no lawful UID.",
        error_at=now,
    )
    callers.record([seen])
    entry = FacilityAE.objects.get(ae_title="CT_NORTH")
    assert entry.last_association_at == entry.last_echo_at == entry.last_error_at == now
    assert entry.last_address == "10.0.0.7"
    assert entry.last_error == "It sent no lawful UID."
    assert entry.last_store_at is None
    events = OutboxEvent.objects.filter(kind="caller.seen", facility=facility)
    assert [event.payload["service"] for event in events] == ["association", "echo"]


def test_what_was_not_seen_stays_as_it_was(facility: Facility) -> None:
    then = timezone.now() - timedelta(days=1)
    FacilityAE.objects.update(last_echo_at=then, last_error="old", last_address="10.0.0.1")
    callers.record([Sighting("CT_NORTH", facility.pk, "10.0.0.9", stored_at=timezone.now())])
    entry = FacilityAE.objects.get(ae_title="CT_NORTH")
    assert entry.last_store_at is not None
    assert (entry.last_echo_at, entry.last_error, entry.last_address) == (then, "old", "10.0.0.1")
    assert not OutboxEvent.objects.filter(kind="caller.seen").exists()


def test_a_title_that_has_gone_elsewhere_meanwhile_is_not_touched(
    facility: Facility, other_facility: Facility
) -> None:
    now = timezone.now()
    callers.record([Sighting("CT_SOUTH", facility.pk, "10.0.0.9", associated_at=now)])
    assert FacilityAE.objects.get(ae_title="CT_SOUTH").last_association_at is None
    assert not OutboxEvent.objects.filter(kind="caller.seen").exists()
