"""Retrieval at the FRAME level of the Composite Instance Root, by C-GET and C-MOVE."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CompositeInstanceRootRetrieveGet,
    CompositeInstanceRootRetrieveMove,
    StudyRootQueryRetrieveInformationModelGet,
)

from tests.dicom import make_instance, to_bytes
from tests.pdu import EXPLICIT_LE, RawPeer, read_part10
from tests.receiver import ReceiverSite

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
MULTIFRAME_SC = "1.2.840.10008.5.1.4.1.1.7.2"
RLE = "1.2.840.10008.1.2.5"


def send(receiver: ReceiverSite, content: bytes) -> Dataset:
    part = read_part10(content)
    with RawPeer(
        receiver.port, [(part.sop_class, [part.transfer_syntax])], calling="CT_NORTH"
    ) as peer:
        assert peer.store(part.sop_class, part.sop_instance, part.data).status == 0
        peer.release()
    return dcmread(io.BytesIO(content))


def fresh(path: Path) -> bytes:
    """The file under new UIDs, so that tests do not meet."""
    found = dcmread(path)
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    found.StudyInstanceUID, found.SeriesInstanceUID = generate_uid(), generate_uid()
    return to_bytes(found)


@pytest.fixture(scope="module")
def compressed(receiver: ReceiverSite, data: Path) -> Dataset:
    return send(receiver, fresh(data / "mr/enhanced/emri_small_RLE.dcm"))


def asked(uid: str | list[str], level: str = "FRAME", **keys: Any) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = level
    found.SOPInstanceUID = uid
    for keyword, value in keys.items():
        setattr(found, keyword, value)
    return found


def get(
    receiver: ReceiverSite,
    wanted: Dataset,
    sop_class: str,
    syntaxes: Sequence[str] = (EXPLICIT_LE,),
    *,
    model: str = CompositeInstanceRootRetrieveGet,
    calling: str = "CT_NORTH",
) -> tuple[Dataset, list[Dataset]]:
    ae = AE(calling)
    ae.add_requested_context(model, EXPLICIT_LE)
    ae.add_requested_context(sop_class, list(syntaxes))
    came: list[Dataset] = []

    def keep(event: evt.Event) -> int:
        found = event.dataset
        found.file_meta = event.file_meta
        assert found.SOPInstanceUID == event.request.AffectedSOPInstanceUID
        came.append(found)
        return 0

    association = ae.associate(
        "127.0.0.1",
        receiver.port,
        ae_title="NOCTIS_SCP",
        ext_neg=[build_role(sop_class, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    assert association.is_established
    answers = [status for status, _ in association.send_c_get(wanted, model)]
    association.release()
    return answers[-1], came


def test_a_get_brings_one_new_instance_with_frames_untouched(
    receiver: ReceiverSite, compressed: Dataset
) -> None:
    wanted = asked(compressed.SOPInstanceUID, SimpleFrameList=[2, 5, 10])
    last, (made,) = get(receiver, wanted, ENHANCED_MR, [RLE])
    assert last.Status == 0x0000
    assert last.NumberOfCompletedSuboperations == 1
    assert made.file_meta.TransferSyntaxUID == RLE
    assert made.SOPInstanceUID != compressed.SOPInstanceUID
    assert made.StudyInstanceUID == compressed.StudyInstanceUID
    assert made.NumberOfFrames == 3
    assert np.array_equal(made.pixel_array, compressed.pixel_array[[1, 4, 9]])
    assert list(made.FrameExtractionSequence[0].SimpleFrameList) == [2, 5, 10]
    # Nothing was kept: it is made for the caller.
    assert not receiver.rows(
        "SELECT id FROM worklist_dicomimage WHERE sop_instance_uid = ?", made.SOPInstanceUID
    )


def test_a_get_converts_frames_that_the_caller_does_not_take(
    receiver: ReceiverSite, compressed: Dataset
) -> None:
    wanted = asked(compressed.SOPInstanceUID, CalculatedFrameList=[3, 9, 3])
    last, (made,) = get(receiver, wanted, ENHANCED_MR)
    assert last.Status == 0
    assert made.file_meta.TransferSyntaxUID == EXPLICIT_LE
    assert np.array_equal(made.pixel_array, compressed.pixel_array[[2, 5, 8]])


def test_a_move_sends_it_to_storescp(
    receiver: ReceiverSite, compressed: Dataset, storescp: Callable[..., SimpleNamespace]
) -> None:
    peer = storescp("+xa")
    receiver.run_python(
        "from archive.access import system_actor\n"
        "from archive.destinations import DestinationDraft, save_destination\n"
        f"draft = DestinationDraft('FRAMES', '127.0.0.1', {peer.port})\n"
        "save_destination(system_actor('tests'), draft)"
    )
    ae = AE("CT_NORTH")
    ae.add_requested_context(CompositeInstanceRootRetrieveMove, EXPLICIT_LE)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="NOCTIS_SCP")
    wanted = asked(compressed.SOPInstanceUID, SimpleFrameList=[1, 4])
    answers = list(association.send_c_move(wanted, "FRAMES", CompositeInstanceRootRetrieveMove))
    association.release()
    assert answers[-1][0].Status == 0
    assert answers[-1][0].NumberOfCompletedSuboperations == 1
    (path,) = peer.folder.iterdir()
    made = dcmread(path)
    assert np.array_equal(made.pixel_array, compressed.pixel_array[[0, 3]])
    plain = path.with_suffix(".plain")
    subprocess.run(["dcmdrle", str(path), str(plain)], check=True, capture_output=True)
    assert np.array_equal(dcmread(plain).pixel_array, made.pixel_array)


def multiframe(**keywords: Any) -> bytes:
    pixels = np.arange(4 * 8 * 8, dtype=np.uint8).reshape(4, 8, 8)
    found = make_instance(pixels[0], SOPClassUID=MULTIFRAME_SC, NumberOfFrames=4, **keywords)
    found.PixelData = pixels.tobytes()
    return to_bytes(found)


@pytest.mark.parametrize(
    ("keys", "status"),
    [
        ({"SimpleFrameList": [5, 9]}, 0xAA00),
        ({"SimpleFrameList": [2, 1]}, 0xAA04),
        ({"CalculatedFrameList": [1, 2]}, 0xAA04),
        ({"SimpleFrameList": [1], "CalculatedFrameList": [1, 2, 1]}, 0xAA04),
        ({}, 0xAA04),
        ({"TimeRange": [0.0, 1.0]}, 0xAA03),
    ],
    ids=["beyond-the-end", "backwards", "no-triplet", "two-keys", "no-key", "time"],
)
def test_refusals_have_their_own_status(
    receiver: ReceiverSite, keys: dict[str, Any], status: int
) -> None:
    uid = send(receiver, multiframe()).SOPInstanceUID
    last, came = get(receiver, asked(uid, **keys), MULTIFRAME_SC)
    assert last.Status == status
    assert last.ErrorComment
    assert came == []


def test_frames_are_of_one_multi_frame_instance(receiver: ReceiverSite) -> None:
    single = send(receiver, to_bytes(make_instance()))
    timed = send(receiver, multiframe(FrameTime=40))
    uid = single.SOPInstanceUID
    by_time = asked(timed.SOPInstanceUID, TimeRange=[0.0, 1.0])
    sop_class = single.SOPClassUID
    one = {"SimpleFrameList": [1]}
    assert get(receiver, asked(uid, **one), sop_class)[0].Status == 0xAA01
    assert get(receiver, by_time, MULTIFRAME_SC)[0].Status == 0xAA02
    both = asked([uid, timed.SOPInstanceUID], **one)
    assert get(receiver, both, MULTIFRAME_SC)[0].Status == 0xAA04
    assert get(receiver, asked(generate_uid(), **one), sop_class)[0].Status == 0xAA00
    assert get(receiver, asked("", **one), sop_class)[0].Status == 0xA900
    # The level is of this information model alone.
    other = get(
        receiver, asked(uid, **one), sop_class, model=StudyRootQueryRetrieveInformationModelGet
    )
    assert other[0].Status == 0xA900


def test_what_the_caller_takes_no_kind_of_fails(
    receiver: ReceiverSite, compressed: Dataset
) -> None:
    wanted = asked(compressed.SOPInstanceUID, SimpleFrameList=[1])
    last, came = get(receiver, wanted, MULTIFRAME_SC)
    assert (last.Status, came) == (0xA702, [])
    assert last.NumberOfFailedSuboperations == 1


def test_frames_are_audited_and_another_facilitys_are_not_there(
    receiver: ReceiverSite, compressed: Dataset
) -> None:
    def count() -> int:
        sql = "SELECT id FROM archive_auditevent WHERE verb = 'study.retrieve' AND detail LIKE ?"
        return len(receiver.rows(sql, '%"frames"%'))

    wanted = asked(compressed.SOPInstanceUID, SimpleFrameList=[1])
    before = count()
    last, came = get(receiver, wanted, ENHANCED_MR, calling="CT_WEST")
    assert (last.Status, came, count()) == (0xAA00, [], before)
    assert get(receiver, wanted, ENHANCED_MR)[0].Status == 0
    receiver.eventually(lambda: count() == before + 1)
