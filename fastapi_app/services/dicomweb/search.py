"""QIDO-RS: keys of an address become an identifier, matches become JSON (PS3.18 section 10.6)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import islice
from typing import Any

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper
from pydicom import config
from pydicom.datadict import dictionary_has_tag, dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from starlette.responses import Response

from archive import access, audit, database, dicom_query, plain_query, query_columns
from archive.access import Actor
from archive.dicom_query import DicomQuery
from archive.errors import NotFoundError
from archive.timelimit import Patience
from fastapi_app.services.dicomweb import documents
from fastapi_app.services.dicomweb.asking import Asked, bad_request, too_large
from imaging import dicomjson, matching, plainkeys
from imaging.attributes import IMAGE, SERIES, STUDY
from imaging.errors import InvalidQueryError
from imaging.plainkeys import PlainKeys
from imaging.uid import is_valid_uid

# Returned without being asked for: tables 10.6.3-3 to 10.6.3-5, and what viewers' lists show.
RETURNED: Mapping[str, tuple[str, ...]] = {
    STUDY: (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "InstanceAvailability",
        "ModalitiesInStudy",
        "ReferringPhysicianName",
        "StudyDescription",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyID",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    ),
    SERIES: (
        "Modality",
        "SeriesDescription",
        "SeriesDate",
        "SeriesTime",
        "BodyPartExamined",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "SeriesNumber",
        "NumberOfSeriesRelatedInstances",
        "PerformedProcedureStepStartDate",
        "PerformedProcedureStepStartTime",
        "RequestAttributesSequence",
        "InstanceAvailability",
    ),
    IMAGE: (
        "SOPClassUID",
        "SOPInstanceUID",
        "InstanceAvailability",
        "StudyInstanceUID",
        "SeriesInstanceUID",
        "InstanceNumber",
        "Rows",
        "Columns",
        "BitsAllocated",
        "NumberOfFrames",
        "AvailableTransferSyntaxUID",
    ),
}
_C_FIND_ALONE = frozenset({"QueryRetrieveLevel", "RetrieveAETitle"})
_CONTROLS = frozenset({"limit", "offset", "includefield", "fuzzymatching", "emptyvaluematching"})
_MOST_KEYS = 200
_MOST_UIDS = 2000
_DEEPEST_KEY = 16
_HEX = re.compile(r"[0-9a-fA-F]{8}")
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(slots=True)
class _Keys:
    """What a search asks for.

    Attributes
    ----------
    returned : keywords that are returned
    matched : values by the paths of their attributes
    unmatched : keys with a value that no search here decides
    """

    returned: tuple[str, ...]
    matched: dict[tuple[str, ...], str] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)

    def plain(self) -> PlainKeys | None:
        """Return keys of text alone: made without pydicom, which takes half as long as a search."""
        returned = _plain_returned(self.returned)
        if returned is None:
            return None
        found = dict(returned)
        for path, text in self.matched.items():
            key = plainkeys.empty(tag_for_keyword(path[0]) or 0)
            if len(path) > 1 or key is None or not plainkeys.is_plain(key.VR, text):
                return None
            given = _value(key.keyword, key.VR, text)
            values = tuple(filter(None, matching.texts(key._replace(value=given))))
            if values or key.tag not in found:
                found[key.tag] = key._replace(value=values)
        return PlainKeys(dict(sorted(found.items())), plainkeys.UTF_8)

    def data_set(self) -> Dataset:
        """Return all keys, as C-FIND would have them."""
        found = Dataset()
        for keyword in self.returned:
            place_key(found, (keyword,), "")
        for path, text in self.matched.items():
            place_key(found, path, text)
        return found


@lru_cache(maxsize=256)
def _plain_returned(keywords: tuple[str, ...]) -> dict[int, plainkeys.Key] | None:
    keys = [plainkeys.empty(tag_for_keyword(keyword) or 0) for keyword in keywords]
    if not all(keys):
        return None
    return {key.tag: key for key in keys if key is not None}


def search(
    asked: Asked, level: str, *, study: str = "", series: str = ""
) -> Callable[[Actor], Response]:
    """Return the work of a search.

    Parameters
    ----------
    level : STUDY, SERIES or IMAGE
    study, series : UIDs that the address names

    References
    ----------
    DICOM PS3.18 section 10.6.
    """

    def work(actor: Actor) -> Response:
        # What cannot be answered is refused before anything is searched.
        asked.choose(documents.OFFERS)
        _check_parents(actor, study, series)
        keys = _read(asked, level, study=study, series=series)
        plain = keys.plain()
        limit, offset = read_page(asked)
        query = DicomQuery(
            level=level,
            identifier=keys.data_set() if plain is None else plain,
            root=STUDY,
            is_relational=True,
            options=matching.Options(is_fuzzy=read_flag(asked, "fuzzymatching")),
            is_ordered=True,
        )
        try:
            query.check()
        except InvalidQueryError as error:
            raise bad_request(str(error)) from error
        with database.reading() as connection:
            audit.record_read(
                connection,
                actor,
                "query",
                service="QIDO-RS",
                level=level,
                keys=sorted(e.keyword for e in query.identifier if e.keyword and e.value),
            )
            patience = query.patience()
            found = _plain(connection, actor, query, patience)
        if found is None:
            whole = query if plain is None else replace(query, identifier=keys.data_set())
            found = dicom_query.search(actor.scope, whole, patience)
        most = settings.DICOMWEB_MOST_RESULTS
        wanted = most if limit is None else min(limit, most)
        records = list(islice(found, offset, offset + wanted + 1))
        has_more = len(records) > wanted
        if has_more and limit is None:
            raise too_large(
                f"More than {most} matches. Narrow the search, or page through it with 'limit' "
                "and 'offset'."
            )
        models = [_model(asked, level, record) for record in records[:wanted]]
        return documents.answer(asked, models, _warnings(keys, has_more=has_more))

    return work


def _plain(
    connection: BaseDatabaseWrapper, actor: Actor, query: DicomQuery, patience: Patience
) -> Iterator[dict[str, Any]] | None:
    """Find by one statement what nearly every search asks for; None: it takes more."""
    if not isinstance(query.identifier, PlainKeys) or not query.identifier.valued:
        # Everything is found, which is too much for one statement; in order it is quick.
        return None
    found = plain_query.search(connection, actor.scope, query, patience)
    if found is None:
        return None
    # What every answer to C-FIND has, and none here.
    kept = [keyword if keyword not in _C_FIND_ALONE else "" for keyword in found.keywords]
    return (
        {keyword: text for keyword, text in zip(kept, row, strict=True) if keyword}
        for row in found.rows
    )


def _check_parents(actor: Actor, study: str, series: str) -> None:
    """Say of a study or series in the address that it is another's, or not there."""
    if study:
        access.study_for(actor.scope, _uid(study, "study"))
    if series:
        found = access.series_for(actor.scope, _uid(series, "series"))
        if found.study.study_instance_uid != study:
            raise NotFoundError("The study has no such series.")


def _uid(text: str, what: str) -> str:
    if not is_valid_uid(text):
        raise NotFoundError(f"There is no such {what}.")
    return text


def _warnings(keys: _Keys, *, has_more: bool) -> dict[str, str]:
    """Return the Warning header (PS3.18 table 10.6.3-1), where there is something to say."""
    said = []
    if has_more:
        said.append('299 noctispro "There are additional results that can be requested."')
    if keys.unmatched:
        names = ", ".join(name[:100] for name in keys.unmatched[:10])
        said.append(f'299 noctispro "These keys are not matched: {names}."')
    return {"warning": ", ".join(said)} if said else {}


def read_page(asked: Asked) -> tuple[int | None, int]:
    """Return `limit`, None where it is not given, and `offset` (PS3.18 8.3.4.4)."""
    found: list[int | None] = []
    for name in ("limit", "offset"):
        text = asked.value(name)
        if text is not None and _NUMBER.fullmatch(text) is None:
            raise bad_request(f"'{name}' is a whole number from 0.")
        found.append(None if text is None else int(text))
    return found[0], found[1] or 0


def read_flag(asked: Asked, name: str) -> bool:
    """Return a parameter that is true or false."""
    text = asked.value(name)
    if text not in (None, "true", "false"):
        raise bad_request(f"'{name}' is true or false.")
    return text == "true"


def _read(asked: Asked, level: str, *, study: str, series: str) -> _Keys:
    supported = query_columns.supported(level)
    read_flag(asked, "emptyvaluematching")
    matched = [pair for pair in asked.parameters if pair[0] not in _CONTROLS]
    if len(matched) > _MOST_KEYS:
        raise bad_request(f"More than {_MOST_KEYS} keys.")
    returned = _returned(level, study=study, series=series)
    for name, value in asked.parameters:
        if name == "includefield":
            returned += _included(value, supported)
    keys = _Keys(tuple(dict.fromkeys(returned)))
    for path, value in _joined(matched).items():
        if path[0] in supported:
            keys.matched[path] = value
        elif value:
            keys.unmatched.append(".".join(path))
    # The address decides, whatever the keys say.
    for keyword, value in (("StudyInstanceUID", study), ("SeriesInstanceUID", series)):
        if value:
            keys.matched[(keyword,)] = value
    return keys


def _joined(pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, ...], str]:
    """Return the values of keys by their paths; UIDs may be given one by one."""
    found: dict[tuple[str, ...], str] = {}
    for name, value in pairs:
        path = read_path(name)
        if path not in found:
            found[path] = value
        elif path[-1].endswith("UID"):
            found[path] += f",{value}"
        else:
            raise bad_request(f"'{name[:64]}' is given twice; give it once.")
    return found


def _returned(level: str, *, study: str, series: str) -> list[str]:
    """Return the keywords of an answer: of the levels that the address leaves open, too."""
    found = list(RETURNED[level])
    if level != STUDY and not study:
        found += RETURNED[STUDY]
    if level == IMAGE and not series:
        found += RETURNED[SERIES]
    return list(dict.fromkeys(found))


def _included(value: str, supported: frozenset[str]) -> list[str]:
    found: list[str] = []
    for name in dict.fromkeys(value.split(",")):
        if name == "all":
            found += sorted(supported)
        elif name.strip():
            path = read_path(name.strip())
            if path[0] in supported:
                # A sequence is returned with all of its items' keys.
                found.append(path[0])
    return found


def read_path(name: str) -> tuple[str, ...]:
    """Read the name of a key: keywords or tags, through sequences parted by dots.

    References
    ----------
    DICOM PS3.18 section 8.3.4.1.
    """
    found = []
    parts = name.split(".")
    if len(parts) > _DEEPEST_KEY:
        raise bad_request(f"A key leads through no more than {_DEEPEST_KEY - 1} sequences.")
    for at, part in enumerate(parts):
        if _HEX.fullmatch(part):
            tag = int(part, 16)
            # A tag that the dictionary lacks, such as a private one, stands for itself.
            keyword = keyword_for_tag(tag) or part.upper()
        else:
            tag, keyword = (tag_for_keyword(part) if part else None) or 0, part
            if not tag:
                raise bad_request(
                    f"'{part[:64]}' is neither a DICOM keyword nor a tag of eight digits."
                )
        is_sequence = dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"
        if at < len(parts) - 1 and not is_sequence:
            raise bad_request(f"'{part[:64]}' is no sequence: nothing stands behind its dot.")
        found.append(keyword)
    return tuple(found)


def place_key(identifier: Dataset, path: Sequence[str], text: str) -> None:
    """Put a key into an identifier, in items of the sequences of its path."""
    keyword, *rest = path
    tag = tag_for_keyword(keyword)
    if tag is None:
        return
    vr = dictionary_VR(tag).split(" or ")[0]
    if vr == "SQ":
        if tag not in identifier:
            identifier.add(DataElement(tag, "SQ", Items([])))
        if rest:
            items = identifier[tag].value
            if not items:
                items.append(Dataset())
            place_key(items[0], rest, text)
        elif text:
            raise bad_request(f"{keyword} is a sequence: match it by {keyword}.<attribute>=value.")
        return
    if not text and tag in identifier:
        return
    try:
        identifier.add(
            DataElement(tag, vr, _value(keyword, vr, text), validation_mode=config.IGNORE)
        )
    except (ValueError, TypeError, OverflowError) as error:
        raise bad_request(f"{keyword} cannot be read as a {vr}.") from error


def _value(keyword: str, vr: str, text: str) -> Any:  # noqa: ANN401 - a value of pydicom
    if not text:
        return None
    if vr == "UI":
        # PS3.18 8.3.4.1: commas part UIDs; backslashes come from C-FIND.
        uids = [part.strip() for part in re.split(r"[,\\]", text) if part.strip()]
        if len(uids) > _MOST_UIDS:
            raise bad_request(f"{keyword} has more than {_MOST_UIDS} UIDs.")
        for uid in uids:
            if not is_valid_uid(uid):
                raise bad_request(f"{keyword} holds what is no lawful UID (PS3.5 9.1).")
        return uids
    if vr in ("US", "UL", "SS", "SL", "SV", "UV"):
        return [int(part) for part in text.split("\\")]
    if "\\" in text and vr not in ("LT", "ST", "UT", "UR"):
        return text.split("\\")
    return text


def _model(asked: Asked, level: str, record: dict[str, Any]) -> dicomjson.Json:
    texts = {"SpecificCharacterSet": dicomjson.UTF_8, **record}
    url = f"{asked.base_url}/studies/{record['StudyInstanceUID']}"
    if level != STUDY:
        url += f"/series/{record['SeriesInstanceUID']}"
    if level == IMAGE:
        url += f"/instances/{record['SOPInstanceUID']}"
    texts["RetrieveURL"] = url
    return dicomjson.of_texts(texts)
