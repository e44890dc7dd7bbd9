"""Rows of arriving instances: few statements, exact counters, nobody fails for another."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from archive import arrivals, database, rows
from archive.arrivals import Arrival
from archive.catalogue import Added, Placed
from archive.errors import DeletedError
from archive.models import OutboxEvent
from imaging import header
from tests import factories
from tests.dicom import make_instance, to_bytes
from worklist.models import DicomImage, Facility, Patient, Series, Study


def arrival(facility: Facility, dataset: Dataset, key: str | None = None) -> Arrival:
    index = header.read_index(BytesIO(to_bytes(dataset)))
    placed = Placed(key or f"aa/bb/{dataset.SOPInstanceUID}", size_bytes=1000, sha256="0" * 64)
    return Arrival(index, facility, placed)


@pytest.fixture
def build() -> Callable[..., Dataset]:
    """Instances of one series of one patient, where the test does not say otherwise."""
    common = {
        "StudyInstanceUID": generate_uid(),
        "SeriesInstanceUID": generate_uid(),
        "PatientID": "P1",
        "Modality": "CT",
    }
    return lambda **keywords: make_instance(**(common | keywords))


def test_the_second_instance_of_a_series_takes_four_statements(
    facility: Facility, build: Callable[..., Dataset]
) -> None:
    arrivals.add(arrival(facility, build()))
    statements: list[str] = []
    with CaptureQueriesContext(connection) as queries:
        if connection.vendor == "sqlite":  # whose driver is asked without Django
            connection.connection.set_trace_callback(statements.append)
        arrivals.add(arrival(facility, build(InstanceNumber=2)))
    if connection.vendor == "sqlite":
        connection.connection.set_trace_callback(None)
    else:
        statements += [query["sql"] for query in queries]
    said = [sql.split()[0] for sql in statements if "SAVEPOINT" not in sql]
    assert said == ["UPDATE", "UPDATE", "INSERT", "INSERT"]


@pytest.mark.parametrize("model", [DicomImage, OutboxEvent])
def test_an_instance_pays_for_no_index_that_another_one_begins_with(
    model: type[Model], db: None
) -> None:
    """Each index costs every instance a page of the log."""
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, model._meta.db_table)
    indexed = [tuple(entry["columns"]) for entry in found.values() if is_index(entry)]
    beginnings = {columns[:size] for columns in indexed for size in range(1, len(columns))}
    assert beginnings.isdisjoint(indexed)
    assert ("facility_id",) not in indexed


def is_index(entry: Mapping[str, object]) -> bool:
    return bool(entry["index"] or entry["unique"] or entry["primary_key"])


def test_what_is_written_is_all_of_it_or_nothing(transactional_db: None) -> None:
    def write(cursor: database.Cursor, kind: str) -> None:
        rows.insert(OutboxEvent, here, cursor, [{"kind": kind}])

    here = transaction.get_connection()
    with database.written(here) as cursor:
        write(cursor, "kept")
    with pytest.raises(RuntimeError), database.written(here) as cursor:  # noqa: PT012
        write(cursor, "gone")
        raise RuntimeError
    with pytest.raises(IntegrityError), database.written(here) as cursor:  # noqa: PT012
        write(cursor, "gone")
        rows.insert(OutboxEvent, here, cursor, [{"kind": None}])
    with transaction.atomic():
        with pytest.raises(IntegrityError), database.written(here) as cursor:
            rows.insert(OutboxEvent, here, cursor, [{"kind": None}])
        with database.written(here) as cursor:
            write(cursor, "inner")
    assert list(OutboxEvent.objects.values_list("kind", flat=True)) == ["kept", "inner"]


def test_both_ways_write_the_same_row(facility: Facility, build: Callable[..., Dataset]) -> None:
    dataset = build(WindowCenter=40, WindowWidth=400)
    first = arrivals.add(arrival(facility, dataset))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    second = arrivals.add(arrival(facility, dataset))
    own = {"id", "sop_instance_uid", "storage_key", "received_at"}
    written = [
        {f.attname: getattr(image, f.attname) for f in DicomImage._meta.concrete_fields}
        for image in (
            DicomImage.objects.get(pk=first.image_id),
            DicomImage.objects.get(pk=second.image_id),
        )
    ]
    assert {k: v for k, v in written[0].items() if k not in own} == {
        k: v for k, v in written[1].items() if k not in own
    }
    one, two = OutboxEvent.objects.order_by("id")
    assert (one.kind, one.facility_id) == (two.kind, two.facility_id)
    assert one.payload | {"is_new_study": False, "image_id": ""} == two.payload | {"image_id": ""}
    assert two.payload["image_id"] == str(second.image_id)


def test_rows_with_dates_and_times_are_written_as_the_orm_does(
    facility: Facility, build: Callable[..., Dataset]
) -> None:
    arrivals.add(arrival(facility, build(StudyDate="20260102", StudyTime="030405.25")))
    study = Study.objects.get()
    values = {field.attname: getattr(study, field.attname) for field in Study._meta.concrete_fields}
    other = {"id": uuid4(), "study_instance_uid": generate_uid()}
    with database.written(connection) as cursor:  # type: ignore[arg-type]
        rows.insert(Study, connection, cursor, [values | other])  # type: ignore[arg-type]
    copy = Study.objects.get(pk=other["id"])
    assert {name: getattr(copy, name) for name in values} == values | other


def test_one_bad_instance_fails_alone(facility: Facility, build: Callable[..., Dataset]) -> None:
    arrivals.add(arrival(facility, build()))
    twice = build()
    group = [
        arrival(facility, build()),
        arrival(facility, twice, "aa/bb/1"),
        arrival(facility, twice, "aa/bb/2"),
        arrival(facility, build(SeriesInstanceUID=generate_uid(), Modality="MR")),
        arrival(facility, build(PatientID="P2")),
    ]
    outcomes = arrivals._commit(group)
    assert [type(outcome) for outcome in outcomes] == [Added, Added, IntegrityError, Added, Added]
    study = Study.objects.get()
    assert (study.instance_count, study.series_count, study.size_bytes) == (5, 2, 5000)
    assert study.modality_codes == ["CT", "MR"]
    assert "P2" in study.warning
    assert sorted(Series.objects.values_list("instance_count", "size_bytes")) == [
        (1, 1000),
        (4, 4000),
    ]
    assert DicomImage.objects.count() == OutboxEvent.objects.count() == 5


def test_a_series_that_is_gone_is_made_again(
    facility: Facility, build: Callable[..., Dataset]
) -> None:
    first = arrivals.add(arrival(facility, build()))
    arrivals.add(arrival(facility, build()))
    Study.objects.all().delete()
    Patient.objects.all().delete()
    again = arrivals.add(arrival(facility, build()))
    assert again.series_id != first.series_id
    assert Series.objects.get().instance_count == Study.objects.get().instance_count == 1


def test_a_series_that_was_moved_is_not_counted_where_it_was(
    facility: Facility, build: Callable[..., Dataset]
) -> None:
    first = arrivals.add(arrival(facility, build()))
    other = arrivals.add(arrival(facility, make_instance()))
    Series.objects.filter(pk=first.series_id).update(study=other.study_id)
    again = arrivals.add(arrival(facility, build()))
    assert again.study_id == first.study_id
    assert Series.objects.get(pk=first.series_id).instance_count == 1
    assert Series.objects.get(pk=again.series_id).instance_count == 1


@pytest.mark.parametrize("hidden", [Study, Series])
def test_a_series_that_was_deleted_takes_nothing(
    facility: Facility, build: Callable[..., Dataset], hidden: type[Study | Series]
) -> None:
    arrivals.add(arrival(facility, build()))
    arrivals.add(arrival(facility, build()))
    hidden._default_manager.update(deletion_id=uuid4())
    (outcome,) = arrivals._commit([arrival(facility, build())])
    assert isinstance(outcome, DeletedError)
    assert DicomImage.with_deleted.count() == 2


def test_within_a_transaction_the_rows_are_a_part_of_it(
    facility: Facility, build: Callable[..., Dataset]
) -> None:
    class UndoneError(Exception):
        pass

    with pytest.raises(UndoneError), transaction.atomic():  # noqa: PT012 - both belong to it
        arrivals.add(arrival(facility, build()))
        raise UndoneError
    assert not Study.objects.exists()
    arrivals.add(arrival(facility, build()))
    assert Study.objects.get().instance_count == 1


@pytest.mark.django_db(transaction=True)
def test_eight_senders_share_few_connections_and_keep_none(
    store: Path, build: Callable[..., Dataset]
) -> None:
    facility = factories.facility("EIGHT", "Eight")
    series = [build().SeriesInstanceUID, generate_uid(), generate_uid()]
    kept: list[bool] = []
    errors: list[Exception] = []

    def send(sender: int) -> None:
        try:
            for number in range(12):
                factories.store_bytes(
                    to_bytes(build(SeriesInstanceUID=series[(sender + number) % 3])), facility
                )
            kept.append(database._connection_of_this_thread() is not None)
        except Exception as error:  # noqa: BLE001 - shown by the assertion below
            errors.append(error)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert kept == [False] * 8
    assert len(database._POOL._idle) <= 8
    study = Study.objects.get()
    assert (study.instance_count, study.series_count) == (96, 3)
    assert study.size_bytes == sum(DicomImage.objects.values_list("size_bytes", flat=True))
    assert list(Series.objects.values_list("instance_count", flat=True)) == [32, 32, 32]
    assert OutboxEvent.objects.filter(payload__is_new_study=True).count() == 1
