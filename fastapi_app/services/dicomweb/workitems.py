"""Work items by web (UPS-RS): from data sets to services, and their refusals as PS3.18 has them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from itertools import islice
from urllib.parse import quote

from django.conf import settings
from pydicom.dataset import Dataset
from starlette.exceptions import HTTPException
from starlette.responses import Response

from archive import access, audit
from archive.access import Actor
from archive.errors import InvalidInputError
from fastapi_app.services.dicomweb import documents, search
from fastapi_app.services.dicomweb.asking import Asked, bad_request
from fastapi_app.services.dicomweb.media import XML, Offer
from imaging import dicomjson, dicomxml, matching, ups
from imaging.dicomjson import Json
from imaging.errors import InvalidQueryError
from imaging.ups import State, Verdict
from orders import subscriptions, workitem_search, workitems
from orders.models import Workitem

_CONTROLS = frozenset(
    {"limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching", "facility"}
)
_SUBSCRIPTION_CONTROLS = frozenset({"deletionlock", "filter", "facility", "charset"})
_UID = re.compile(r"[0-9.]{1,64}")
# Between the keys of a filter; a comma within a value is followed by no name and equals sign.
_BETWEEN_KEYS = re.compile(r",(?=[A-Za-z0-9.]+=)")
# One document alone, beside the list of one.
_OFFERS = (*documents.OFFERS, Offer(XML))

# Return keys of PS3.4 table CC.2.5-3: what every match has, without being asked for.
_RETURNED = (
    "SOPClassUID",
    "SOPInstanceUID",
    "ScheduledProcedureStepPriority",
    "ScheduledProcedureStepModificationDateTime",
    "ProcedureStepLabel",
    "WorklistLabel",
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "ScheduledHumanPerformersSequence",
    "ScheduledProcedureStepStartDateTime",
    "ExpectedCompletionDateTime",
    "ScheduledWorkitemCodeSequence",
    "CommentsOnTheScheduledProcedureStep",
    "InputReadinessState",
    "InputInformationSequence",
    "StudyInstanceUID",
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "AdmissionID",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesDescription",
    "AdmittingDiagnosesCodeSequence",
    "ReferencedRequestSequence",
    "ReplacedProcedureStepSequence",
    "ProcedureStepState",
    "ProcedureStepProgressInformationSequence",
)
_INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."


def create(asked: Asked, actor: Actor, code: str | None, data_set: Dataset) -> Response:
    """Create a work item (PS3.18 section 11.4)."""
    facility = access.facility_for_upload(actor, code)
    sent = ups.text(data_set, "SOPInstanceUID")
    uid = _uid_parameter(asked, ("workitem", "AffectedSOPInstanceUID")) or sent
    if sent and sent != uid:
        raise bad_request("The UIDs of the work item in address and body are not the same.")
    with _translated():
        item, added = workitems.create(actor, facility, uid, data_set)
    url = f"{asked.base_url}/workitems/{item.sop_instance_uid}"
    headers = {"location": url, "content-location": url}
    if added:
        headers |= _warning("The Workitem was created with modifications.")
    return Response(status_code=HTTPStatus.CREATED, headers=headers)


def retrieve(asked: Asked, actor: Actor, code: str | None, uid: str) -> Response:
    """Answer with a work item, without its lock (PS3.18 section 11.5)."""
    choice = asked.choose(_OFFERS)
    item = _named(actor, uid, code)
    audit.record(actor, "workitem.read", item)
    model = _model_of(workitems.attributes_of(item))
    if choice.offer.media_type == XML and not choice.offer.is_multipart:
        return documents.of_json(asked, choice, dicomxml.of_model(model))
    return documents.answer(asked, [model])


def update(asked: Asked, actor: Actor, code: str | None, uid: str, changes: Dataset) -> Response:
    """Change a work item (PS3.18 section 11.6)."""
    item = _named(actor, uid, code)
    sent = ups.text(changes, "TransactionUID")
    transaction = _uid_parameter(asked, ("transaction-uid", "transaction")) or sent
    if sent and sent != transaction:
        raise bad_request("The Transaction UIDs in address and body are not the same.")
    with _translated(
        "The submitted request is inconsistent with the current state of the Workitem."
    ):
        dropped = workitems.update(actor, item.pk, changes, transaction)
    headers = {"content-location": f"{asked.base_url}/workitems/{uid}"}
    if dropped:
        headers |= _warning("The Workitem was updated with modifications.")
    return Response(status_code=HTTPStatus.OK, headers=headers)


def change_state(
    asked: Asked, actor: Actor, code: str | None, uid: str, data_set: Dataset
) -> Response:
    """Claim, complete or cancel a work item (PS3.18 section 11.7)."""
    item = _named(actor, uid, code)
    try:
        wanted = State(ups.text(data_set, "ProcedureStepState"))
    except ValueError as error:
        raise bad_request(
            "Procedure Step State (0074,1000) is IN PROGRESS, COMPLETED or CANCELED."
        ) from error
    with _translated():
        verdict = workitems.change_state(
            actor, item.pk, wanted, ups.text(data_set, "TransactionUID")
        )
    headers = {"content-location": f"{asked.base_url}/workitems/{uid}/state"}
    return Response(status_code=HTTPStatus.OK, headers=headers | _already(verdict))


def request_cancel(actor: Actor, code: str | None, uid: str, asked_for: Dataset) -> Response:
    """Ask that a work item be canceled (PS3.18 section 11.8)."""
    item = _named(actor, uid, code)
    with _translated("The UPS is already COMPLETED."):
        verdict = workitems.request_cancel(actor, item.pk, asked_for, actor.name)
    return Response(status_code=HTTPStatus.ACCEPTED, headers=_already(verdict))


def find(asked: Asked, actor: Actor) -> Response:
    """Search for work items (PS3.18 section 11.9)."""
    asked.choose(documents.OFFERS)
    identifier, wants_all = _identifier(asked)
    limit, offset = search.read_page(asked)
    most = settings.DICOMWEB_MOST_RESULTS if limit is None else limit
    most = min(most, settings.DICOMWEB_MOST_RESULTS)
    options = matching.Options(is_fuzzy=search.read_flag(asked, "fuzzymatching"))
    try:
        found = workitem_search.find(actor.scope, identifier, options)
    except InvalidQueryError as error:
        raise bad_request(str(error)) from error
    audit.record(
        actor,
        "query",
        service="UPS-RS",
        keys=sorted(e.keyword for e in identifier if e.keyword and e.value),
    )
    items = list(islice(found, offset, offset + most + 1))
    headers: Mapping[str, str] = {}
    if len(items) > most:
        headers = _warning("There are additional results that can be requested.")
    models = [
        _model_of(item if wants_all else matching.response(item, identifier))
        for item in items[:most]
    ]
    return documents.answer(asked, models, dict(headers))


def _identifier(asked: Asked) -> tuple[Dataset, bool]:
    identifier = Dataset()
    wants_all = False
    for keyword in _RETURNED:
        search.place_key(identifier, (keyword,), "")
    search.read_flag(asked, "emptyvaluematching")
    for name, value in asked.parameters:
        if name == "includefield":
            for one in filter(None, map(str.strip, value.split(","))):
                wants_all = wants_all or one == "all"
                if one != "all":
                    search.place_key(identifier, search.read_path(one)[:1], "")
        elif not value.isprintable():
            raise bad_request(f"'{name[:64]}' holds characters that are no text.")
        elif name not in _CONTROLS:
            search.place_key(identifier, search.read_path(name), value)
    # The lock is nobody's to ask for (PS3.4 CC.2.7.2).
    if "TransactionUID" in identifier:
        raise bad_request("The Transaction UID of a work item cannot be searched or returned.")
    return identifier, wants_all


# Subscriptions -----------------------------------------------------------------------------------


def subscribe(asked: Asked, actor: Actor, code: str | None, uid: str, ae_title: str) -> Response:
    """Subscribe to one work item, to all, or to those that match (PS3.18 section 11.10)."""
    wants_lock = search.read_flag(asked, "deletionlock")
    with _translated():
        if uid in (ups.GLOBAL, ups.FILTERED):
            keys = _filter(asked) if uid == ups.FILTERED else None
            try:
                is_granted = subscriptions.subscribe_all(
                    actor, ae_title, wants_lock=wants_lock, keys=keys
                )
            except InvalidQueryError as error:
                raise bad_request(str(error)) from error
        else:
            item = _named(actor, uid, code)
            is_granted = subscriptions.subscribe(actor, item, ae_title, wants_lock=wants_lock)
    site = re.sub(r"^http", "ws", asked.base_url).removesuffix("/dicom-web")
    headers = {"content-location": f"{site}/ws/subscribers/{quote(ae_title.strip())}"}
    if not is_granted:
        headers |= _warning("Deletion Lock not granted.")
    return Response(status_code=HTTPStatus.CREATED, headers=headers)


def unsubscribe(actor: Actor, code: str | None, uid: str, ae_title: str) -> Response:
    """End a subscription (PS3.18 section 11.11)."""
    with _translated():
        if uid in (ups.GLOBAL, ups.FILTERED):
            subscriptions.unsubscribe_all(actor, ae_title, is_filtered=uid == ups.FILTERED)
        else:
            subscriptions.unsubscribe(actor, _named(actor, uid, code), ae_title)
    return Response(status_code=HTTPStatus.OK)


def suspend(actor: Actor, uid: str, ae_title: str) -> Response:
    """Take in no further work items for a subscriber (PS3.18 section 11.12)."""
    if uid not in (ups.GLOBAL, ups.FILTERED):
        raise bad_request(
            f"Only a subscription to all work items ({ups.GLOBAL}) or to those of a filter "
            f"({ups.FILTERED}) can be suspended."
        )
    with _translated():
        subscriptions.suspend(actor, ae_title, is_filtered=uid == ups.FILTERED)
    return Response(status_code=HTTPStatus.OK)


def _filter(asked: Asked) -> Dataset:
    """Read the keys of a filter: `filter=name=value,name=value`, or each a parameter itself."""
    pairs = [pair for pair in asked.parameters if pair[0] not in _SUBSCRIPTION_CONTROLS]
    for name, value in asked.parameters:
        if name == "filter":
            for part in _BETWEEN_KEYS.split(value):
                key, sign, text = part.partition("=")
                if not sign:
                    raise bad_request("Write the filter as filter=Attribute=value,Attribute=value.")
                pairs.append((key.strip(), text))
    keys = Dataset()
    for key, text in pairs:
        if not text.isprintable():
            raise bad_request("The filter holds characters that are no text.")
        if key and text:
            search.place_key(keys, search.read_path(key), text)
    if not len(keys):
        raise bad_request("A subscription to matching work items needs a filter.")
    return keys


# Together ----------------------------------------------------------------------------------------


def _uid_parameter(asked: Asked, names: tuple[str, ...]) -> str:
    """Return a UID of the query: named, or bare as some clients send it; empty: none."""
    found = [value for name, value in asked.parameters if name in names]
    found += [name for name, value in asked.parameters if not value and _UID.fullmatch(name)]
    if len(set(found)) > 1:
        raise bad_request(f"The address names several UIDs; give one as '{names[0]}'.")
    return found[0].strip() if found else ""


def _named(actor: Actor, uid: str, code: str | None) -> Workitem:
    if uid in (ups.GLOBAL, ups.FILTERED):
        raise bad_request("This UID stands for subscriptions; it names no work item.")
    return workitems.workitem_named(actor.scope, uid, code)


def _warning(words: str) -> dict[str, str]:
    return {"warning": f'299 noctispro "{words}"'}


def _already(verdict: Verdict) -> dict[str, str]:
    state = {
        Verdict.ALREADY_CANCELED: State.CANCELED,
        Verdict.ALREADY_COMPLETED: State.COMPLETED,
    }.get(verdict)
    return _warning(f"The UPS is already in the requested state of {state}.") if state else {}


@contextmanager
def _translated(inconsistent: str = _INCONSISTENT) -> Iterator[None]:
    """Say refusals in the statuses and Warning headers of PS3.18 chapter 11.

    Parameters
    ----------
    inconsistent : the transaction's words for a request that does not fit the state
    """
    try:
        yield
    except workitems.TransactionError as error:
        words = "missing" if error.is_missing else "incorrect"
        raise _refusal(HTTPStatus.BAD_REQUEST, error, f"The Transaction UID is {words}.") from error
    except workitems.UnclaimedError as error:
        words = "The target URI did not reference a claimed Workitem."
        raise _refusal(HTTPStatus.CONFLICT, error, words) from error
    except workitems.FinishedWorkitemError as error:
        raise _refusal(HTTPStatus.BAD_REQUEST, error, inconsistent) from error
    except workitems.StateError as error:
        raise _refusal(HTTPStatus.CONFLICT, error, inconsistent) from error
    except workitems.UnreachablePerformerError as error:
        words = "The performer cannot be contacted."
        raise _refusal(HTTPStatus.CONFLICT, error, words) from error
    except InvalidInputError as error:
        raise bad_request(str(error)) from error


def _refusal(status: HTTPStatus, error: Exception, words: str) -> HTTPException:
    return HTTPException(status, str(error), _warning(words))


def _model_of(data_set: Dataset) -> Json:
    data_set.SpecificCharacterSet = dicomjson.UTF_8
    model: Json = data_set.to_json_dict()
    return dict(sorted(model.items()))
