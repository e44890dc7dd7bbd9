"""WADO-RS in process: objects and metadata, in every form that there is.

Frames and large values are in test_frames.py, real files in test_real_files.py,
a real client and a real server in test_client.py.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from accounts.models import User
from archive import deletions, descriptions, frame_cache, runner, stores
from archive.models import AuditEvent, Damage
from imaging import dicomxml
from tests import factories, multipart
from tests.codestreams import compressed_instance, jpeg_2000, noise
from tests.dicom import to_bytes
from tests.doors.dicomweb.study import (
    AS_STORED,
    DICOM,
    HTJ2K,
    IDENTITY,
    INSTANCE,
    J2K,
    JLS,
    OCTETS,
    SERIES,
    STUDY,
    data_set,
    get,
    instance,
)
from tests.sidecar import Caller, assert_problem
from worklist.models import DicomImage, Facility, Series

pytestmark = pytest.mark.django_db(transaction=True)


# Objects -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (STUDY, ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3", "1.2.1.2.1"]),
        (SERIES, ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3"]),
        (INSTANCE, ["1.2.1.1.1"]),
    ],
)
@pytest.mark.parametrize("accept", [AS_STORED, DICOM, "*/*", "multipart/related"])
def test_objects_come_as_they_were_sent(
    caller: Caller, held: dict[str, bytes], path: str, expected: list[str], accept: str
) -> None:
    answer = get(caller, path, accept)
    assert answer.status_code == 200
    assert "content-length" in answer.headers
    parts = multipart.parts(answer)
    assert [pydicom.dcmread(io.BytesIO(part.content)).SOPInstanceUID for part in parts] == expected
    for uid, part in zip(expected, parts, strict=True):
        assert part.media_type == "application/dicom"
        assert part.transfer_syntax == ExplicitVRLittleEndian
        assert part.content[:132] == bytes(128) + b"DICM"
        assert data_set(part.content) == data_set(held[uid])


def test_one_object_comes_without_parts(caller: Caller, held: dict[str, bytes]) -> None:
    answer = get(caller, INSTANCE, "application/dicom")
    assert answer.headers["content-type"].startswith("application/dicom; transfer-syntax=")
    assert data_set(answer.content) == data_set(held["1.2.1.1.1"])
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert_problem(get(caller, SERIES, "application/dicom"), 406, "application/zip")


@pytest.mark.parametrize(
    ("headers", "part"),
    [
        ({"Range": "bytes=0-131"}, slice(0, 132)),
        ({"Range": "bytes=100-"}, slice(100, None)),
        ({"Range": "bytes=-50"}, slice(-50, None)),
        ({"Range": "bytes=5-99999999"}, slice(5, None)),
        ({"Range": "bytes=5-2"}, None),
        ({"Range": "bytes=1-2,4-5"}, None),
        ({"Range": "bytes=-"}, None),
        ({"Range": "lines=1-2"}, None),
        ({"Range": "bytes=0-9", "If-Range": '"another"'}, None),
    ],
    ids=range(9),
)
def test_a_range_of_an_object(
    caller: Caller, held: dict[str, bytes], headers: dict[str, str], part: slice | None
) -> None:
    whole = get(caller, INSTANCE, "application/dicom")
    assert whole.headers["accept-ranges"] == "bytes"
    answer = caller.get(INSTANCE, headers={"Accept": "application/dicom", **headers})
    if part is None:
        assert answer.status_code == 200
        assert answer.content == whole.content
        return
    assert answer.status_code == 206
    assert answer.content == whole.content[part]
    assert answer.headers["content-range"].endswith(f"/{len(whole.content)}")


def test_a_range_outside_of_an_object(caller: Caller, held: dict[str, bytes]) -> None:
    for text in ("bytes=99999999-", "bytes=-0"):
        answer = get(caller, INSTANCE, "application/dicom", Range=text)
        assert answer.status_code == 416
        assert answer.headers["content-range"].startswith("bytes */")


@pytest.mark.parametrize("path", [STUDY, SERIES])
def test_an_archive_holds_every_object(caller: Caller, held: dict[str, bytes], path: str) -> None:
    answer = get(caller, path, "application/zip")
    assert answer.headers["content-type"] == "application/zip"
    assert ".zip" in answer.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        contents = [data_set(archive.read(name)) for name in names]
    assert names[:3] == ["001/00001.dcm", "001/00002.dcm", "001/00003.dcm"]
    expected = [one for uid, one in sorted(held.items()) if path == STUDY or ".1.1." in uid]
    assert contents == [data_set(one) for one in expected]
    assert b"ller" not in b"".join(name.encode() for name in names)


@pytest.mark.parametrize(
    ("stored", "asked", "given"),
    [
        (ImplicitVRLittleEndian, "", ExplicitVRLittleEndian),
        (ImplicitVRLittleEndian, "*", ImplicitVRLittleEndian),
        (ExplicitVRBigEndian, ExplicitVRLittleEndian, ExplicitVRLittleEndian),
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ExplicitVRLittleEndian, JLS, JLS),
        (ExplicitVRLittleEndian, HTJ2K, HTJ2K),
        (J2K, "", ExplicitVRLittleEndian),
        (J2K, "*", J2K),
        (J2K, JLS, JLS),
    ],
)
def test_objects_change_their_encoding_as_asked(
    caller: Caller, facility: Facility, store: Path, stored: str, asked: str, given: str
) -> None:
    pixels = noise(16, 12)
    if stored == J2K:
        content = compressed_instance([jpeg_2000(pixels)], 16, 12, **IDENTITY)
    else:
        dataset = instance(1, pixels=pixels)
        out = io.BytesIO()
        dataset.file_meta.TransferSyntaxUID = stored
        if stored == ExplicitVRBigEndian:
            dataset["PixelData"].VR = "OW"
            dataset.PixelData = pixels.astype(">u2").tobytes()
        dataset.save_as(out, enforce_file_format=True)
        content = out.getvalue()
    factories.store_bytes(content, facility)
    syntax = f"; transfer-syntax={asked}" if asked else ""
    (part,) = multipart.parts(get(caller, INSTANCE, f"{DICOM}{syntax}"))
    single = get(caller, INSTANCE, f"application/dicom{syntax}")
    for content, told in (
        (part.content, part.transfer_syntax),
        (single.content, single.headers["content-type"].partition("transfer-syntax=")[2]),
    ):
        found = pydicom.dcmread(io.BytesIO(content))
        assert found.file_meta.TransferSyntaxUID == told == given
        assert found.SOPInstanceUID == "1.2.1.1.1"
        if given == HTJ2K:
            (stream,) = pydicom.encaps.generate_frames(found.PixelData, number_of_frames=1)
            assert np.array_equal(imagecodecs.htj2k_decode(stream), pixels)
        elif given == JLS:
            (stream,) = pydicom.encaps.generate_frames(found.PixelData, number_of_frames=1)
            assert np.array_equal(imagecodecs.jpegls_decode(stream), pixels)
        elif given != J2K:
            assert np.array_equal(found.pixel_array, pixels)


def test_an_encoding_that_nobody_writes_is_refused_with_what_there_is(
    caller: Caller, held: dict[str, bytes]
) -> None:
    lossy = "1.2.840.10008.1.2.4.50"
    for path in (INSTANCE, STUDY):
        answer = get(caller, path, f"{DICOM}; transfer-syntax={lossy}")
        assert_problem(answer, 406, ExplicitVRLittleEndian)
        # What comes next in the list is taken instead.
        answer = get(caller, path, f"{DICOM}; transfer-syntax={lossy}, {AS_STORED};q=0.5")
        assert answer.status_code == 200
    assert_problem(get(caller, INSTANCE, f"{DICOM}; transfer-syntax=x"), 400, "UID")
    assert_problem(get(caller, STUDY, "image/png"), 406, "application/dicom")


def test_what_holds_no_picture_is_not_compressed(
    caller: Caller, held: dict[str, bytes], facility: Facility
) -> None:
    report = instance(9, 3, Modality="SR", SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, keyword)
    factories.store_bytes(to_bytes(report), facility)
    parts = multipart.parts(get(caller, STUDY, f"{DICOM}; transfer-syntax={JLS}"))
    assert [part.transfer_syntax for part in parts] == [JLS] * 4 + [ExplicitVRLittleEndian]


def test_files_that_are_missing_are_left_out_and_told(
    caller: Caller, held: dict[str, bytes]
) -> None:
    row = DicomImage.objects.get(sop_instance_uid="1.2.1.1.2")
    stores.instances().path(row.storage_key).unlink()
    answer = get(caller, SERIES, AS_STORED)
    assert answer.status_code == 206
    assert len(multipart.parts(answer)) == 2
    assert_problem(get(caller, f"{SERIES}/instances/1.2.1.1.2", AS_STORED), 404, "backup")


def test_a_file_that_has_changed_is_never_given_out(caller: Caller, held: dict[str, bytes]) -> None:
    row = DicomImage.objects.get(sop_instance_uid="1.2.1.1.1")
    path = stores.instances().path(row.storage_key)
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    assert get(caller, INSTANCE, "application/dicom").status_code == 500
    assert Damage.objects.filter(image=row).exists()
    assert get(caller, INSTANCE, AS_STORED).status_code == 404


def test_what_was_deleted_is_not_there(
    caller: Caller, held: dict[str, bytes], admin_user: User
) -> None:
    from archive.access import actor_of

    assert get(caller, f"{STUDY}/metadata", "*/*").status_code == 200
    study = DicomImage.objects.first().series.study  # type: ignore[union-attr]
    deletions.delete_study(actor_of(admin_user), study.pk, "test")
    for path in (STUDY, SERIES, INSTANCE, f"{STUDY}/metadata", f"{INSTANCE}/frames/1"):
        assert_problem(get(caller, path, "*/*"), 404)


# Conditions ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (STUDY, AS_STORED),
        (INSTANCE, "application/dicom"),
        (SERIES, "application/zip"),
        (f"{STUDY}/metadata", "application/dicom+json"),
        (f"{INSTANCE}/metadata", 'multipart/related; type="application/dicom+xml"'),
        (f"{INSTANCE}/frames/1", OCTETS),
        (f"{INSTANCE}/bulkdata/7FE00010", OCTETS),
    ],
    ids=range(7),
)
def test_what_the_caller_has_is_not_sent_again(
    caller: Caller, held: dict[str, bytes], facility: Facility, path: str, accept: str
) -> None:
    first = get(caller, path, accept)
    tag = first.headers["etag"]
    again = get(caller, path, accept, If_None_Match=tag)
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == tag
    assert get(caller, path, accept, If_None_Match='"x"').status_code == 200
    assert "private" in first.headers["cache-control"]
    assert "Accept" in first.headers["vary"]
    if "instances" not in path:
        factories.store_bytes(to_bytes(instance(4)), facility)
        assert get(caller, path, accept, If_None_Match=tag).status_code == 200


def test_head_tells_the_length_alone(caller: Caller, held: dict[str, bytes]) -> None:
    for path, accept in ((STUDY, AS_STORED), (INSTANCE, "application/dicom")):
        answer = caller.request("HEAD", path, headers={"Accept": accept})
        assert answer.status_code == 200
        assert answer.content == b""
        assert (
            answer.headers["content-length"] == get(caller, path, accept).headers["content-length"]
        )


# Metadata ------------------------------------------------------------------------------------


def uids(models: list[dict[str, Any]]) -> list[str]:
    return [model["00080018"]["Value"][0] for model in models]


def test_metadata_of_each_level(caller: Caller, held: dict[str, bytes]) -> None:
    study = caller.get(f"{STUDY}/metadata")
    assert study.headers["content-type"] == "application/dicom+json"
    assert uids(study.json()) == ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3", "1.2.1.2.1"]
    series = caller.get(f"{SERIES}/metadata").json()
    assert series == study.json()[:3]
    one = caller.get(f"{SERIES}/instances/1.2.1.1.2/metadata").json()
    assert one == series[1:2]
    expected = json.loads(
        pydicom.dcmread(io.BytesIO(held["1.2.1.1.2"]), stop_before_pixels=True).to_json()
    )
    expected["00080005"]["Value"] = ["ISO_IR 192"]
    expected["7FE00010"] = {
        "vr": "OW",
        "BulkDataURI": f"http://testserver{SERIES}/instances/1.2.1.1.2/bulkdata/7FE00010",
    }
    assert one[0] == expected
    assert one[0]["00100010"]["Value"] == [{"Alphabetic": "Müller"}]


def test_metadata_as_xml(caller: Caller, held: dict[str, bytes]) -> None:
    answer = get(caller, f"{SERIES}/metadata", 'multipart/related; type="application/dicom+xml"')
    parts = multipart.parts(answer)
    found = []
    for part in parts:
        assert part.media_type == "application/dicom+xml"
        root = ET.fromstring(part.content)  # noqa: S314
        path = "d:DicomAttribute[@tag='00080018']/d:Value"
        found.append(root.findtext(path, namespaces={"d": dicomxml.NAMESPACE}))
    assert found == ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3"]
    assert_problem(get(caller, f"{SERIES}/metadata", "image/png"), 406, "application/dicom+json")


def test_metadata_comes_from_the_index(
    caller: Caller, held: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = caller.get(f"{STUDY}/metadata").json()
    frame_cache.forget_memory()
    # Not a file is opened any more.
    for row in DicomImage.objects.all():
        stores.instances().path(row.storage_key).unlink()
    assert caller.get(f"{STUDY}/metadata").json() == before
    assert caller.get(f"{INSTANCE}/metadata").json() == before[:1]


def test_the_index_is_made_when_a_series_has_arrived(
    held: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import timedelta

    from archive.models import Job

    runner.dispatch()
    waiting = Job.objects.filter(kind="series.describe")
    assert waiting.count() == 2
    made: list[str] = []
    real = descriptions._make
    monkeypatch.setattr(
        descriptions, "_make", lambda one, members: made.append(str(one.pk)) or real(one, members)
    )
    series = Series.objects.get(series_instance_uid="1.2.1.1")
    waiting.delete()
    # Something came a moment ago: an index of a part of the series would be made in vain.
    descriptions.describe(str(series.pk))
    assert made == []
    assert waiting.count() == 1
    monkeypatch.setattr(descriptions, "_QUIET", timedelta(0))
    descriptions.describe(str(series.pk))
    assert made == [str(series.pk)]
    descriptions.of_series(Series.objects.select_related("study").get(pk=series.pk))
    assert made == [str(series.pk)]


def test_the_index_follows_the_series(
    caller: Caller, held: dict[str, bytes], facility: Facility
) -> None:
    assert len(caller.get(f"{SERIES}/metadata").json()) == 3
    factories.store_bytes(to_bytes(instance(4)), facility)
    assert uids(caller.get(f"{SERIES}/metadata").json())[3] == "1.2.1.1.4"


def test_a_missing_file_is_described_by_what_is_known(
    caller: Caller, held: dict[str, bytes]
) -> None:
    row = DicomImage.objects.get(sop_instance_uid="1.2.1.1.2")
    path = stores.instances().path(row.storage_key)
    aside = path.rename(path.with_suffix(".aside"))
    poor = caller.get(f"{SERIES}/metadata").json()
    assert uids(poor) == ["1.2.1.1.1", "1.2.1.1.2", "1.2.1.1.3"]
    assert poor[1]["00280010"]["Value"] == [16]
    assert "00100040" not in poor[1]
    aside.rename(path)
    # What was not whole was not kept.
    assert "00100040" in caller.get(f"{SERIES}/metadata").json()[1]


def test_large_metadata_leaves_in_pieces(
    caller: Caller, held: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi_app.services.dicomweb import metadata

    whole = caller.get(f"{STUDY}/metadata").json()
    monkeypatch.setattr(metadata, "_WHOLE_BYTES", 100)
    monkeypatch.setattr(descriptions, "_BLOCK_BYTES", 100)
    monkeypatch.setattr(descriptions, "_VERSION", 1000)
    for coding in ("identity", "gzip", "br, gzip;q=0.5", "br"):
        answer = caller.get(f"{STUDY}/metadata", headers={"Accept-Encoding": coding})
        assert answer.headers.get("content-encoding") == ("gzip" if "gzip" in coding else None)
        assert answer.json() == whole
    accept = 'multipart/related; type="application/dicom+xml"'
    assert len(multipart.parts(get(caller, f"{STUDY}/metadata", accept))) == 4
    assert caller.get(f"{SERIES}/instances/1.2.1.1.3/metadata").json() == whole[2:3]


# Traces --------------------------------------------------------------------------------------


def test_every_retrieval_leaves_its_trace(caller: Caller, held: dict[str, bytes]) -> None:
    get(caller, STUDY, AS_STORED)
    get(caller, SERIES, "application/zip")
    get(caller, INSTANCE, "application/dicom")
    caller.get(f"{SERIES}/metadata")
    caller.get(f"{INSTANCE}/frames/1")
    events = AuditEvent.objects.filter(verb__regex="^(study|image)").order_by("pk")
    verbs = list(events.values_list("verb", "detail__level"))
    assert verbs == [
        ("study.retrieve", "study"),
        ("study.retrieve", "series"),
        ("image.download", "instance"),
        ("study.view", None),
    ]
    event = AuditEvent.objects.filter(verb="study.retrieve").order_by("pk").first()
    assert event is not None
    assert event.actor == "rita"
    assert event.detail["instances"] == 4


def test_without_its_trace_nothing_leaves(
    caller: Caller, held: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.db import OperationalError

    from archive import audit

    def fail(*_: object, **__: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(audit, "record", fail)
    monkeypatch.setattr(audit, "_insert", fail)
    for path in (STUDY, INSTANCE, f"{STUDY}/metadata", f"{INSTANCE}/frames/1"):
        assert_problem(get(caller, path, "*/*"), 503)


def test_the_content_is_what_its_digest_says(caller: Caller, held: dict[str, bytes]) -> None:
    row = DicomImage.objects.get(sop_instance_uid="1.2.1.1.1")
    content = get(caller, INSTANCE, "application/dicom; transfer-syntax=*").content
    assert hashlib.sha256(content).hexdigest() == row.sha256
