"""Work items by web: planned, found, claimed, worked on and ended as PS3.18 chapter 11 has it."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from xml.etree import ElementTree as ET

import httpx
import pytest
from django.utils import timezone
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from accounts.models import Role, User
from archive import runner
from archive.models import AuditEvent, OutboxEvent
from imaging import dicomxml, ups
from orders import workitem_search
from orders.models import Workitem, WorkitemSubscription, WorklistSubscription
from tests import factories, stow
from tests.sidecar import Caller, Sidecar, assert_problem
from tests.workitems import code, completed, given_up, item, scheduled, state
from worklist.models import Facility

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "/dicom-web/workitems"


@pytest.fixture
def planner(facility: Facility) -> User:
    return factories.user("pia", Role.TECHNOLOGIST, [facility])


@pytest.fixture
def caller(sidecar: Sidecar, planner: User) -> Caller:
    return sidecar.by_token(planner)


@pytest.fixture
def foreigner(sidecar: Sidecar, other_facility: Facility) -> Caller:
    return sidecar.by_token(factories.user("sam", Role.TECHNOLOGIST, [other_facility]))


def send(
    caller: Caller, path: str, content: Dataset | bytes = b"", method: str = "POST", **options: str
) -> httpx.Response:
    kind = options.pop("kind", stow.JSON)
    is_model = isinstance(content, Dataset)
    body = json.dumps(content.to_json_dict()).encode() if is_model else content  # type: ignore[union-attr]
    headers = {"Content-Type": kind} if body else {}
    return caller.request(method, f"{BASE}{path}", content=body, headers=headers, params=options)


def made(caller: Caller, data_set: Dataset | None = None, **options: str) -> str:
    """Create a work item; returns its UID."""
    answer = send(caller, "", data_set or scheduled(), **options)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rsplit("/", 1)[1]


def change(caller: Caller, uid: str, wanted: str, transaction: str = "") -> httpx.Response:
    return send(caller, f"/{uid}/state", state(wanted, transaction), "PUT")


def claimed(caller: Caller, uid: str) -> str:
    """Claim a work item; returns the Transaction UID."""
    transaction = str(generate_uid(None))
    answer = change(caller, uid, "IN PROGRESS", transaction)
    assert answer.status_code == 200, answer.text
    return transaction


def read(caller: Caller, uid: str) -> Dataset:
    answer = caller.get(f"{BASE}/{uid}")
    assert answer.status_code == 200, answer.text
    (model,) = answer.json()
    return Dataset.from_json(model)


# Created and read ---------------------------------------------------------------------------------


def test_an_item_is_created_with_what_it_lacks_and_read_back(caller: Caller) -> None:
    answer = send(caller, "", scheduled(), workitem="1.2.3.4")
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"] == f"http://testserver{BASE}/1.2.3.4"
    assert "created with modifications" in answer.headers["warning"]
    found = read(caller, "1.2.3.4")
    assert found.SOPInstanceUID == "1.2.3.4"
    assert found.SOPClassUID == ups.PUSH
    assert found.ProcedureStepLabel == "Segment the lungs"
    assert found.WorklistLabel == "North Clinic"
    assert list(found.InputInformationSequence) == []
    assert found.ScheduledProcedureStepModificationDateTime
    assert "TransactionUID" not in found
    audited = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {"workitem.create", "workitem.read"} <= audited


def test_the_uid_may_come_in_three_ways(caller: Caller) -> None:
    assert made(caller, AffectedSOPInstanceUID="1.2.1") == "1.2.1"
    assert made(caller, **{"1.2.2": ""}) == "1.2.2"
    assert made(caller, scheduled(SOPInstanceUID="1.2.5")) == "1.2.5"
    assert made(caller).startswith("2.25.")
    both = send(caller, "", scheduled(SOPInstanceUID="1.2.6"), workitem="1.2.7")
    assert_problem(both, 400, "not the same")


def test_xml_goes_both_ways(caller: Caller) -> None:
    body = dicomxml.of_model(scheduled().to_json_dict())
    answer = send(caller, "", body, kind=stow.XML, workitem="1.2.3")
    assert answer.status_code == 201, answer.text
    one = caller.get(f"{BASE}/1.2.3", headers={"Accept": stow.XML})
    assert one.headers["content-type"] == stow.XML
    keywords = [element.get("keyword") for element in ET.fromstring(one.content)]  # noqa: S314
    assert "ProcedureStepLabel" in keywords
    several = caller.get(BASE, headers={"Accept": f'multipart/related; type="{stow.XML}"'})
    assert several.headers["content-type"].startswith("multipart/related")
    assert b"ProcedureStepLabel" in several.content


def test_creations_that_are_none(caller: Caller, sidecar: Sidecar, facility: Facility) -> None:
    assert_problem(send(caller, "", scheduled(ProcedureStepState="COMPLETED")), 400, "SCHEDULED")
    assert_problem(send(caller, "", scheduled(ProcedureStepLabel=None)), 400, "ProcedureStepLabel")
    assert_problem(send(caller, "", scheduled(TransactionUID="1.2")), 400, "TransactionUID")
    when = scheduled(ScheduledProcedureStepStartDateTime="soon")
    assert_problem(send(caller, "", when), 400, "ScheduledProcedureStepStartDateTime")
    assert_problem(send(caller, "", scheduled(), workitem="1.02"), 400, "UID")
    assert_problem(send(caller, "", b"{"), 400, "JSON")
    assert_problem(send(caller, "", scheduled().to_json().encode(), kind="text/plain"), 415)
    viewer = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    assert_problem(send(viewer, "", scheduled()), 403)
    assert not Workitem.objects.exists()
    made(caller, workitem="1.2.3")
    assert_problem(send(caller, "", scheduled(), workitem="1.2.3"), 409, "exists already")
    assert Workitem.objects.count() == 1


@pytest.mark.parametrize(
    "text", ["a\0b", "a\ud800b", "\x1b[2J", "x" * 5000], ids=["nul", "surrogate", "escape", "long"]
)
def test_odd_text_is_refused_or_kept_whole(caller: Caller, text: str) -> None:
    for keyword in ("ProcedureStepLabel", "PatientName", "PatientID"):
        model = scheduled().to_json_dict()
        tag = f"{tag_for_keyword(keyword) or 0:08X}"
        is_name = keyword == "PatientName"
        model[tag] = {
            "vr": "PN" if is_name else "LO",
            "Value": [{"Alphabetic": text} if is_name else text],
        }
        assert_problem(send(caller, "", json.dumps(model).encode()), 400)
    # In what no column holds it is refused where it is no text, and else kept.
    model = scheduled().to_json_dict()
    model["00400400"] = {"vr": "LT", "Value": [text]}
    answer = send(caller, "", json.dumps(model).encode())
    is_text = text.isprintable() or text.startswith("\x1b")
    assert answer.status_code == (201 if is_text else 400), answer.text
    for keys in ({"PatientName": text}, {"ProcedureStepLabel": text}, {"facility": text}):
        wire = {name: value.encode("utf-8", "surrogatepass") for name, value in keys.items()}
        assert caller.get(BASE, params=wire).status_code in (200, 400)  # type: ignore[arg-type]


@pytest.mark.parametrize("uid", ["1.02", "x", "%00", "1.2%00", "1" * 65, "%2e%2e", "1.2.3 "])
def test_what_is_no_uid_names_nothing(caller: Caller, uid: str) -> None:
    for answer in (
        caller.get(f"{BASE}/{uid}"),
        change(caller, uid, "IN PROGRESS", "1.2.3"),
        send(caller, f"/{uid}/cancelrequest"),
        send(caller, f"/{uid}/subscribers/WATCHER"),
    ):
        assert_problem(answer, 404)


def test_the_service_names_work_items_among_its_resources(caller: Caller) -> None:
    answer = caller.request("OPTIONS", BASE)
    assert {"GET", "POST", "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    for name in (b"create_workitem", b"change_workitem_state", b"subscribe_workitem"):
        assert name in answer.content


# Changed ------------------------------------------------------------------------------------------


def test_a_scheduled_item_is_changed_without_a_claim(caller: Caller) -> None:
    uid = made(caller)
    before = read(caller, uid).ScheduledProcedureStepModificationDateTime
    changes = item(ProcedureStepLabel="Segment the liver", InputReadinessState="INCOMPLETE")
    assert send(caller, f"/{uid}", changes).status_code == 200
    found = read(caller, uid)
    assert found.ProcedureStepLabel == "Segment the liver"
    assert found.PatientName == "Lee^Kim"
    assert found.ScheduledProcedureStepModificationDateTime > before
    told = OutboxEvent.objects.filter(kind="workitem.changed").latest("id").payload
    assert [kind for kind, _ in told["reports"]] == ["1"]


def test_a_claimed_item_is_changed_with_its_transaction_uid_alone(caller: Caller) -> None:
    uid = made(caller)
    transaction = claimed(caller, uid)
    changes = item(ProcedureStepProgressInformationSequence=[item(ProcedureStepProgress="40")])
    answer = send(caller, f"/{uid}", changes)
    assert_problem(answer, 400)
    assert answer.headers["warning"] == '299 noctispro "The Transaction UID is missing."'
    answer = send(caller, f"/{uid}", changes, **{"transaction-uid": "1.2.3"})
    assert_problem(answer, 400)
    assert answer.headers["warning"] == '299 noctispro "The Transaction UID is incorrect."'
    assert Workitem.objects.get().progress is None
    for options, percent in (
        ({"transaction-uid": transaction}, "40"),
        ({transaction: ""}, "50"),
    ):
        changes.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress = percent
        assert send(caller, f"/{uid}", changes, **options).status_code == 200
        assert Workitem.objects.get().progress == float(percent)
    changes.ProcedureStepProgressInformationSequence[0].ProcedureStepProgress = "60"
    changes.TransactionUID = transaction
    answer = send(caller, f"/{uid}", changes)
    assert answer.status_code == 200
    assert "warning" not in answer.headers
    assert "TransactionUID" not in read(caller, uid)


def test_changes_that_are_none(caller: Caller) -> None:
    uid = made(caller)
    answer = send(caller, f"/{uid}", completed())
    assert_problem(answer, 409)
    assert "did not reference a claimed Workitem" in answer.headers["warning"]
    assert_problem(send(caller, f"/{uid}", item(PatientID="P2")), 400, "PatientID")
    assert_problem(send(caller, f"/{uid}", item(ProcedureStepState="CANCELED")), 400)
    assert_problem(send(caller, "/1.2.3", item(ProcedureStepLabel="x")), 404)
    transaction = claimed(caller, uid)
    assert send(caller, f"/{uid}", completed(), transaction=transaction).status_code == 200
    assert change(caller, uid, "COMPLETED", transaction).status_code == 200
    answer = send(caller, f"/{uid}", item(ProcedureStepLabel="x"), transaction=transaction)
    assert_problem(answer, 400, "nothing changes")
    assert "inconsistent with the current state" in answer.headers["warning"]


# States -------------------------------------------------------------------------------------------


def test_an_item_is_claimed_and_completed(caller: Caller) -> None:
    uid = made(caller)
    transaction = claimed(caller, uid)
    assert read(caller, uid).ProcedureStepState == "IN PROGRESS"
    answer = change(caller, uid, "COMPLETED", transaction)
    assert_problem(answer, 409, "UnifiedProcedureStepPerformedProcedureSequence")
    assert "inconsistent" in answer.headers["warning"]
    assert send(caller, f"/{uid}", completed(), transaction=transaction).status_code == 200
    assert change(caller, uid, "COMPLETED", transaction).status_code == 200
    found = Workitem.objects.get()
    assert (found.state, found.performer) == ("COMPLETED", "pia")
    assert found.ended_at is not None
    again = change(caller, uid, "COMPLETED", transaction)
    assert again.status_code == 200
    assert "already in the requested state of COMPLETED" in again.headers["warning"]


def test_an_item_is_claimed_and_given_up(caller: Caller) -> None:
    uid = made(caller)
    transaction = claimed(caller, uid)
    assert_problem(change(caller, uid, "CANCELED", transaction), 409)
    assert send(caller, f"/{uid}", given_up(), transaction=transaction).status_code == 200
    assert change(caller, uid, "CANCELED", transaction).status_code == 200
    told = OutboxEvent.objects.filter(kind="workitem.changed").latest("id").payload
    report = Dataset.from_json(dict(told["reports"])["1"])
    assert report.ReasonForCancellation == "The wrong series was selected."
    again = change(caller, uid, "CANCELED", transaction)
    assert "already in the requested state of CANCELED" in again.headers["warning"]


@pytest.mark.parametrize(
    ("wanted", "transaction", "status", "words"),
    [
        ("IN PROGRESS", "", 400, "The Transaction UID is missing."),
        ("COMPLETED", "1.2", 409, "inconsistent"),
        ("CANCELED", "1.2", 409, "inconsistent"),
        ("SCHEDULED", "1.2", 409, "inconsistent"),
        ("PAUSED", "1.2", 400, ""),
        ("IN PROGRESS", "1.02", 400, ""),
    ],
)
def test_a_scheduled_item_takes_one_way(
    caller: Caller, wanted: str, transaction: str, status: int, words: str
) -> None:
    uid = made(caller)
    answer = change(caller, uid, wanted, transaction)
    assert_problem(answer, status)
    assert words in answer.headers.get("warning", "")
    assert Workitem.objects.get().state == "SCHEDULED"


def test_of_claimers_at_once_one_wins(caller: Caller) -> None:
    uid = made(caller)
    transactions = [str(generate_uid(None)) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda t: change(caller, uid, "IN PROGRESS", t), transactions))
    won = [t for t, answer in zip(transactions, answers, strict=True) if answer.is_success]
    assert len(won) == 1
    assert sorted(answer.status_code for answer in answers) == [200] + 7 * [409]
    assert Workitem.objects.get().transaction_uid == won[0]


# Canceled -----------------------------------------------------------------------------------------


def test_an_unclaimed_item_is_canceled_when_somebody_asks(caller: Caller) -> None:
    uid = made(caller)
    reason = [code("110526", "DCM", "Resource pre-empted")]
    asked = item(
        ReasonForCancellation="The patient went home.",
        ProcedureStepDiscontinuationReasonCodeSequence=reason,
    )
    assert send(caller, f"/{uid}/cancelrequest", asked).status_code == 202
    found = read(caller, uid)
    assert found.ProcedureStepState == "CANCELED"
    (progress,) = found.ProcedureStepProgressInformationSequence
    assert progress.ReasonForCancellation == "The patient went home."
    assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110526"
    assert progress.ProcedureStepCancellationDateTime
    again = send(caller, f"/{uid}/cancelrequest")
    assert again.status_code == 202
    assert "already in the requested state of CANCELED" in again.headers["warning"]
    # Without a body there is no reason but the standard's.
    other = made(caller)
    assert send(caller, f"/{other}/cancelrequest").status_code == 202
    (progress,) = read(caller, other).ProcedureStepProgressInformationSequence
    assert progress.ProcedureStepDiscontinuationReasonCodeSequence[0].CodeValue == "110513"


def test_the_performer_of_a_claimed_item_is_asked(caller: Caller) -> None:
    uid = made(caller)
    transaction = claimed(caller, uid)
    answer = send(caller, f"/{uid}/cancelrequest")
    assert_problem(answer, 409)
    assert "performer cannot be contacted" in answer.headers["warning"]
    assert send(caller, f"/{uid}/subscribers/GPU1").status_code == 201
    asked = item(ReasonForCancellation="Too late.", ContactDisplayName="Dr. No")
    assert send(caller, f"/{uid}/cancelrequest", asked).status_code == 202
    told = OutboxEvent.objects.filter(kind="workitem.changed").latest("id").payload
    report = Dataset.from_json(dict(told["reports"])["2"])
    assert (report.ReasonForCancellation, report.RequestingAE) == ("Too late.", "pia")
    assert report.ContactDisplayName == "Dr. No"
    assert [title for _, title in told["subscribers"]] == ["GPU1"]
    assert Workitem.objects.get().state == "IN PROGRESS"
    assert send(caller, f"/{uid}", completed(), transaction=transaction).status_code == 200
    assert change(caller, uid, "COMPLETED", transaction).status_code == 200
    answer = send(caller, f"/{uid}/cancelrequest")
    assert_problem(answer, 409, "completed")
    assert "already COMPLETED" in answer.headers["warning"]


# Searched -----------------------------------------------------------------------------------------


def uids(caller: Caller, **keys: str) -> list[str]:
    answer = caller.get(BASE, params=keys)
    assert answer.status_code == 200, answer.text
    return [model["00080018"]["Value"][0] for model in answer.json()]


def test_items_are_found_by_what_they_hold(caller: Caller, foreigner: Caller) -> None:
    station = [code("GPU1", "99X", "GPU 1")]
    made(caller, scheduled(PatientName="Müller^Jörg", PatientID="P1"), workitem="1.1")
    made(
        caller,
        scheduled(
            ScheduledProcedureStepStartDateTime="20260228",
            ScheduledStationNameCodeSequence=station,
            ScheduledProcedureStepPriority="HIGH",
            StudyInstanceUID="1.9",
        ),
        workitem="1.2",
    )
    made(foreigner, scheduled(PatientID="P1"), workitem="1.3")
    claimed(caller, "1.2")
    assert uids(caller) == ["1.2", "1.1"]
    assert uids(foreigner) == ["1.3"]
    assert uids(caller, PatientID="P1") == ["1.1"]
    assert uids(caller, PatientName="MULLER*") == ["1.1"]
    assert uids(caller, PatientName="jor", fuzzymatching="true") == ["1.1"]
    assert uids(caller, ProcedureStepState="IN PROGRESS") == ["1.2"]
    assert uids(caller, ScheduledProcedureStepPriority="HIGH") == ["1.2"]
    assert uids(caller, ScheduledProcedureStepStartDateTime="20260301-") == ["1.1"]
    assert uids(caller, **{"ScheduledStationNameCodeSequence.CodeValue": "GPU1"}) == ["1.2"]
    assert uids(caller, **{"00741204": "Segment*"}) == ["1.2", "1.1"]
    assert uids(caller, StudyInstanceUID="1.9") == ["1.2"]
    assert uids(caller, SOPInstanceUID="1.1,1.3") == ["1.1"]
    assert uids(caller, limit="1", offset="1") == ["1.1"]
    more = caller.get(BASE, params={"limit": "1"})
    assert "additional results" in more.headers["warning"]
    assert not caller.get(BASE, params={"PatientID": "P9"}).json()
    (model,) = caller.get(BASE, params={"PatientID": "P1"}).json()
    assert "00741216" not in model
    (model,) = caller.get(BASE, params={"PatientID": "P1", "includefield": "all"}).json()
    assert "00741216" in model


def test_a_search_goes_on_behind_its_first_piece(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workitem_search, "_CHUNK", 2)
    days = ["20260301", "20260301", "20260301", "20260302", "20260228"]
    found = [
        (day, made(caller, scheduled(ScheduledProcedureStepStartDateTime=day))) for day in days
    ]
    # Those of one day in the order in which they came.
    assert uids(caller) == [uid for _, uid in sorted(found, key=lambda pair: pair[0])]
    assert uids(caller, offset="3") == uids(caller)[3:]
    # By this clock a search has the time for one piece.
    clock = itertools.count()
    monkeypatch.setattr("archive.timelimit.monotonic", lambda: 0.9 * next(clock))
    answer = caller.get(BASE, params={"PatientID": "P9", "ProcedureStepLabel": "Seg*"})
    assert answer.status_code == 200
    assert_problem(caller.get(BASE, params={"ProcedureStepLabel": "No*"}), 503, "Narrow")


def test_searches_that_are_none(caller: Caller) -> None:
    uid = made(caller)
    transaction = claimed(caller, uid)
    for keys in (
        {"TransactionUID": transaction},
        {"includefield": "TransactionUID"},
        {"NoKeyword": "1"},
        {"ScheduledProcedureStepStartDateTime": "soon"},
        {"limit": "-1"},
    ):
        assert_problem(caller.get(BASE, params=keys), 400)
    answer = caller.get(BASE, params={"includefield": "all"})
    assert transaction not in answer.text


# Subscriptions ------------------------------------------------------------------------------------


def subscribers(**where: str) -> set[tuple[str, str]]:
    rows = WorkitemSubscription.objects.filter(**where)
    return set(rows.values_list("workitem__sop_instance_uid", "ae_title"))


def test_one_item_is_subscribed_to_and_no_more(caller: Caller) -> None:
    uid = made(caller)
    answer = send(caller, f"/{uid}/subscribers/WATCHER", deletionlock="true")
    assert answer.status_code == 201, answer.text
    assert "warning" not in answer.headers
    assert answer.headers["content-location"] == "ws://testserver/ws/subscribers/WATCHER"
    told = OutboxEvent.objects.filter(kind="workitem.changed").latest("id").payload
    assert [kind for kind, _ in told["reports"]] == ["1"]
    assert [title for _, title in told["subscribers"]] == ["WATCHER"]
    assert subscribers(has_lock="True") == {(uid, "WATCHER")}
    path = f"{BASE}/{uid}/subscribers/WATCHER"
    assert caller.request("DELETE", path).status_code == 200
    assert subscribers() == set()
    assert_problem(caller.request("DELETE", path), 404)
    assert_problem(send(caller, f"/{uid}/subscribers/WATCHER/suspend"), 400)
    assert_problem(send(caller, f"/{uid}/subscribers/{'X' * 17}"), 400)
    assert_problem(send(caller, "/1.2.3/subscribers/WATCHER"), 404)


def test_all_items_are_subscribed_to_now_and_later(
    caller: Caller, foreigner: Caller, planner: User
) -> None:
    first = made(caller)
    made(foreigner)
    everything = f"/{ups.GLOBAL}/subscribers/WATCHER"
    assert send(caller, everything).status_code == 201
    second = made(caller)
    assert subscribers() == {(first, "WATCHER"), (second, "WATCHER")}
    assert send(caller, f"{everything}/suspend").status_code == 200
    third = made(caller)
    assert third not in {uid for uid, _ in subscribers()}
    assert_problem(send(caller, f"{everything}/suspend"), 404)
    assert caller.request("DELETE", f"{BASE}{everything}").status_code == 200
    assert subscribers() == set()
    assert_problem(caller.request("DELETE", f"{BASE}{everything}"), 404)
    # A subscriber hears of what is theirs when it happens.
    assert send(caller, everything).status_code == 201
    planner.facilities.clear()
    made(foreigner)
    assert {uid for uid, _ in subscribers()} == {first, second, third}


def test_matching_items_are_subscribed_to(caller: Caller) -> None:
    path = f"/{ups.FILTERED}/subscribers/WATCHER"
    assert_problem(send(caller, path), 400, "filter")
    assert_problem(send(caller, path, filter="nonsense"), 400, "filter")
    high = made(caller, scheduled(ScheduledProcedureStepPriority="HIGH"))
    low = made(caller, scheduled(ScheduledProcedureStepPriority="LOW"))
    wanted = "ScheduledProcedureStepPriority=HIGH,ScheduledStationNameCodeSequence.CodeValue=GPU1"
    assert send(caller, path, filter=wanted).status_code == 201
    assert subscribers() == set()
    assert send(caller, path, ScheduledProcedureStepPriority="HIGH").status_code == 201
    assert subscribers() == {(high, "WATCHER")}
    later = made(caller, scheduled(ScheduledProcedureStepPriority="HIGH"))
    made(caller, scheduled(ScheduledProcedureStepPriority="LOW"))
    assert subscribers() == {(high, "WATCHER"), (later, "WATCHER")}
    assert WorklistSubscription.objects.count() == 1
    assert caller.request("DELETE", f"{BASE}{path}").status_code == 200
    assert not WorklistSubscription.objects.exists()
    assert low


def test_two_accounts_with_one_title_do_not_meet(
    caller: Caller, sidecar: Sidecar, facility: Facility
) -> None:
    uid = made(caller)
    path = f"/{uid}/subscribers/WATCHER"
    assert send(caller, path).status_code == 201
    other = sidecar.by_token(factories.user("olga", Role.VIEWER, [facility]))
    assert_problem(other.request("DELETE", f"{BASE}{path}"), 404)
    answer = send(other, path, deletionlock="true")
    assert answer.status_code == 201
    assert "Deletion Lock not granted" in answer.headers["warning"]
    assert WorkitemSubscription.objects.count() == 2


def test_ended_items_go_in_time_unless_locked(caller: Caller) -> None:
    kept, gone, fresh = made(caller), made(caller), made(caller)
    assert send(caller, f"/{kept}/subscribers/WATCHER", deletionlock="true").status_code == 201
    assert send(caller, f"/{gone}/subscribers/WATCHER").status_code == 201
    open_item = made(caller)
    for uid in (kept, gone, fresh):
        assert send(caller, f"/{uid}/cancelrequest").status_code == 202
    long_ago = timezone.now() - timedelta(days=400)
    Workitem.objects.filter(sop_instance_uid__in=[kept, gone]).update(ended_at=long_ago)
    Workitem.objects.filter(sop_instance_uid=open_item).update(created_at=long_ago)
    runner.care()
    runner.drain()
    left = set(Workitem.objects.values_list("sop_instance_uid", flat=True))
    assert left == {kept, fresh, open_item}
    assert_problem(caller.get(f"{BASE}/{gone}"), 404)
    assert caller.request("DELETE", f"{BASE}/{kept}/subscribers/WATCHER").status_code == 200
    runner.care()
    runner.drain()
    assert not Workitem.objects.filter(sop_instance_uid=kept).exists()


# Whose they are -----------------------------------------------------------------------------------


def test_items_are_their_facilitys(
    caller: Caller, foreigner: Caller, sidecar: Sidecar, admin_user: User
) -> None:
    uid = made(caller, workitem="1.2.3")
    subscription = f"/{uid}/subscribers/WATCHER"
    transaction = str(generate_uid(None))
    for answer in (
        foreigner.get(f"{BASE}/{uid}"),
        send(foreigner, f"/{uid}", item(ProcedureStepLabel="Mine")),
        change(foreigner, uid, "IN PROGRESS", transaction),
        send(foreigner, f"/{uid}/cancelrequest"),
        send(foreigner, subscription),
        foreigner.request("DELETE", f"{BASE}{subscription}"),
    ):
        assert_problem(answer, 403, "not yours")
    assert Workitem.objects.get().state == "SCHEDULED"
    # The same UID there is another item; who sees both says which one they mean.
    made(foreigner, scheduled(ProcedureStepLabel="Theirs"), workitem="1.2.3")
    assert read(foreigner, uid).ProcedureStepLabel == "Theirs"
    admin = sidecar.by_token(admin_user)
    assert_problem(admin.get(f"{BASE}/{uid}"), 409, "facility")
    answer = admin.get(f"{BASE}/{uid}", params={"facility": "south"})
    assert answer.json()[0]["00741204"]["Value"] == ["Theirs"]


def test_viewers_look_on(caller: Caller, sidecar: Sidecar, facility: Facility) -> None:
    uid = made(caller)
    viewer = sidecar.by_token(factories.user("vera", Role.VIEWER, [facility]))
    assert viewer.get(f"{BASE}/{uid}").status_code == 200
    for answer in (
        send(viewer, f"/{uid}", item(ProcedureStepLabel="Mine")),
        change(viewer, uid, "IN PROGRESS", "1.2.3"),
        send(viewer, f"/{uid}/cancelrequest"),
    ):
        assert_problem(answer, 403, "role")


def test_changes_by_cookie_need_the_sites_token(sidecar: Sidecar, planner: User) -> None:
    browser = sidecar.by_session(planner)
    assert_problem(send(browser, "", scheduled()), 403, "CSRF")
    assert_problem(change(browser, "1.2", "IN PROGRESS", "1.2.3"), 403, "CSRF")
