"""What equipment says about a study: compared with what came, and told on to others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, generate_uid

from archive import availability, completeness, runner
from archive.access import Actor, system_actor
from archive.models import Job, JobState
from orders import mpps, services
from orders.completeness import performed_steps
from orders.models import PerformedStep
from orders.services import OrderDraft
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.orderly import item
from worklist.models import Facility, Study

ME: Actor = system_actor("tests")
SERIES = "1.2.3.4.1"


def begin(facility: Facility, study_uid: str, accession: str = "") -> PerformedStep:
    named = item(StudyInstanceUID=study_uid, AccessionNumber=accession)
    attributes = item(
        ScheduledStepAttributesSequence=[named],
        PerformedProcedureStepID="P1",
        PerformedStationAETitle="CT_NORTH",
        PerformedProcedureStepStartDate="20260301",
        PerformedProcedureStepStartTime="1000",
        PerformedProcedureStepStatus="IN PROGRESS",
        Modality="CT",
    )
    step, remarks = mpps.create_step(ME, facility, "", attributes)
    assert not remarks
    return step


def end(facility: Facility, step: PerformedStep, uids: list[str], status: str) -> None:
    images = [
        item(ReferencedSOPClassUID=CTImageStorage, ReferencedSOPInstanceUID=uid) for uid in uids
    ]
    changes = item(
        PerformedProcedureStepStatus=status,
        PerformedProcedureStepEndDate="20260301",
        PerformedProcedureStepEndTime="1010",
        PerformedSeriesSequence=[item(SeriesInstanceUID=SERIES, ReferencedImageSequence=images)],
    )
    mpps.change_step(ME, facility, step.sop_instance_uid, changes)


def send(facility: Facility, study_uid: str, uids: list[str]) -> Study:
    for number, uid in enumerate(uids, 1):
        image: Dataset = make_instance(
            StudyInstanceUID=study_uid,
            SeriesInstanceUID=SERIES,
            SOPInstanceUID=uid,
            InstanceNumber=number,
        )
        factories.store_bytes(to_bytes(image), facility)
    return Study._default_manager.get(facility=facility, study_instance_uid=study_uid)


@pytest.fixture
def settle() -> Callable[[Study], Study]:
    def look(study: Study) -> Study:
        """Let the quiet time be over and the worker do what was asked."""
        runner.drain()
        Study._default_manager.update(last_received_at=timezone.now() - timedelta(hours=1))
        Job.objects.filter(state=JobState.QUEUED).update(run_at=timezone.now())
        runner.drain()
        study.refresh_from_db()
        return study

    return look


def test_what_equipment_names_and_did_not_come_is_missing(
    store: Path, facility: Facility, settle: Callable[[Study], Study]
) -> None:
    uids = [generate_uid() for _ in range(4)]
    study = settle(send(facility, "1.2.3.4", uids[:3]))
    assert not Job.objects.filter(kind="completeness.look", state=JobState.QUEUED).exists()
    step = begin(facility, "1.2.3.4")
    found = completeness.look(study)
    assert (found.sources, found.missing) == ([], 0)
    # The end of the step alone has the study looked at: no image comes after it.
    end(facility, step, uids, "COMPLETED")
    known = completeness.of(settle(study))
    assert known is not None
    assert (known.here, known.expected, known.sources) == (3, 4, ["MPPS"])
    send(facility, "1.2.3.4", uids)
    known = completeness.of(settle(study))
    assert known is not None
    assert (known.here, known.expected) == (4, 4)


def test_steps_of_another_facility_say_nothing(
    store: Path, facility: Facility, other_facility: Facility
) -> None:
    uids = [generate_uid() for _ in range(2)]
    study = send(facility, "1.2.3.4", uids[:1])
    end(other_facility, begin(other_facility, "1.2.3.4"), uids, "COMPLETED")
    assert completeness.look(study).missing == 0
    assert performed_steps(study) == []


def test_a_step_is_its_orders_where_the_study_has_another_uid(
    store: Path, facility: Facility
) -> None:
    draft = OrderDraft(
        patient_name="Test^Anna", patient_identifier="P1", accession_number="A1",
        order_category="CT", study_instance_uid="1.2.9",
    )  # fmt: skip
    services.create_order(ME, facility, draft)
    step = begin(facility, "1.2.9", "A1")
    uids = [generate_uid() for _ in range(3)]
    # make_instance gives each image the accession number A1 and the Patient ID P1.
    study = send(facility, "1.2.10", uids[:2])
    runner.drain()
    end(facility, step, uids, "DISCONTINUED")
    assert completeness.look(study).missing == 1
    assert performed_steps(study) == [("1.2.840.10008.3.1.2.3.3", step.sop_instance_uid)]


def test_notices_name_the_steps(store: Path, facility: Facility) -> None:
    study = send(facility, "1.2.3.4", [generate_uid()])
    step = begin(facility, "1.2.3.4")
    named = [pair for provider in availability._PERFORMED_STEPS for pair in provider(study)]
    assert named == [("1.2.840.10008.3.1.2.3.3", step.sop_instance_uid)]
