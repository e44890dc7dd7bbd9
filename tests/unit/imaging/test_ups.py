"""The rules of Unified Procedure Steps, as PS3.4 annex CC states them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from imaging import ups
from imaging.ups import State, Verdict
from tests.workitems import code, completed, item, scheduled

S, P, C, X = State.SCHEDULED, State.IN_PROGRESS, State.COMPLETED, State.CANCELED
LOCK = "1.2.3"
# PS3.4 table CC.1.1-2: present state, wanted state, Transaction UID of the request -> status.
TABLE = [
    (S, S, "", "C303"), (S, S, LOCK, "C303"),
    (S, P, "", "C301"), (S, P, LOCK, "0000"), (S, P, "9.9", "0000"),
    (S, C, "", "C310"), (S, C, LOCK, "C310"),
    (S, X, "", "C310"), (S, X, LOCK, "C310"),
    (P, S, "", "C303"), (P, S, LOCK, "C303"),
    (P, P, "", "C302"), (P, P, LOCK, "C302"), (P, P, "9.9", "C302"),
    (P, C, "", "C301"), (P, C, LOCK, "0000"), (P, C, "9.9", "C301"),
    (P, X, "", "C301"), (P, X, LOCK, "0000"), (P, X, "9.9", "C301"),
    (C, S, LOCK, "C303"), (C, P, LOCK, "C300"), (C, C, LOCK, "B306"), (C, X, LOCK, "C300"),
    (C, S, "", "C303"), (C, P, "", "C300"), (C, C, "", "B306"), (C, X, "", "C300"),
    (X, S, LOCK, "C303"), (X, P, LOCK, "C300"), (X, C, LOCK, "C300"), (X, X, LOCK, "B304"),
    (X, S, "", "C303"), (X, P, "", "C300"), (X, C, "", "C300"), (X, X, "", "B304"),
]  # fmt: skip


@pytest.mark.parametrize(("present", "wanted", "transaction", "status"), TABLE)
def test_every_transition(present: State, wanted: State, transaction: str, status: str) -> None:
    lock = "" if present is S else LOCK
    assert ups.transition(present, wanted, lock=lock, transaction=transaction) == status


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(list(State)), st.sampled_from(["", LOCK, "9.9"]))))
def test_no_way_leads_out_of_an_end_or_past_a_lock(asked: list[tuple[State, str]]) -> None:
    state, lock = S, ""
    for wanted, transaction in asked:
        verdict = ups.transition(state, wanted, lock=lock, transaction=transaction)
        if verdict is Verdict.DONE:
            assert state not in ups.FINAL
            assert transaction
            assert state is S or transaction == lock
            state, lock = wanted, lock or transaction
        elif state in ups.FINAL and wanted is state:
            assert verdict.startswith("B")
        else:
            assert verdict.startswith("C")


def test_a_new_item_with_all_it_needs_is_fit() -> None:
    assert ups.unfit_for_creation(scheduled()) == []


@pytest.mark.parametrize("keyword", ups.NEEDED)
@pytest.mark.parametrize("is_there", [True, False], ids=["empty", "missing"])
def test_a_new_item_needs_these(keyword: str, is_there: bool) -> None:
    data_set = scheduled()
    if is_there:
        setattr(data_set, keyword, None)
    else:
        delattr(data_set, keyword)
    (complaint,) = ups.unfit_for_creation(data_set)
    assert keyword in complaint


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("ProcedureStepState", "IN PROGRESS", "SCHEDULED"),
        ("TransactionUID", "1.2", "TransactionUID"),
        ("ProcedureStepProgressInformationSequence", [item(ProcedureStepProgress="1")], "empty"),
        ("UnifiedProcedureStepPerformedProcedureSequence", [Dataset()], "empty"),
        ("ScheduledProcedureStepPriority", "STAT", "HIGH, MEDIUM, LOW"),
        ("InputReadinessState", "MAYBE", "READY"),
    ],
)
def test_what_a_new_item_may_not_hold(keyword: str, value: object, words: str) -> None:
    complaints = ups.unfit_for_creation(item(scheduled(), **{keyword: value}))
    assert words in " ".join(complaints)


def test_what_was_left_out_is_added_and_named() -> None:
    data_set = scheduled()
    added = ups.supplement(data_set, worklist_label="North")
    assert {"PatientID", "InputInformationSequence", "WorklistLabel"} <= set(added)
    assert data_set.WorklistLabel == "North"
    assert list(data_set.InputInformationSequence) == []
    assert "ProcedureStepLabel" not in added
    assert ups.supplement(data_set, worklist_label="North") == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (item(PatientName="Doe^Jane"), "PatientName"),
        (item(ProcedureStepState="COMPLETED"), "ProcedureStepState"),
        (item(ReferencedRequestSequence=[]), "ReferencedRequestSequence"),
        (item(ProcedureStepLabel=None), "ProcedureStepLabel"),
        (item(InputReadinessState="NO"), "InputReadinessState"),
        (
            item(ProcedureStepProgressInformationSequence=[item(ProcedureStepProgress="101")]),
            "percentage",
        ),
        (
            item(ProcedureStepProgressInformationSequence=[Dataset(), Dataset()]),
            "one item",
        ),
    ],
    ids=["patient", "state", "request", "label", "readiness", "progress", "two"],
)
def test_what_a_change_may_not_touch(changes: Dataset, words: str) -> None:
    assert words in " ".join(ups.unfit_for_update(changes))


def test_what_a_change_may_touch() -> None:
    assert (
        ups.unfit_for_update(
            item(ProcedureStepLabel="Other", CommentsOnTheScheduledProcedureStep=None)
        )
        == []
    )
    assert not ups.is_of_performer(item(ProcedureStepLabel="Other"))
    assert ups.is_of_performer(completed())


@pytest.mark.parametrize(
    "keyword",
    [
        "PerformedStationNameCodeSequence",
        "PerformedProcedureStepStartDateTime",
        "PerformedWorkitemCodeSequence",
        "PerformedProcedureStepEndDateTime",
        "OutputInformationSequence",
    ],
)
def test_what_a_completed_item_needs(keyword: str) -> None:
    data_set = item(scheduled(), **{e.keyword: e.value for e in completed()})
    assert ups.unmet_in_the_end(data_set, C) == []
    del data_set.UnifiedProcedureStepPerformedProcedureSequence[0][keyword]
    (lacking,) = ups.unmet_in_the_end(data_set, C)
    assert lacking.endswith(keyword)


def test_what_a_canceled_item_needs() -> None:
    data_set = scheduled()
    assert ups.unmet_in_the_end(data_set, X) == ["ProcedureStepProgressInformationSequence"]
    progress = item(ProcedureStepCancellationDateTime="20260301")
    data_set.ProcedureStepProgressInformationSequence = [progress]
    (lacking,) = ups.unmet_in_the_end(data_set, X)
    assert lacking.endswith("ProcedureStepDiscontinuationReasonCodeSequence")
    progress.ProcedureStepDiscontinuationReasonCodeSequence = [code("1", "99X", "Broken")]
    assert ups.unmet_in_the_end(data_set, X) == []


def test_what_subscribers_hear_of_a_change() -> None:
    before = scheduled()
    assert ups.reports_of_change(before, item(scheduled(), ProcedureStepLabel="Other")) == []
    ready = item(scheduled(), InputReadinessState="INCOMPLETE")
    (report,) = ups.reports_of_change(before, ready)
    assert report.type == "1"
    assert report.information.InputReadinessState == "INCOMPLETE"
    progress = [item(ProcedureStepProgress="50")]
    (report,) = ups.reports_of_change(
        before, item(scheduled(), ProcedureStepProgressInformationSequence=progress)
    )
    assert report.type == "3"
    station = [code("CT1", "99X", "CT 1")]
    (report,) = ups.reports_of_change(
        before, item(scheduled(), ScheduledStationNameCodeSequence=station)
    )
    assert report.type == "5"


def test_an_event_report_names_its_item_and_type() -> None:
    information = ups.state_report(scheduled()).information.to_json_dict()
    model = ups.event_report("1", "1.2.3", information, message_id=7)
    found = Dataset.from_json(model)
    assert found[0x00000002].value == ups.EVENT
    assert found[0x00000110].value == 7
    assert found[0x00001000].value == "1.2.3"
    assert found[0x00001002].value == 1
    assert found.ProcedureStepState == "SCHEDULED"
    assert "PatientName" not in found
    # An unsigned short, and no message has the number 0.
    numbers = [
        ups.event_report("1", "1.2.3", {}, message_id=n)["00000110"]["Value"][0]
        for n in (65535, 65536)
    ]
    assert numbers == [65535, 1]
