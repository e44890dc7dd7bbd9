"""C-GET and C-MOVE, asked by dcmtk, pynetdicom and a peer that writes its PDUs by hand."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (
    CompositeInstanceRetrieveWithoutBulkDataGet,
    CompositeInstanceRootRetrieveGet,
    CTImageStorage,
    MRImageStorage,
    PatientRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
)

from tests.dcmtk import free_port
from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    RawPeer,
    command,
    fragment,
    read_part10,
    uid_bytes,
    us,
)
from tests.receiver import ReceiverSite

GET = "1.2.840.10008.5.1.4.1.2.2.3"
MOVE = "1.2.840.10008.5.1.4.1.2.2.2"


@dataclass
class StoredStudy:
    patient_id: str
    study: str
    series: list[str]
    # Data sets as sent, by SOP Instance UID.
    sent: dict[str, bytes]

    @property
    def instances(self) -> list[str]:
        return list(self.sent)


def store_study(
    receiver: ReceiverSite, counts: Sequence[int] = (3, 2), calling: str = "CT_NORTH"
) -> StoredStudy:
    """Send a new study with so many instances in each of its series."""
    found = StoredStudy(f"P{generate_uid()[-12:]}", generate_uid(), [], {})
    with RawPeer(receiver.port, [(CT, [EXPLICIT_LE])], calling=calling) as peer:
        for number, count in enumerate(counts):
            found.series.append(generate_uid())
            for at in range(count):
                content = to_bytes(
                    make_instance(
                        PatientID=found.patient_id,
                        StudyInstanceUID=found.study,
                        SeriesInstanceUID=found.series[-1],
                        SeriesNumber=number + 1,
                        InstanceNumber=at + 1,
                    )
                )
                part = read_part10(content)
                assert peer.store(CT, part.sop_instance, part.data).status == 0
                found.sent[part.sop_instance] = part.data
        peer.release()
    return found


@pytest.fixture(scope="module")
def study(receiver: ReceiverSite) -> StoredStudy:
    return store_study(receiver)


def register(
    receiver: ReceiverSite, ae_title: str, port: int, *, facility: str | None = None
) -> None:
    receiver.run_python(
        "from archive.access import system_actor\n"
        "from archive.destinations import DestinationDraft, save_destination\n"
        "from worklist.models import Facility\n"
        f"owner = Facility.objects.filter(code={facility!r}).first()\n"
        f"draft = DestinationDraft({ae_title!r}, '127.0.0.1', {port}, facility=owner)\n"
        "save_destination(system_actor('tests'), draft)"
    )


def received(folder: Path) -> dict[str, bytes]:
    parts = [read_part10(path.read_bytes()) for path in folder.iterdir()]
    return {part.sop_instance: part.data for part in parts}


def audited(receiver: ReceiverSite, study: StoredStudy, service: str) -> list[dict[str, Any]]:
    return receiver.rows(
        "SELECT a.* FROM archive_auditevent a JOIN worklist_study s ON a.target_id = "
        "substr(s.id,1,8)||'-'||substr(s.id,9,4)||'-'||substr(s.id,13,4)||'-'||"
        "substr(s.id,17,4)||'-'||substr(s.id,21) "
        "WHERE s.study_instance_uid = ? AND a.verb = 'study.retrieve' AND a.detail LIKE ?",
        study.study,
        f"%{service}%",
    )


# --- pynetdicom as caller


def identifier(level: str, **keys: Any) -> Dataset:
    found = Dataset()
    found.QueryRetrieveLevel = level
    for keyword, value in keys.items():
        setattr(found, keyword, value)
    return found


@dataclass
class Got:
    statuses: list[Dataset]
    failed: list[str]
    received: dict[str, bytes]

    @property
    def last(self) -> int:
        return int(self.statuses[-1].Status)

    def count(self, what: str) -> int | None:
        return getattr(self.statuses[-1], f"NumberOf{what}Suboperations", None)


def get(
    receiver: ReceiverSite,
    wanted: Dataset,
    *,
    model: str = StudyRootQueryRetrieveInformationModelGet,
    calling: str = "CT_NORTH",
    storage: Sequence[str] = (CTImageStorage,),
    syntaxes: Sequence[str] = (EXPLICIT_LE,),
    on_store: Callable[[evt.Event], int] = lambda _: 0,
) -> Got:
    ae = AE(calling)
    ae.add_requested_context(model, EXPLICIT_LE)
    for sop_class in storage:
        ae.add_requested_context(sop_class, list(syntaxes))
    arrived: dict[str, bytes] = {}

    def keep(event: evt.Event) -> int:
        assert event.request.DataSet is not None
        arrived[str(event.request.AffectedSOPInstanceUID)] = event.request.DataSet.getvalue()
        return on_store(event)

    association = ae.associate(
        "127.0.0.1",
        receiver.port,
        ae_title="NOCTIS_SCP",
        ext_neg=[build_role(sop_class, scp_role=True) for sop_class in storage],
        evt_handlers=[(evt.EVT_C_STORE, keep)],
    )
    assert association.is_established
    answers = list(association.send_c_get(wanted, model))
    association.release()
    failed: list[str] = []
    for _, data_set in answers:
        if data_set is not None and "FailedSOPInstanceUIDList" in data_set:
            uids = data_set.FailedSOPInstanceUIDList
            failed = [uids] if isinstance(uids, str) else list(uids)
    return Got([status for status, _ in answers], failed, arrived)


@pytest.mark.parametrize(
    ("level", "keys", "expected"),
    [
        ("STUDY", lambda s: {"StudyInstanceUID": s.study}, slice(0, 5)),
        (
            "SERIES",
            lambda s: {"StudyInstanceUID": s.study, "SeriesInstanceUID": s.series[1]},
            slice(3, 5),
        ),
        ("SERIES", lambda s: {"SeriesInstanceUID": s.series}, slice(0, 5)),
        (
            "IMAGE",
            lambda s: {
                "StudyInstanceUID": s.study,
                "SeriesInstanceUID": s.series[0],
                "SOPInstanceUID": s.instances[:2],
            },
            slice(0, 2),
        ),
        ("IMAGE", lambda s: {"SOPInstanceUID": s.instances[4]}, slice(4, 5)),
    ],
    ids=["study", "series", "series-list", "image-list", "image-alone"],
)
def test_each_level_of_study_root_brings_its_instances_unchanged(
    receiver: ReceiverSite,
    study: StoredStudy,
    level: str,
    keys: Callable[[StoredStudy], dict[str, Any]],
    expected: slice,
) -> None:
    got = get(receiver, identifier(level, **keys(study)))
    uids = study.instances[expected]
    assert got.last == 0x0000
    assert got.received == {uid: study.sent[uid] for uid in uids}
    assert got.count("Completed") == len(uids)
    assert got.count("Failed") == got.count("Warning") == 0
    assert got.count("Remaining") is None
    pending = got.statuses[0]
    if len(uids) > 1:
        assert pending.Status == 0xFF00
        assert pending.NumberOfRemainingSuboperations == len(uids) - 1
        assert pending.NumberOfCompletedSuboperations == 1


def test_patient_root_knows_the_patient_level(receiver: ReceiverSite, study: StoredStudy) -> None:
    model = PatientRootQueryRetrieveInformationModelGet
    got = get(receiver, identifier("PATIENT", PatientID=study.patient_id), model=model)
    assert got.last == 0
    assert got.received == study.sent
    other = identifier("STUDY", PatientID="SOMEBODY", StudyInstanceUID=study.study)
    assert get(receiver, other, model=model).received == {}


def test_composite_instance_root_needs_the_uid_alone(
    receiver: ReceiverSite, study: StoredStudy
) -> None:
    uid = study.instances[2]
    wanted = identifier("IMAGE", SOPInstanceUID=uid)
    got = get(receiver, wanted, model=CompositeInstanceRootRetrieveGet)
    assert got.last == 0
    assert got.received == {uid: study.sent[uid]}
    higher = identifier("STUDY", StudyInstanceUID=study.study)
    assert get(receiver, higher, model=CompositeInstanceRootRetrieveGet).last == 0xA900


@pytest.mark.parametrize(
    ("level", "keys"),
    [
        ("PATIENT", {"PatientID": "P1"}),
        ("STUDY", {}),
        ("SERIES", {"StudyInstanceUID": "1.2.3"}),
        ("STUDY", {"StudyInstanceUID": "1.2.03"}),
        ("NONSENSE", {"StudyInstanceUID": "1.2.3"}),
        ("IMAGE", {"StudyInstanceUID": "1.2.3", "SOPInstanceUID": ""}),
    ],
    ids=["level", "no-key", "no-series", "bad-uid", "bad-level", "empty"],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_identifiers_that_name_nothing_are_refused(
    receiver: ReceiverSite, level: str, keys: dict[str, str]
) -> None:
    got = get(receiver, identifier(level, **keys))
    assert got.last == 0xA900
    assert got.statuses[-1].ErrorComment


def test_nothing_matches(receiver: ReceiverSite) -> None:
    got = get(receiver, identifier("STUDY", StudyInstanceUID=generate_uid()))
    assert (got.last, got.count("Completed"), got.count("Failed")) == (0, 0, 0)


def test_another_facility_gets_nothing(make_site: Callable[..., ReceiverSite]) -> None:
    site = make_site()
    site.start()
    study = store_study(site)
    got = get(site, identifier("STUDY", StudyInstanceUID=study.study), calling="CT_WEST")
    assert got.last == 0
    assert got.received == {}
    assert audited(site, study, "C-GET") == []


def test_some_and_all_sub_operations_fail(receiver: ReceiverSite, study: StoredStudy) -> None:
    wanted = identifier("STUDY", StudyInstanceUID=study.study)
    second = study.instances[1]

    def refuse_second(event: evt.Event) -> int:
        return 0xA700 if event.request.AffectedSOPInstanceUID == second else 0

    some = get(receiver, wanted, on_store=refuse_second)
    assert some.last == 0xB000
    assert some.failed == [second]
    assert (some.count("Completed"), some.count("Failed")) == (4, 1)
    assert "0xA700" in some.statuses[-1].ErrorComment

    every = get(receiver, wanted, on_store=lambda _: 0xC123)
    assert every.last == 0xA702
    assert every.failed == study.instances

    warned = get(receiver, wanted, on_store=lambda _: 0xB007)
    assert warned.last == 0xB000
    assert warned.failed == []
    assert warned.count("Warning") == 5

    nowhere = get(receiver, wanted, storage=[MRImageStorage])
    assert nowhere.last == 0xA702
    assert nowhere.failed == study.instances


def test_a_context_without_the_scp_role_gets_nothing(
    receiver: ReceiverSite, study: StoredStudy
) -> None:
    ae = AE("CT_NORTH")
    model = StudyRootQueryRetrieveInformationModelGet
    ae.add_requested_context(model, EXPLICIT_LE)
    ae.add_requested_context(CTImageStorage, EXPLICIT_LE)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="NOCTIS_SCP")
    wanted = identifier("STUDY", StudyInstanceUID=study.study)
    *_, (last, _) = association.send_c_get(wanted, model)
    association.release()
    assert last.Status == 0xA702
    assert last.ErrorComment == "The receiver does not take this kind of instance."


def test_cancelling_stops_a_get(receiver: ReceiverSite) -> None:
    study = store_study(receiver, (40,))

    def cancel_once(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID == study.instances[1]:
            event.assoc.send_c_cancel(1, None, StudyRootQueryRetrieveInformationModelGet)
        return 0

    got = get(receiver, identifier("STUDY", StudyInstanceUID=study.study), on_store=cancel_once)
    assert got.last == 0xFE00
    completed, remaining = got.count("Completed"), got.count("Remaining")
    assert completed is not None
    assert remaining is not None
    assert 2 <= completed < 40
    assert completed + remaining == 40
    assert len(got.received) == completed


def test_a_get_converts_what_the_caller_does_not_take(receiver: ReceiverSite, data: Path) -> None:
    part = read_part10((data / "transfer_syntax" / "wg04_ct1" / "CT1_J2KR").read_bytes())
    with RawPeer(receiver.port, [(CT, [part.transfer_syntax])]) as peer:
        assert peer.store(CT, part.sop_instance, part.data).status == 0
        peer.release()
    wanted = identifier("IMAGE", SOPInstanceUID=part.sop_instance)
    model = CompositeInstanceRootRetrieveGet
    same = get(receiver, wanted, model=model, syntaxes=[part.transfer_syntax])
    assert same.received == {part.sop_instance: part.data}
    plain = get(receiver, wanted, model=model)
    assert plain.last == 0
    found = read_dataset(BytesIO(plain.received[part.sop_instance]), False, True)
    twin = dcmread(data / "transfer_syntax" / "wg04_ct1" / "CT1_UNC.explicit_little_endian.dcm")
    assert found.PixelData == twin.PixelData
    lossy = get(receiver, wanted, model=model, syntaxes=["1.2.840.10008.1.2.4.50"])
    assert lossy.last == 0xA702
    assert "Nothing here writes" in lossy.statuses[-1].ErrorComment


def test_without_bulk_data_only_the_header_comes(
    receiver: ReceiverSite, study: StoredStudy
) -> None:
    uid = study.instances[0]
    wanted = identifier("IMAGE", SOPInstanceUID=uid)
    got = get(receiver, wanted, model=CompositeInstanceRetrieveWithoutBulkDataGet)
    assert got.last == 0
    header = read_dataset(BytesIO(got.received[uid]), False, True)
    assert header.SOPInstanceUID == uid
    assert header.Rows == 64
    assert "PixelData" not in header


def test_every_access_is_audited(receiver: ReceiverSite) -> None:
    study = store_study(receiver, (2,))
    get(receiver, identifier("STUDY", StudyInstanceUID=study.study))
    (event,) = audited(receiver, study, "C-GET")
    assert event["actor"] == "CT_NORTH"
    assert event["address"] == "127.0.0.1"
    assert '"instances": 2' in event["detail"]


# --- dcmtk


@pytest.mark.peers
def test_getscu_gets_a_study_byte_for_byte(
    receiver: ReceiverSite, study: StoredStudy, tmp_path: Path
) -> None:
    subprocess.run(
        [
            *("getscu", "-S", "-B", "-aet", "STORESCU", "-aec", "NOCTIS_SCP"),
            *("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.study}"),
            *("-od", str(tmp_path), "127.0.0.1", str(receiver.port)),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert received(tmp_path) == study.sent


@pytest.mark.peers
def test_movescu_moves_to_storescp(
    receiver: ReceiverSite, study: StoredStudy, storescp: Callable[..., SimpleNamespace]
) -> None:
    peer = storescp("+B", "+xa")
    register(receiver, "SINK", peer.port, facility="NORTH")
    done = subprocess.run(
        [
            *("movescu", "-S", "-d", "-aet", "STORESCU", "-aec", "NOCTIS_SCP", "-aem", "SINK"),
            *("-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.study}"),
            *("127.0.0.1", str(receiver.port)),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Success: Sub-operations complete" in done.stderr + done.stdout
    assert received(peer.folder) == study.sent
    (event,) = audited(receiver, study, "C-MOVE")
    assert '"to": "SINK"' in event["detail"]


# --- C-MOVE


def move(receiver: ReceiverSite, wanted: Dataset, to: str, *, calling: str = "CT_NORTH") -> Got:
    model = StudyRootQueryRetrieveInformationModelMove
    ae = AE(calling)
    ae.add_requested_context(model, EXPLICIT_LE)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="NOCTIS_SCP")
    assert association.is_established
    answers = list(association.send_c_move(wanted, to, model, msg_id=77))
    association.release()
    failed: list[str] = []
    for _, data_set in answers:
        if data_set is not None and "FailedSOPInstanceUIDList" in data_set:
            uids = data_set.FailedSOPInstanceUIDList
            failed = [uids] if isinstance(uids, str) else list(uids)
    return Got([status for status, _ in answers], failed, {})


@pytest.fixture
def sink() -> Iterator[Callable[..., tuple[int, list[evt.Event]]]]:
    """A pynetdicom receiver; returns its port and what came."""
    servers = []

    def start(answer: Callable[[evt.Event], int] = lambda _: 0) -> tuple[int, list[evt.Event]]:
        came: list[evt.Event] = []

        def keep(event: evt.Event) -> int:
            came.append(event)
            return answer(event)

        ae = AE("SINK")
        ae.add_supported_context(CTImageStorage, [EXPLICIT_LE, IMPLICIT_LE])
        server = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, keep)]
        )
        assert server is not None
        servers.append(server)
        return server.server_address[1], came

    yield start
    for server in servers:
        server.shutdown()


def test_a_move_names_who_asked_for_it(
    receiver: ReceiverSite,
    study: StoredStudy,
    sink: Callable[..., tuple[int, list[evt.Event]]],
) -> None:
    port, came = sink()
    register(receiver, "NAMED", port)
    got = move(receiver, identifier("STUDY", StudyInstanceUID=study.study), "NAMED")
    assert got.last == 0
    assert got.count("Completed") == 5
    requests = [event.request for event in came]
    assert {str(request.MoveOriginatorApplicationEntityTitle) for request in requests} == {
        "CT_NORTH"
    }
    assert {request.MoveOriginatorMessageID for request in requests} == {77}
    assert [str(request.AffectedSOPInstanceUID) for request in requests] == study.instances
    assert {
        str(request.AffectedSOPInstanceUID): request.DataSet.getvalue() for request in requests
    } == study.sent


def test_only_registered_destinations_of_the_callers_facility(
    receiver: ReceiverSite, study: StoredStudy
) -> None:
    wanted = identifier("STUDY", StudyInstanceUID=study.study)
    unknown = move(receiver, wanted, "NOWHERE")
    assert unknown.last == 0xA801
    assert "NOWHERE" in unknown.statuses[-1].ErrorComment
    register(receiver, "OF_WEST", free_port(), facility="WEST")
    assert move(receiver, wanted, "OF_WEST").last == 0xA801


def test_a_destination_that_cannot_be_reached(receiver: ReceiverSite, study: StoredStudy) -> None:
    register(receiver, "GONE", free_port())
    got = move(receiver, identifier("STUDY", StudyInstanceUID=study.study), "GONE")
    assert got.last == 0xA702
    assert got.statuses[-1].ErrorComment.startswith("Nothing listens at 127.0.0.1")
    assert got.failed == study.instances
    assert got.count("Failed") == 5
    empty = move(receiver, identifier("STUDY", StudyInstanceUID=generate_uid()), "GONE")
    assert (empty.last, empty.count("Completed"), empty.count("Failed")) == (0, 0, 0)


def test_what_the_destination_refuses_is_listed(
    receiver: ReceiverSite,
    study: StoredStudy,
    sink: Callable[..., tuple[int, list[evt.Event]]],
) -> None:
    second = study.instances[1]
    port, _ = sink(lambda event: 0xA700 if event.request.AffectedSOPInstanceUID == second else 0)
    register(receiver, "PICKY", port)
    got = move(receiver, identifier("STUDY", StudyInstanceUID=study.study), "PICKY")
    assert got.last == 0xB000
    assert got.failed == [second]
    assert (got.count("Completed"), got.count("Failed")) == (4, 1)


def test_a_destination_that_breaks_off_fails_one_instance_and_gets_the_others(
    receiver: ReceiverSite,
    study: StoredStudy,
    sink: Callable[..., tuple[int, list[evt.Event]]],
) -> None:
    second = study.instances[1]

    def answer(event: evt.Event) -> int:
        if event.request.AffectedSOPInstanceUID == second:
            event.assoc.abort()
        return 0

    port, came = sink(answer)
    register(receiver, "BREAKS", port)
    got = move(receiver, identifier("STUDY", StudyInstanceUID=study.study), "BREAKS")
    assert got.last == 0xB000
    assert got.failed == [second]
    assert got.count("Completed") == 4
    assert len(came) == 5


def test_cancelling_stops_a_move(
    receiver: ReceiverSite, sink: Callable[..., tuple[int, list[evt.Event]]]
) -> None:
    study = store_study(receiver, (40,))
    body = struct.pack("<HH2sH", 0x0008, 0x0052, b"CS", 6) + b"STUDY "
    uid = uid_bytes(study.study)
    body += struct.pack("<HH2sH", 0x0020, 0x000D, b"UI", len(uid)) + uid
    with RawPeer(receiver.port, [(MOVE, [EXPLICIT_LE])], timeout_s=20) as peer:

        def cancel_once(event: evt.Event) -> int:
            if event.request.AffectedSOPInstanceUID == study.instances[1]:
                peer.send(
                    fragment(
                        1, 3, command((0x0100, us(0x0FFF)), (0x0120, us(9)), (0x0800, us(0x0101)))
                    )
                )
            return 0

        port, came = sink(cancel_once)
        register(receiver, "SLOW", port)
        request = command(
            (0x0002, uid_bytes(MOVE)),
            (0x0100, us(0x0021)),
            (0x0110, us(9)),
            (0x0600, b"SLOW"),
            (0x0700, us(2)),
            (0x0800, us(1)),
        )
        peer.send(fragment(1, 3, request) + fragment(1, 2, body))
        while (response := peer.response()).status == 0xFF00:
            pass
        peer.release()
    assert response.status == 0xFE00
    remaining, completed = (
        int.from_bytes(response.values[number], "little") for number in (0x1020, 0x1021)
    )
    assert remaining > 0
    assert remaining + completed == 40
    assert len(came) == completed
