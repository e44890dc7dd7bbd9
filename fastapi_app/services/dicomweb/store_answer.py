"""The answer to a store request: the Store Instances Response Module (PS3.18 annex I)."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from archive import storing
from archive.storing import Deposit
from fastapi_app.services.dicomweb import documents
from fastapi_app.services.dicomweb.asking import Asked
from fastapi_app.services.dicomweb.media import JSON, XML, Offer
from imaging import dicomxml
from imaging.dicomjson import Json

OFFERS = (Offer(JSON), Offer("application/json"), Offer(XML))
_RETRY_AFTER_S = 5
_LONGEST_COMMENT = 64


def answer(asked: Asked, deposits: Sequence[Deposit]) -> Response:
    """Return status and module for what became of the instances of a request.

    References
    ----------
    DICOM PS3.18 sections 10.5.3 and I.1.
    """
    status = status_of(deposits)
    headers = {}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["retry-after"] = str(_RETRY_AFTER_S)
    response = module(asked, module_of(asked.base_url, deposits), headers)
    response.status_code = status
    return response


def module(asked: Asked, model: Json, headers: dict[str, str] | None = None) -> Response:
    """Return one data set as JSON or XML, as the caller likes it."""
    choice = asked.choose(OFFERS)
    if choice.offer.media_type == XML:
        return documents.of_json(asked, choice, dicomxml.of_model(model), headers)
    return documents.of_json(asked, choice, documents.encoded(model), headers)


def status_of(deposits: Sequence[Deposit]) -> HTTPStatus:
    """Return the status of table 10.5.3-1; of refusals alone, one that says what to do."""
    stored = sum(deposit.is_stored for deposit in deposits)
    if stored == len(deposits):
        return HTTPStatus.OK
    if stored:
        return HTTPStatus.ACCEPTED
    if all(deposit.is_transient for deposit in deposits):
        return HTTPStatus.SERVICE_UNAVAILABLE
    if all(deposit.failure_reason == storing.OUT_OF_RESOURCES for deposit in deposits):
        return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    return HTTPStatus.CONFLICT


def module_of(base_url: str, deposits: Sequence[Deposit]) -> Json:
    """Return the Store Instances Response Module as DICOM JSON."""
    stored, failed, others = [], [], []
    studies = set()
    for deposit in deposits:
        if deposit.is_stored:
            studies.add(deposit.study_instance_uid)
            stored.append(
                {**_reference(deposit), "00081190": _element("UR", _url(base_url, deposit))}
            )
            continue
        reason = {"00081197": _element("US", deposit.failure_reason)}
        if deposit.sentence:
            # Of group 0000, as the statuses themselves; other archives tell their reasons so too.
            reason = {"00000902": _element("LO", _comment(deposit.sentence)), **reason}
        if deposit.reference.sop_class_uid and deposit.reference.sop_instance_uid:
            failed.append(dict(sorted({**_reference(deposit), **reason}.items())))
        else:
            others.append(reason)
    model: Json = {"00081190": {"vr": "UR"}}
    if len(studies) == 1:
        model["00081190"] = _element("UR", f"{base_url}/studies/{studies.pop()}")
    # Failed SOP Sequence, Referenced SOP Sequence; what names no instance: Other Failures Sequence.
    for tag, items in (("00081198", failed), ("00081199", stored), ("0008119A", others)):
        if items:
            model[tag] = {"vr": "SQ", "Value": items}
    return model


def _reference(deposit: Deposit) -> Json:
    return {
        "00081150": _element("UI", deposit.reference.sop_class_uid),
        "00081155": _element("UI", deposit.reference.sop_instance_uid),
    }


def _element(vr: str, value: Any) -> Json:  # noqa: ANN401 - a value of JSON
    return {"vr": vr, "Value": [value]}


def _url(base_url: str, deposit: Deposit) -> str:
    return (
        f"{base_url}/studies/{deposit.study_instance_uid}/series/{deposit.series_instance_uid}"
        f"/instances/{deposit.reference.sop_instance_uid}"
    )


def _comment(sentence: str) -> str:
    """Return what fits of a sentence into an LO."""
    text = " ".join(sentence.replace("\\", "/").split())
    if len(text) <= _LONGEST_COMMENT:
        return text
    first = text.partition(". ")[0] + "."
    if len(first) <= _LONGEST_COMMENT:
        return first
    return text[: _LONGEST_COMMENT - 3].rsplit(" ", 1)[0] + " .."
