"""Commitment, performed steps and the modality worklist by web: from data sets to services."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from itertools import islice

from django.conf import settings
from pydicom.dataset import Dataset
from starlette.responses import Response

from archive import access, audit, commitment
from archive.access import Actor
from archive.commitment import Report
from archive.errors import ConflictError, ForbiddenError, NotFoundError
from fastapi_app.services.dicomweb import documents, search, store_answer
from fastapi_app.services.dicomweb.asking import Asked, bad_request
from imaging import dicomjson, matching
from imaging.dicomjson import Json
from imaging.errors import InvalidQueryError
from imaging.uid import is_valid_uid
from orders import modality_worklist, mpps
from orders.models import PerformedStep
from orders.mpps import Remarks
from worklist.models import Facility

# What is checked while the asker waits; more is a job's, and the asker comes again.
_CHECKED_AT_ONCE = 100
_COME_AGAIN_S = 2
_MOST_REFERENCES = 100_000

# Return keys of PS3.4 table K.6-1: what every item has, without being asked for.
_STEP_KEYS = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
    "ScheduledPerformingPhysicianName",
    "ScheduledProcedureStepDescription",
    "ScheduledStationName",
    "ScheduledProcedureStepLocation",
    "ScheduledProtocolCodeSequence",
    "PreMedication",
    "ScheduledProcedureStepID",
    "RequestedContrastAgent",
    "ScheduledProcedureStepStatus",
)
_ITEM_KEYS = (
    "RequestedProcedureID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
    "StudyInstanceUID",
    "ReferencedStudySequence",
    "RequestedProcedurePriority",
    "PatientTransportArrangements",
    "AccessionNumber",
    "RequestingPhysician",
    "ReferringPhysicianName",
    "AdmissionID",
    "CurrentPatientLocation",
    "ReferencedPatientSequence",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientWeight",
    "ConfidentialityConstraintOnPatientDataDescription",
    "PatientState",
    "PregnancyStatus",
    "MedicalAlerts",
    "Allergies",
    "SpecialNeeds",
)
_CONTROLS = frozenset({"limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching"})


def request_commitment(
    asked: Asked, actor: Actor, code: str | None, transaction: str, data_set: Dataset
) -> Response:
    """Ask for commitment, and answer when the files are few.

    References
    ----------
    DICOM PS3.18 section 13.4.
    """
    facility = access.facility_for_upload(actor, code)
    if not is_valid_uid(transaction):
        raise bad_request("The Transaction UID in the address is no lawful UID (PS3.5 9.1).")
    if data_set.get("ReferencedStudySequence"):
        raise bad_request(
            "Instances are named in Referenced SOP Sequence (0008,1199) here, not by study."
        )
    items = data_set.get("ReferencedSOPSequence") or ()
    if not 1 <= len(items) <= _MOST_REFERENCES:
        raise bad_request(f"Referenced SOP Sequence (0008,1199) names 1 to {_MOST_REFERENCES}.")
    references = [
        (_text(item, "ReferencedSOPClassUID"), _text(item, "ReferencedSOPInstanceUID"))
        for item in items
    ]
    for pair in references:
        if not all(map(is_valid_uid, pair)):
            raise bad_request("A reference holds what is no lawful UID (PS3.5 9.1).")
    request = commitment.receive(actor, facility, transaction, references, is_by_web=True)
    if len(references) <= _CHECKED_AT_ONCE:
        commitment.check(str(request.pk))
    return _result(asked, commitment.result_of(actor.scope, transaction))


def commitment_result(asked: Asked, actor: Actor, transaction: str) -> Response:
    """Answer with what became of a request (PS3.18 section 13.5)."""
    report = commitment.result_of(actor.scope, transaction)
    audit.record(actor, "commitment.result", transaction_uid=transaction)
    return _result(asked, report)


def _result(asked: Asked, report: Report | None) -> Response:
    if report is None:
        return Response(
            status_code=HTTPStatus.ACCEPTED, headers={"retry-after": str(_COME_AGAIN_S)}
        )
    model: Json = {}
    failed = [
        {**_reference(a, b), "00081197": {"vr": "US", "Value": [reason]}}
        for a, b, reason in report.failed
    ]
    committed = [_reference(a, b) for a, b in report.committed]
    for tag, items in (("00081198", [_sorted(one) for one in failed]), ("00081199", committed)):
        if items:
            model[tag] = {"vr": "SQ", "Value": items}
    return store_answer.module(asked, model)


def _reference(sop_class_uid: str, sop_instance_uid: str) -> Json:
    return {
        "00081150": {"vr": "UI", "Value": [sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [sop_instance_uid]},
    }


def _sorted(model: Json) -> Json:
    return dict(sorted(model.items()))


def create_step(
    asked: Asked, actor: Actor, code: str | None, uid: str, attributes: Dataset
) -> Response:
    """Begin a performed step (PS3.18 section 15.4)."""
    facility = access.facility_for_upload(actor, code)
    with _translated():
        _, remarks = mpps.create_step(actor, facility, _uid(uid), attributes)
    where = f"{asked.base_url}/modality-performed-procedure-steps/{uid}"
    headers = {"location": where, **_warning(remarks)}
    return Response(status_code=HTTPStatus.CREATED, headers=headers)


def change_step(actor: Actor, code: str | None, uid: str, changes: Dataset) -> Response:
    """Change a step that is in progress (PS3.18 section 15.5)."""
    facility = _facility_of(actor, code, uid)
    with _translated():
        remarks = mpps.change_step(actor, facility, uid, changes)
    return Response(status_code=HTTPStatus.OK, headers=_warning(remarks))


def _warning(remarks: Remarks) -> dict[str, str]:
    """Say what was wrong with attributes that were taken all the same."""
    return {"warning": f'299 noctispro "{remarks}"'} if remarks else {}


def retrieve_step(asked: Asked, actor: Actor, code: str | None, uid: str) -> Response:
    """Answer with a performed step (PS3.18 section 15.6)."""
    facility = _facility_of(actor, code, uid, is_reading=True)
    step = mpps.step_for(facility, uid)
    audit.record(actor, "mpps.read", step)
    return store_answer.module(asked, _model_of(mpps.attributes_of(step)))


class _translated:  # noqa: N801 - reads as a word in a with statement
    """Says errors of the service in the statuses of PS3.18 sections 15.4.3 and 15.5.3."""

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, mpps.FinishedStepError):
            raise ConflictError(
                "The step is completed or discontinued; nothing changes any more."
            ) from error
        if isinstance(error, mpps.MissingAttributeError | mpps.InvalidValueError):
            raise bad_request(str(error)) from error


def _uid(text: str) -> str:
    if not is_valid_uid(text):
        raise bad_request("The UID in the address is no lawful UID (PS3.5 9.1).")
    return text


def _facility_of(actor: Actor, code: str | None, uid: str, *, is_reading: bool = False) -> Facility:
    """Return whose a step is; one that is another facility's is refused as such."""
    rows = PerformedStep.objects.select_related("facility").filter(sop_instance_uid=uid)
    if code:
        rows = rows.filter(facility__code__iexact=code)
    mine = list(actor.scope.filter(rows)[:2])
    if not mine and rows.exists():
        raise ForbiddenError("This step belongs to a facility that is not yours.")
    if not mine:
        raise NotFoundError("There is no such performed procedure step.")
    if len(mine) > 1:
        raise ConflictError("Several facilities have this step: name one in 'facility'.")
    if not is_reading and not actor.can_upload:
        raise ForbiddenError("Your role does not allow to report performed steps.")
    return mine[0].facility


def worklist(asked: Asked, actor: Actor) -> Response:
    """Search the modality worklist (PS3.18 section 14.4)."""
    asked.choose(documents.OFFERS)
    identifier = _identifier(asked)
    limit, offset = search.read_page(asked)
    most = settings.DICOMWEB_MOST_RESULTS if limit is None else limit
    most = min(most, settings.DICOMWEB_MOST_RESULTS)
    options = matching.Options(is_fuzzy=search.read_flag(asked, "fuzzymatching"))
    try:
        found = modality_worklist.find(actor.scope, identifier, options)
    except InvalidQueryError as error:
        raise bad_request(str(error)) from error
    audit.record(actor, "worklist.query", by="web")
    items = list(islice(found, offset, offset + most + 1))
    headers: Mapping[str, str] = {}
    if len(items) > most:
        headers = {"warning": '299 noctispro "There are additional results that can be requested."'}
    models = [_model_of(item) for item in items[:most]]
    return documents.answer(asked, models, dict(headers))


def _identifier(asked: Asked) -> Dataset:
    identifier = Dataset()
    for keyword in _ITEM_KEYS:
        search.place_key(identifier, (keyword,), "")
    for keyword in _STEP_KEYS:
        search.place_key(identifier, ("ScheduledProcedureStepSequence", keyword), "")
    search.read_flag(asked, "emptyvaluematching")
    for name, value in asked.parameters:
        if name == "includefield":
            for one in value.split(","):
                if one.strip() and one != "all":
                    search.place_key(identifier, search.read_path(one.strip()), "")
        elif name not in _CONTROLS:
            search.place_key(identifier, search.read_path(name), value)
    return identifier


def _model_of(data_set: Dataset) -> Json:
    """Return a data set of ours as DICOM JSON; it is Unicode, whatever it came in."""
    data_set.SpecificCharacterSet = dicomjson.UTF_8
    model: Json = data_set.to_json_dict()
    return _sorted(model)


def _text(data_set: Dataset, keyword: str) -> str:
    value = data_set.get(keyword)
    return "" if value is None else str(value).strip(" \0")
