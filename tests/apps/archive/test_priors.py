"""Priors: the same person's, linked identities included, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from archive import access, patients, priors
from archive.access import Actor
from dicom_viewer import manifest
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]


def study(facility: Facility, **keywords: Any) -> Study:
    keywords = {"StudyDescription": "CT Chest", "PatientID": "P1"} | keywords
    result = factories.store_bytes(to_bytes(make_instance(**keywords)), facility)
    return access.study_for(access.EVERYTHING, result.study_id)


def test_priors_are_the_persons_alone(
    reader: Actor, facility: Facility, other_facility: Facility
) -> None:
    now = study(facility, StudyDate="20260501")
    knee = study(facility, StudyDate="20260401", StudyDescription="Knee")
    chest = study(facility, StudyDate="20240501")
    study(facility, PatientID="P2")
    study(other_facility)
    found = priors.priors_of(reader.scope, now)
    assert [prior.study.pk for prior in found] == [chest.pk, knee.pk]
    assert priors.priors_of(access.Scope(frozenset()), now) == []
    assert len(priors.priors_of(reader.scope, now, most=1)) == 1


def test_people_without_an_id_have_none(reader: Actor, facility: Facility) -> None:
    now = study(facility, PatientID="")
    study(facility, PatientID="")
    assert priors.priors_of(reader.scope, now) == []


def test_linked_identities_are_one_person(
    reader: Actor, facility: Facility, admin_user: User
) -> None:
    now = study(facility)
    other = study(facility, PatientID="OLD-1", StudyDate="20200101")
    boss = access.actor_of(admin_user)
    patients.link(boss, other.patient_id, now.patient_id, "same person, old number")
    assert [prior.study.pk for prior in priors.priors_of(reader.scope, now)] == [other.pk]
    assert [prior.study.pk for prior in priors.priors_of(reader.scope, other)] == [now.pk]


def test_the_manifest_lists_them_in_two_queries(
    reader: Actor, radiologist: User, facility: Facility
) -> None:
    now = study(facility, StudyDate="20260501")
    for year in range(2010, 2020):
        study(facility, StudyDate=f"{year}0101")
    with CaptureQueriesContext(connection) as queries:
        priors.priors_of(reader.scope, now)
    assert len(queries) == 2
    listed = manifest.build(reader, radiologist, now)["priors"]
    assert len(listed) == 10
    assert listed[0]["StudyDate"] == "2019-01-01"
    assert listed[0]["reasons"] == ["same region (chest)", "same modality"]
    assert listed[0]["interval_days"] == 2677
    assert listed[0]["viewer_url"] == f"/viewer/{listed[0]['id']}/"
