"""C-STORE from real and hand-made peers: what is stored, byte for byte, and what is answered."""

from __future__ import annotations

import csv
import hashlib
import io
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import generate_uid

from tests.dicom import make_instance, to_bytes
from tests.pdu import (
    CT,
    EXPLICIT_LE,
    IMPLICIT_LE,
    VERIFICATION,
    Part10,
    RawPeer,
    associate_rq,
    command,
    echo_rq,
    fragment,
    read_part10,
    store_rq,
    uid_bytes,
    us,
)
from tests.receiver import ReceiverSite

PRIVATE_CLASS = "1.3.6.1.4.1.99999.7.1"
UNKNOWN_SYNTAX = "1.3.6.1.4.1.99999.8.1"


def new_instance(**keywords: object) -> Part10:
    return read_part10(to_bytes(make_instance(**keywords)))


def stored(site: ReceiverSite, sop_instance: str) -> list[dict[str, object]]:
    return site.rows(
        "SELECT i.*, f.code AS facility_code FROM worklist_dicomimage i "
        "JOIN worklist_facility f ON f.id = i.facility_id WHERE sop_instance_uid = ?",
        sop_instance,
    )


def data_set_of(site: ReceiverSite, row: dict[str, object]) -> bytes:
    raw = (site.store / str(row["storage_key"])).read_bytes()
    assert hashlib.sha256(raw).hexdigest() == row["sha256"]
    assert raw[:132] == bytes(128) + b"DICM"
    found = read_part10(raw)
    assert found.sop_instance == row["sop_instance_uid"]
    assert found.transfer_syntax == row["transfer_syntax_uid"]
    return found.data


def send(site: ReceiverSite, instance: Part10, *, calling: str = "CT_NORTH") -> int:
    offered = [(instance.sop_class, [instance.transfer_syntax])]
    with site.peer(offered, calling=calling) as peer:
        status = peer.store(instance.sop_class, instance.sop_instance, instance.data).status
        peer.release()
    return status


def storescu(site: ReceiverSite, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command_line = ["storescu", "-v", "-aec", "NOCTIS_SCP", "127.0.0.1", str(site.port)]
    return subprocess.run(
        [*command_line, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.peers
def test_a_series_from_dcmtk_is_stored_whole_and_once(receiver: ReceiverSite, data: Path) -> None:
    folder = data / "ct" / "head_phantom_1mm"
    originals = {}
    for path in folder.iterdir():
        original = read_part10(path.read_bytes())
        originals[original.sop_instance] = original.data
    assert len(originals) == 88

    for _ in range(2):  # the second time every instance is a duplicate
        done = storescu(receiver, "+sd", folder)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("Received Store Response (Success)") == 88
        found = {
            row["sop_instance_uid"]: row
            for row in receiver.images()
            if row["sop_instance_uid"] in originals
        }
        assert len(found) == 88

    for uid, row in found.items():
        assert data_set_of(receiver, row) == originals[uid]
        assert row["source_ae_title"] == "STORESCU"
    (study,) = receiver.rows(
        "SELECT * FROM worklist_study WHERE id = "
        "(SELECT study_id FROM worklist_series WHERE id = ?)",
        row["series_id"],
    )
    assert (study["instance_count"], study["series_count"]) == (88, 1)
    assert study["size_bytes"] == sum(row["size_bytes"] for row in found.values())


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "options", "syntax"),
    [
        ("CT1_UNC.explicit_little", ["-xi"], "1.2.840.10008.1.2"),
        ("CT1_UNC.explicit_little", ["-xe"], "1.2.840.10008.1.2.1"),
        ("CT1_UNC.explicit_little", ["-xd"], "1.2.840.10008.1.2.1.99"),
        ("CT1_UNC.explicit_big", ["-xb"], "1.2.840.10008.1.2.2"),
        ("CT1_JPLL", ["-xs"], "1.2.840.10008.1.2.4.70"),
        ("CT1_JLSL", ["-xt"], "1.2.840.10008.1.2.4.80"),
        ("CT1_J2KR", ["-xv"], "1.2.840.10008.1.2.4.90"),
        ("CT1_RLE", ["-xr"], "1.2.840.10008.1.2.5"),
    ],
    ids=["implicit", "explicit", "deflated", "big endian", "jpeg", "jpeg-ls", "j2k", "rle"],
)
def test_dcmtk_proposals_are_taken_in_its_own_order(
    receiver: ReceiverSite,
    data: Path,
    tmp_path: Path,
    name: str,
    options: list[str],
    syntax: str,
) -> None:
    source = next((data / "transfer_syntax").rglob(f"{name}*"))
    dataset = pydicom.dcmread(source)
    # One image in many encodings: an instance of its own for each.
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    path = tmp_path / "one.dcm"
    dataset.save_as(path)
    done = storescu(receiver, *options, path)
    assert done.returncode == 0, done.stderr
    (row,) = stored(receiver, dataset.SOPInstanceUID)
    assert row["transfer_syntax_uid"] == syntax


def lacks_identity(raw: bytes, instance: Part10) -> bool:
    """Whether pydicom, too, finds that the file does not say in one lawful way what it is."""
    dataset = pydicom.dcmread(io.BytesIO(raw), force=True, stop_before_pixels=True)
    names = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
    found = [str(dataset.get(name) or "") for name in names]
    return found[:2] != [instance.sop_class, instance.sop_instance] or not all(
        re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))*", uid) and len(uid) <= 64 for uid in found
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")  # what it says about odd files
def test_every_real_file_is_kept_byte_for_byte(
    make_site: Callable[..., ReceiverSite], data: Path
) -> None:
    """Every real file, sound or odd, in its own encoding: stored or kept aside as it is, or refused
    for a reason that pydicom sees too; never changed."""
    site = make_site()
    site.start()
    kept: dict[str, bytes] = {}
    aside: list[bytes] = []
    refused: dict[str, str] = {}
    with (data / "manifest.csv").open() as handle:
        paths = [row["path"] for row in csv.DictReader(handle)]
    for path in paths:
        raw = (data / path).read_bytes()
        try:
            instance = read_part10(raw)
        except (AssertionError, KeyError):
            continue  # without its own meta group there is nothing to negotiate from
        if instance.sop_class in ("", "1.2.840.10008.1.3.10"):
            continue  # nameless, or a DICOMDIR, which is no network object
        with site.peer([(instance.sop_class, [instance.transfer_syntax])]) as peer:
            answer = peer.store(instance.sop_class, instance.sop_instance, instance.data)
        if answer.status == 0x0000:
            # Some files are the same instance twice; the first stays.
            kept.setdefault(instance.sop_instance, instance.data)
        elif answer.status == 0xB000:
            aside.append(instance.data)
        elif not path.startswith("malformed/") and not lacks_identity(raw, instance):
            refused[path] = f"0x{answer.status:04X} {answer.comment}"
    assert refused == {}
    for uid, original in kept.items():
        (row,) = stored(site, uid)
        assert data_set_of(site, row) == original, uid
    conflicts = (site.store / "conflicts").glob("??/??/*")
    found = sorted(read_part10(path.read_bytes()).data for path in conflicts)
    assert found == sorted(set(aside))
    site.assert_consistent()
    assert len(kept) > 300
    assert len(aside) > 50


def test_private_class_and_unknown_syntax_are_stored_as_received(receiver: ReceiverSite) -> None:
    plain = new_instance(SOPClassUID=PRIVATE_CLASS)
    instance = Part10(PRIVATE_CLASS, plain.sop_instance, UNKNOWN_SYNTAX, plain.data)
    assert send(receiver, instance) == 0x0000
    (row,) = stored(receiver, instance.sop_instance)
    assert row["sop_class_uid"] == PRIVATE_CLASS
    assert row["transfer_syntax_uid"] == UNKNOWN_SYNTAX
    assert data_set_of(receiver, row) == plain.data


def test_contexts_are_answered_one_by_one(receiver: ReceiverSite) -> None:
    offered = [
        (CT, [IMPLICIT_LE, EXPLICIT_LE]),
        (CT, ["1.2.840.10008.1.2.4.202", IMPLICIT_LE]),
        ("1.2.840.10008.5.1.4.1.1.3", [IMPLICIT_LE]),  # Ultrasound Multi-frame, retired
        ("1.2.840.10008.5.1.4.1.1.501.1", [IMPLICIT_LE]),  # DICOS CT
        ("1.2.840.10008.1.20.1", [IMPLICIT_LE]),  # Storage Commitment
        ("1.2.840.10008.1.3.10", [IMPLICIT_LE]),  # DICOMDIR
        ("1.2.840.10008.3.1.2.1.1", [IMPLICIT_LE]),  # Detached Patient Management, retired
        ("1.2.840.10008.1.2.1", [IMPLICIT_LE]),  # a transfer syntax
        ("1.2.840.10008.5.1.4.34.6.1", [IMPLICIT_LE]),  # Unified Procedure Step Push
        (CT, ["1.2.../../x", "1.02.3"]),
        ("1.2.840.10008.5.1.4.1.1.999999", [IMPLICIT_LE]),  # of a later edition
        ("1.02.3", [IMPLICIT_LE]),
        (VERIFICATION, [UNKNOWN_SYNTAX]),
    ]
    with receiver.peer(offered) as peer:
        assert [peer.results[2 * n + 1] for n in range(len(offered))] == [
            0, 0, 0, 0, 0, 3, 3, 3, 3, 4, 0, 3, 4,
        ]  # fmt: skip
        assert peer.accepted[1] == IMPLICIT_LE
        assert peer.accepted[3] == "1.2.840.10008.1.2.4.202"
        assert peer.most == 128 * 1024


def test_roles_are_answered_as_c_get_needs_them(receiver: ReceiverSite) -> None:
    mr, us = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.6.1"
    offered = [(uid, [EXPLICIT_LE]) for uid in (CT, mr, us)]
    roles = [(CT, 1, 1), (mr, 0, 1), (us, 0, 0)]
    request = associate_rq("CT_NORTH", "NOCTIS_SCP", offered, roles=roles)
    with receiver.peer(offered, request=request) as peer:
        assert peer.roles == {CT: (1, 1), mr: (0, 1)}
        # Nobody could speak on the last one.
        assert peer.results == {1: 0, 3: 0, 5: 1}


def test_other_content_under_a_known_uid_is_kept_aside(receiver: ReceiverSite) -> None:
    first = new_instance(PatientID="FIRST")
    second = new_instance(PatientID="SECOND", SOPInstanceUID=first.sop_instance)
    assert send(receiver, first) == 0x0000
    with receiver.peer([(CT, [EXPLICIT_LE])]) as peer:
        answer = peer.store(CT, second.sop_instance, second.data)
    assert answer.status == 0xB000
    assert answer.comment == "Kept aside: this UID is stored with other content."
    (row,) = stored(receiver, first.sop_instance)
    assert data_set_of(receiver, row) == first.data
    (conflict,) = receiver.rows(
        "SELECT * FROM archive_instanceconflict WHERE sop_instance_uid = ?", first.sop_instance
    )
    aside = (receiver.store / "conflicts" / conflict["storage_key"]).read_bytes()
    assert read_part10(aside).data == second.data
    assert conflict["source"] == "CT_NORTH at 127.0.0.1"


def test_one_uid_at_two_facilities_is_two_instances(receiver: ReceiverSite) -> None:
    instance = new_instance()
    other = new_instance(SOPInstanceUID=instance.sop_instance, PatientID="OTHER")
    assert send(receiver, instance, calling="CT_NORTH") == 0x0000
    assert send(receiver, other, calling="CT_WEST") == 0x0000
    rows = {str(row["facility_code"]): row for row in stored(receiver, instance.sop_instance)}
    assert data_set_of(receiver, rows["NORTH"]) == instance.data
    assert data_set_of(receiver, rows["WEST"]) == other.data


def test_eight_rivals_for_one_uid_have_one_winner(receiver: ReceiverSite) -> None:
    uid = generate_uid()
    rivals = [new_instance(SOPInstanceUID=uid, PatientID=f"RIVAL{n}") for n in range(8)]
    peers = [receiver.peer([(CT, [EXPLICIT_LE])], calling=f"CT_{n}") for n in range(8)]
    for peer, rival in zip(peers, rivals, strict=True):
        # Everything but the last byte, so that all end at the same moment.
        peer.send(fragment(1, 3, store_rq(CT, uid)) + fragment(1, 0, rival.data[:-1]))
    start = threading.Barrier(8)
    statuses: list[int] = [0] * 8

    def finish(number: int) -> None:
        start.wait()
        peers[number].send(fragment(1, 2, rivals[number].data[-1:]))
        statuses[number] = peers[number].response().status

    threads = [threading.Thread(target=finish, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    for peer in peers:
        peer.close()
    assert sorted(statuses) == [0x0000] + [0xB000] * 7
    (row,) = stored(receiver, uid)
    assert data_set_of(receiver, row) == rivals[statuses.index(0)].data
    conflicts = receiver.rows(
        "SELECT id FROM archive_instanceconflict WHERE sop_instance_uid = ?", uid
    )
    assert len(conflicts) == 7


@pytest.mark.parametrize(
    ("wrong", "status", "comment"),
    [
        ("instance", 0xA900, "SOP Instance UID"),
        ("class", 0x0122, "The SOP Class is not that of the context."),
        ("both", 0xA900, "SOP Class UID"),
    ],
)
def test_command_and_data_set_must_agree(
    receiver: ReceiverSite, wrong: str, status: int, comment: str
) -> None:
    instance = new_instance()
    mr = "1.2.840.10008.5.1.4.1.1.4"
    with receiver.peer([(CT, [EXPLICIT_LE]), (mr, [EXPLICIT_LE])]) as peer:
        if wrong == "instance":
            answer = peer.store(CT, generate_uid(), instance.data)
        elif wrong == "class":
            answer = peer.store(mr, instance.sop_instance, instance.data, context_id=1)
        else:
            answer = peer.store(mr, instance.sop_instance, instance.data)
        peer.release()  # a refusal does not end the association
    assert answer.status == status
    assert comment in answer.comment or comment in receiver.log()
    assert len(answer.comment) <= 64
    assert stored(receiver, instance.sop_instance) == []


@pytest.mark.parametrize("step", [1, 2, 7, 4096, 130_000], ids=lambda n: f"{n} bytes")
def test_fragments_may_have_any_length(receiver: ReceiverSite, step: int) -> None:
    instance = new_instance() if step > 7 else new_instance(PixelData=None, Rows=None)
    with receiver.peer([(CT, [EXPLICIT_LE])]) as peer:
        answer = peer.store(CT, instance.sop_instance, instance.data, step=step)
    assert answer.status == 0
    (row,) = stored(receiver, instance.sop_instance)
    assert data_set_of(receiver, row) == instance.data


def test_a_pdu_may_hold_several_fragments_and_a_command_several_pdus(
    receiver: ReceiverSite,
) -> None:
    instance = new_instance()
    request = store_rq(CT, instance.sop_instance)
    half = len(instance.data) // 2
    with receiver.peer([(CT, [EXPLICIT_LE])]) as peer:
        peer.send(fragment(1, 1, request[:50]))
        peer.send(fragment(1, 3, request[50:]))
        pdvs = b""
        for control, part in ((0, instance.data[:half]), (2, instance.data[half:])):
            pdvs += (len(part) + 2).to_bytes(4, "big") + bytes([1, control]) + part
        peer.send(b"\x04\x00" + len(pdvs).to_bytes(4, "big") + pdvs)
        assert peer.response().status == 0
    (row,) = stored(receiver, instance.sop_instance)
    assert data_set_of(receiver, row) == instance.data


def test_requests_sent_ahead_are_answered_in_order(receiver: ReceiverSite) -> None:
    instances = [new_instance() for _ in range(12)]
    with receiver.peer() as peer:
        for number, instance in enumerate(instances):
            peer.send_store(CT, instance.sop_instance, instance.data, message_id=100 + number)
            peer.send(fragment(1, 3, echo_rq(500 + number)))
        # C-CANCEL of an operation that is not running is no fault.
        peer.send(
            fragment(1, 3, command((0x0100, us(0x0FFF)), (0x0120, us(1)), (0x0800, us(0x0101))))
        )
        answers = [peer.response() for _ in range(24)]
        peer.release()
    ids = [int.from_bytes(answer.values[0x0120], "little") for answer in answers]
    assert ids == [n for number in range(12) for n in (100 + number, 500 + number)]
    assert {answer.status for answer in answers} == {0}


def test_the_response_names_the_instance(receiver: ReceiverSite) -> None:
    instance = new_instance()
    with receiver.peer() as peer:
        answer = peer.store(CT, instance.sop_instance, instance.data)
    assert answer.values[0x0002] == uid_bytes(CT)
    assert answer.values[0x1000] == uid_bytes(instance.sop_instance)
    assert answer.values[0x0100] == us(0x8001)
    assert answer.values[0x0800] == us(0x0101)
    assert 0x0902 not in answer.values


@pytest.mark.peers
def test_four_senders_at_once_keep_the_counters_right(
    receiver: ReceiverSite, data: Path, tmp_path: Path
) -> None:
    study, series = generate_uid(), (generate_uid(), generate_uid())
    folders = [tmp_path / str(n) for n in range(4)]
    for folder in folders:
        folder.mkdir()
    for number, path in enumerate(sorted((data / "ct" / "head_phantom_1mm").iterdir())[:40]):
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID = study
        dataset.SeriesInstanceUID = series[number % 2]
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.save_as(folders[number % 4] / f"{number}.dcm")
    senders = [
        subprocess.Popen(
            [
                *("storescu", "-aet", f"CT_{n}", "-aec", "NOCTIS_SCP"),
                *("127.0.0.1", str(receiver.port), "+sd", str(folder)),
            ]
        )
        for n, folder in enumerate(folders)
    ]
    assert [sender.wait(timeout=60) for sender in senders] == [0] * 4
    (row,) = receiver.rows("SELECT * FROM worklist_study WHERE study_instance_uid = ?", study)
    parts = receiver.rows("SELECT * FROM worklist_series WHERE study_id = ?", row["id"])
    size = receiver.rows(
        "SELECT sum(size_bytes) AS n FROM worklist_dicomimage WHERE series_id IN (?, ?)",
        *(part["id"] for part in parts),
    )[0]["n"]
    assert (row["instance_count"], row["series_count"]) == (40, 2)
    assert [part["instance_count"] for part in parts] == [20, 20]
    assert row["size_bytes"] == size == sum(part["size_bytes"] for part in parts)


MODALITIES = {
    "CT": CT,
    "MR": "1.2.840.10008.5.1.4.1.1.4",
    "US": "1.2.840.10008.5.1.4.1.1.6.1",
    "CR": "1.2.840.10008.5.1.4.1.1.1",
}


def test_eight_senders_of_mixed_modalities_are_counted_exactly(receiver: ReceiverSite) -> None:
    """Each sends to all of two studies' eight series, some instances a second time."""
    studies = [generate_uid(), generate_uid()]
    series = {(study, kind): generate_uid() for study in studies for kind in MODALITIES}
    each: list[list[Part10]] = [
        [
            new_instance(
                StudyInstanceUID=study,
                SeriesInstanceUID=uid,
                SOPClassUID=MODALITIES[kind],
                Modality=kind,
                PatientID=study[-16:],
            )
            for (study, kind), uid in series.items()
        ]
        for _ in range(8)
    ]
    offered = [(uid, [EXPLICIT_LE]) for uid in MODALITIES.values()]
    start = threading.Barrier(8)
    statuses: list[int] = []

    def send_all(number: int) -> None:
        with receiver.peer(offered, calling=f"CT_{number}") as peer:
            start.wait()
            # Begin where no other does, and send one again.
            mine = each[number][number:] + each[number][: number + 1]
            for instance in mine:
                answer = peer.store(instance.sop_class, instance.sop_instance, instance.data)
                statuses.append(answer.status)
            peer.release()

    threads = [threading.Thread(target=send_all, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert statuses == [0] * 8 * 9
    for study in studies:
        (row,) = receiver.rows("SELECT * FROM worklist_study WHERE study_instance_uid = ?", study)
        assert (row["instance_count"], row["series_count"]) == (32, 4)
        parts = receiver.rows("SELECT * FROM worklist_series WHERE study_id = ?", row["id"])
        assert sorted(part["modality"] for part in parts) == sorted(MODALITIES)
        assert [part["instance_count"] for part in parts] == [8] * 4
        sizes = receiver.rows(
            "SELECT sum(size_bytes) AS n FROM worklist_dicomimage WHERE series_id IN (?, ?, ?, ?)",
            *(part["id"] for part in parts),
        )
        assert row["size_bytes"] == sizes[0]["n"]
    kept = {str(row["sop_instance_uid"]): row for row in receiver.images()}
    for instance in each[3]:
        assert data_set_of(receiver, kept[instance.sop_instance]) == instance.data


def test_a_lost_connection_leaves_nothing_behind(receiver: ReceiverSite) -> None:
    instance = new_instance()
    peer: RawPeer = receiver.peer(calling="CT_9")
    peer.send(fragment(3, 3, store_rq(CT, instance.sop_instance)))
    peer.send(fragment(3, 0, instance.data[:2000]))
    for _ in range(11):  # more than is kept in memory
        peer.send(fragment(3, 0, bytes(100_000)))
    receiver.eventually(receiver.spooled_files)
    peer.close()
    receiver.eventually(lambda: receiver.spooled_files() == [])
    assert stored(receiver, instance.sop_instance) == []
    (entry,) = receiver.eventually(
        lambda: receiver.rows(
            "SELECT * FROM worklist_facilityae WHERE ae_title = 'CT_9' AND last_error != ''"
        )
    )
    assert entry["last_error"] == "The connection was lost: The peer closed the connection."


@pytest.mark.slow
def test_a_stopped_receiver_answers_what_it_has_and_leaves_in_peace(
    make_site: Callable[..., ReceiverSite],
) -> None:
    site = make_site()
    site.start("--debug")
    instance = new_instance()
    idle = site.peer()
    with site.peer() as peer:
        assert peer.store(CT, instance.sop_instance, instance.data).status == 0
        assert site.stop() == 0
    idle.close()
    own_log = (site.data_dir / "logs" / "dicom_receiver.log").read_text()
    assert "NOCTIS_SCP listens on 127.0.0.1" in own_log
    assert "NOCTIS_SCP stops" in own_log
    assert "Test^Anna" not in own_log + site.log()
    site.assert_consistent()
