"""The offline synchronisation tried from end to end, on data that are gone afterwards.

The site's own database, store, key and settings are used, by a facility that exists for the length
of the test alone; nobody else's list shows it.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from accounts.models import Role, User
from archive import access, image_links, registration, removal, stores, viewer_links
from archive.access import Actor, system_actor
from archive.errors import ArchiveError
from archive.registration import PatientDraft
from imaging import capture
from imaging.capture import CaptureFacts
from orders import services
from orders.models import Order
from orders.services import OrderDraft
from radiology import grouping, offline, pictures, receipts
from radiology.models import OfflineImage, OfflineState, RadiologyImage, file_key
from radiology.offline import Announcement
from worklist.models import Facility, Study

T = TypeVar("T")

_FILENAME = "chest_pa_test.dcm"
_ORIGIN = "http://localhost"
_SIDE = 64
COUNT = 11


class FailedError(Exception):
    """A step did not do what it is there for."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step found."""

    number: int
    name: str
    is_passed: bool
    detail: str


def run() -> Iterator[Step]:
    """Yield the eleven results; the first that fails is the last."""
    with _throwaway_site() as (facility, actor):
        test = _Test(facility, actor)
        for number, (name, work) in enumerate(test.steps(), 1):
            try:
                detail = work()
            except (ArchiveError, FailedError) as error:
                yield Step(number, name, is_passed=False, detail=str(error))
                return
            yield Step(number, name, is_passed=True, detail=detail)


@contextmanager
def _throwaway_site() -> Iterator[tuple[Facility, Actor]]:
    """Make a facility with a technologist, and destroy it with all that it has."""
    mark = secrets.token_hex(4)
    facility = Facility.objects.create(code=f"TEST-{mark}".upper(), name="Self test", is_demo=True)
    try:
        user = User(username=f"selftest-{mark}", role=Role.TECHNOLOGIST, is_demo=True)
        user.set_unusable_password()
        user.save()
        user.facilities.add(facility)
        yield facility, access.actor_of(user)
    finally:
        removal.destroy_demo_facility(system_actor("test_pacs_lite"), facility)


class _Test:
    """The steps, each over what the ones before made."""

    def __init__(self, facility: Facility, actor: Actor) -> None:
        self._facility = facility
        self._actor = actor
        self._uids = [str(uuid.uuid4()) for _ in range(4)]
        self._content = b""
        self._order: Order | None = None
        self._row: OfflineImage | None = None
        self._study: Study | None = None

    def steps(self) -> tuple[tuple[str, Callable[[], str]], ...]:
        """Return them in their order."""
        return (
            ("Test data creation", self._make_data),
            ("Study creation", self._make_study),
            ("Series creation", self._look_at_series),
            ("File key generation", self._name_file),
            ("Offline image upload: metadata", self._announce),
            ("Offline image upload: binary", self._send),
            ("ACK reception", self._acknowledge),
            ("Viewer URL generation", self._link_study),
            ("Image URL generation", self._link_image),
            ("Study images retrieval", self._list_study),
            ("Series images retrieval", self._list_series),
        )

    def _make_data(self) -> str:
        draft = PatientDraft(mrn="SELFTEST", last_name="Selftest", first_name="Radiology")
        patient, _ = registration.register(self._actor, self._facility, draft)
        self._order = services.create_order(
            self._actor,
            self._facility,
            OrderDraft(
                patient=patient,
                patient_name=patient.patient_name,
                patient_identifier=patient.patient_id,
                order_category="CR",
                description="Chest X-Ray",
                source="test_pacs_lite",
            ),
        )
        return f"technologist, patient, visit, consultation, order {self._order.accession_number}"

    def _make_study(self) -> str:
        content = _picture()
        row = self._announced(content, capture.PNG, "lateral.png", self._uids[2], 2)
        row, _ = offline.attach(self._actor, row.pk, io.BytesIO(content))
        self._study = access.study_for(self._actor.scope, row.study_uid)
        _expect(self._study.modality == "CR", "the study is of another modality")
        _expect(self._study.patient_identifier == "SELFTEST", "the study is another patient's")
        _expect(self._study.study_description == "Chest X-Ray", "the study has another name")
        order = _there(self._order)
        _expect([order] == services.orders_of_study(self._study), "the study is not the order's")
        consultation = _there(row.consultation)
        _expect(order in consultation.orders.all(), "the order has lost its consultation")
        return f"{self._study.study_instance_uid}, Chest X-Ray, CR"

    def _look_at_series(self) -> str:
        (series,) = grouping.series_of(_there(self._study))
        _expect(
            (series.series_number, series.series_description) == (1, "PA View"),
            "the series is not what was announced",
        )
        return f"{series.series_uid}, number 1, PA View"

    def _name_file(self) -> str:
        key = file_key("1.2", "1.2.3", "1.2.3.4", f"../../{_FILENAME}")
        _expect(key == f"radiology/1.2/1.2.3/1.2.3.4/{_FILENAME}", f"the key is {key}")
        return "radiology/{study_uid}/{series_uid}/{image_uid}/{filename}, sanitised"

    def _announce(self) -> str:
        study = _there(self._study)
        series = grouping.series_of(study)[0]
        self._content = capture.write(
            _picture(),
            CaptureFacts(
                study_instance_uid=study.study_instance_uid,
                series_instance_uid=series.series_instance_uid,
                sop_instance_uid=f"2.25.{uuid.UUID(self._uids[3]).int}",
                at=_there(self._order).created_at,
                patient={
                    "PatientName": study.patient_name,
                    "PatientID": study.patient_identifier,
                    "AccessionNumber": study.accession_number,
                },
                modality="CR",
                study_description="Chest X-Ray",
                series_number=1,
                series_description="PA View",
                instance_number=1,
            ),
        )
        self._row = self._announced(self._content, offline.DICOM, _FILENAME, self._uids[3], 1)
        again = self._announced(self._content, offline.DICOM, _FILENAME, self._uids[3], 1)
        _expect(self._row.state == OfflineState.METADATA_UPLOADED, "the state is another")
        _expect(self._row == again, "announcing it again made another image")
        return f"{self._row.image_uuid}, {self._row.state}, {self._row.file_size} bytes"

    def _announced(
        self, content: bytes, mime_type: str, filename: str, image_uid: str, number: int
    ) -> OfflineImage:
        return offline.declare(
            self._actor,
            Announcement(
                image_uuid=uuid.uuid5(uuid.UUID(self._uids[0]), image_uid),
                radiology_order_id=str(_there(self._order).pk),
                filename=filename,
                file_size=len(content),
                mime_type=mime_type,
                checksum=hashlib.sha256(content).hexdigest(),
                study_uid=self._uids[0],
                series_uid=self._uids[1],
                image_uid=image_uid,
                image_metadata={
                    "modality": "CR",
                    "study_description": "Chest X-Ray",
                    "series_number": 1,
                    "series_description": "PA View",
                    "instance_number": number,
                },
                visit_id="SELFTEST-VISIT",
                consultation_id="SELFTEST-CONSULTATION",
            ),
        )

    def _send(self) -> str:
        row = _there(self._row)
        wrong = bytes([self._content[0] ^ 1]) + self._content[1:]
        try:
            offline.attach(self._actor, row.pk, io.BytesIO(wrong))
        except ArchiveError:
            pass
        else:
            raise FailedError("Other bytes than the announced ones were taken.")
        for _ in range(2):
            row, warning = offline.attach(self._actor, row.pk, io.BytesIO(self._content))
            _expect(not warning, warning)
            _expect(row.state == OfflineState.BINARY_UPLOADED, "the state is another")
        self._row = row
        return f"{row.image_uid}, {row.file_key}, checksum right"

    def _acknowledge(self) -> str:
        row = offline.acknowledge(self._actor, _there(self._row).pk)
        _expect(row.state == OfflineState.ACK_RECEIVED, "the state is another")
        fault = receipts.fault_of(_there(row.receipt))
        _expect(not fault, fault)
        again = offline.acknowledge(self._actor, row.pk)
        _expect(again.receipt == row.receipt, "asking again gave another receipt")
        return f"{row.state}, receipt signed and checked, safe to delete the local copy"

    def _link_study(self) -> str:
        study = _there(self._study)
        link = viewer_links.link_to([study], _ORIGIN)
        _expect(study.study_instance_uid in link.url, "the address does not name the study")
        return f"good for {link.expires_in_s} s, with the study's UID"

    def _link_image(self) -> str:
        row = _there(self._row)
        image = _there(pictures.image_of(row))
        link = image_links.link_to(self._actor, image)
        owner = image_links.actor_of(link.text, image.pk)
        image = access.image_for(owner.scope, image.pk)
        with stores.instances().open(image.storage_key) as handle:
            digest = hashlib.sha256(handle.read()).hexdigest()
        _expect(digest == image.sha256, "the file behind the address is not what was stored")
        return f"/api/v1/radiology/images/{image.pk}/content/, good for {link.expires_in_s} s"

    def _list_study(self) -> str:
        found = grouping.grouped(_there(self._study), self._order)
        images = [image for series in found["series"] for image in series["images"]]
        _expect(len(images) == 2, f"{len(images)} images instead of 2")
        return "2 images in 1 series"

    def _list_series(self) -> str:
        rows = grouping.images_of(_there(self._study))
        _expect([row.instance_number for row in rows] == [1, 2], "the order is another")
        _refuse_change(rows[0])
        return "2 images in the order of their number; they cannot be changed"


def _refuse_change(image: RadiologyImage) -> None:
    try:
        image.save()
    except ArchiveError:
        return
    raise FailedError("A stored image could be changed.")


def _expect(is_right: bool, words: str) -> None:  # noqa: FBT001 - a claim
    if not is_right:
        raise FailedError(f"{words[:1].upper()}{words[1:].rstrip('.')}.")


def _there(value: T | None) -> T:
    if value is None:
        raise FailedError("What a step before made is not there.")
    return value


def _picture() -> bytes:
    picture = Image.linear_gradient("L").resize((_SIDE, _SIDE))
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()
