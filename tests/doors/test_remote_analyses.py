"""Programs elsewhere: a signed request out, signed results in, nothing taken twice or by halves.

The program is a real HTTP server of this module; results go through the real sidecar.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pydicom
import pytest
from django.utils import timezone

from accounts.models import Role
from archive import access, analyses, outward, remote_analyses, remote_programs, runner, webhooks
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError
from archive.models import AnalysisRun, AnalysisState, Job, MachineFinding, RemoteProgram
from archive.remote_programs import RemoteDraft
from fastapi_app import auth
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.sidecar import Sidecar, assert_problem
from worklist.models import DicomImage, Facility, Study

pytestmark = pytest.mark.django_db(transaction=True)

SEG = "1.2.840.10008.5.1.4.1.1.66.4"


class Program:
    """A server that answers as it was told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []
        program = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                named = {name.lower(): value for name, value in self.headers.items()}
                program.asked.append((self.command, self.path, named, body))
                told = program.answers.pop(0) if program.answers else (202, {}, b"")
                status, headers, content = told
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET = do_DELETE = answer  # noqa: N815 - http.server's names

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/jobs"


@pytest.fixture
def program() -> Iterator[Program]:
    made = Program()
    thread = threading.Thread(target=made.server.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


@pytest.fixture
def admin(settings: Any) -> Actor:
    settings.ANALYSIS_NETWORKS = (ip_network("127.0.0.0/8"),)
    return access.actor_of(factories.user("root", Role.ADMIN))


@pytest.fixture
def row(admin: Actor, program: Program) -> RemoteProgram:
    made = remote_programs.add(admin, RemoteDraft("Finder", program.url, version="2"))
    remote_programs.switch(admin, made, is_active=True)
    return made


@pytest.fixture
def run(row: RemoteProgram, reader: Actor, facility: Facility, store: Path) -> AnalysisRun:
    factories.store_bytes(to_bytes(make_instance(Modality="CT")), facility)
    made = analyses.run_by_hand(reader, Study.objects.get(), remote_programs.key_of(row))
    go_on(made)
    return made


def go_on(run: AnalysisRun) -> None:
    """Do what is due of a run now, once."""
    Job.objects.filter(kind__startswith="analysis.", state="queued").update(run_at=timezone.now())
    runner.drain(most_jobs=4)
    run.refresh_from_db()


def body_of(*files: tuple[str, bytes, str]) -> tuple[bytes, str]:
    parts = [("part", one) for one in files]
    request = httpx.Request("POST", "http://x", files=parts)
    return request.read(), request.headers["content-type"]


def findings(*found: dict[str, Any]) -> tuple[str, bytes, str]:
    return "findings.json", json.dumps({"findings": found}).encode(), "application/json"


def segmentation(store: Path, **changes: Any) -> tuple[str, bytes, str]:
    image = DicomImage.objects.order_by("received_at")[0]
    made = pydicom.dcmread(store / image.storage_key)
    own = {
        "SOPClassUID": SEG, "SOPInstanceUID": "1.2.840.99.1",
        "SeriesInstanceUID": "1.2.840.99.2", "Modality": "SEG",
    }  # fmt: skip
    for keyword, value in {**own, **changes}.items():
        setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    return "a.dcm", to_bytes(made), "application/dicom"


def send(
    sidecar: Sidecar, run: AnalysisRun, body: bytes, kind: str = "application/json", **changes: str
) -> httpx.Response:
    [row] = RemoteProgram.objects.all()
    headers = {
        "content-type": kind,
        "authorization": f"Bearer {remote_analyses.token_of(run)}",
        **webhooks.sign(remote_programs.secret_of(row), "results-1", body),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return sidecar.nobody.post(f"/api/v1/analyses/{run.pk}/results", content=body, headers=headers)


def test_the_request_is_signed_and_opens_one_study(
    run: AnalysisRun, row: RemoteProgram, program: Program, sidecar: Sidecar
) -> None:
    [(method, path, headers, body)] = program.asked
    assert (method, path) == ("POST", "/jobs")
    check = webhooks.begin(remote_programs.secret_of(row), headers)
    assert check
    check.update(body)
    assert check.is_signed(headers["webhook-signature"])
    job = json.loads(body)
    assert (job["id"], run.state) == (str(run.pk), AnalysisState.RUNNING)
    key = sidecar.nobody.as_(Authorization=job["dicomweb"]["authorization"])
    study = urlsplit(job["dicomweb"]["study_url"]).path
    accept = {"accept": "application/dicom+json"}
    assert key.get(f"{study}/metadata", headers=accept).status_code == 200
    signed = urlsplit(job["series"][0]["url"])
    fetched = sidecar.nobody.get(f"{signed.path}/metadata?{signed.query}", headers=accept)
    assert fetched.status_code == 200
    assert key.get("/api/v1/dicom/studies").status_code == 403
    body, kind = body_of(findings())
    assert send(sidecar, run, body, kind).status_code == 200
    # With the results the study is closed to the program, a second later.
    auth.forget()
    assert key.get(f"{study}/metadata", headers=accept).status_code in (401, 403)


def test_results_are_taken_once(
    run: AnalysisRun, sidecar: Sidecar, store: Path, facility: Facility
) -> None:
    image = DicomImage.objects.get()
    place = {"SOPInstanceUID": image.sop_instance_uid, "graphic": "point", "points": [[1, 2]]}
    found = findings({"label": "Node", "value": 3, "unit": "mm", "at": place})
    body, kind = body_of(found, segmentation(store))
    answer = send(sidecar, run, body, kind)
    assert (answer.status_code, answer.json()) == (200, {"id": str(run.pk), "taken": 2})
    again = send(sidecar, run, body, kind)
    assert (again.status_code, again.json()["taken"]) == (200, 2)
    assert sorted(MachineFinding.objects.values_list("label", flat=True)) == [
        "Node",
        "Segmentation",
    ]
    assert DicomImage.objects.count() == 2
    run.refresh_from_db()
    assert (run.state, run.algorithm_name, run.algorithm_version) == ("done", "Finder", "2")
    other, kind = body_of(findings({"label": "Another"}))
    assert_problem(send(sidecar, run, other, kind), 409, "results already")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"PatientID": "somebody else"}, "another patient", id="patient"),
        pytest.param({"StudyInstanceUID": "1.2.840.99.9"}, "another study", id="study"),
        pytest.param({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.2"}, "neither a seg", id="a-picture"),
    ],
)
def test_what_is_refused_is_said_and_may_be_mended(
    run: AnalysisRun, sidecar: Sidecar, store: Path, changes: dict[str, str], words: str
) -> None:
    body, kind = body_of(findings({"label": "Node"}), segmentation(store, **changes))
    assert_problem(send(sidecar, run, body, kind), 422, words)
    run.refresh_from_db()
    assert run.state == AnalysisState.RUNNING
    assert words in run.last_error
    assert not MachineFinding.objects.exists()
    assert DicomImage.objects.count() == 1
    good = json.dumps({"findings": []}).encode()
    assert send(sidecar, run, good).json()["taken"] == 0


def test_strangers_and_changed_bodies_are_refused(
    run: AnalysisRun, row: RemoteProgram, sidecar: Sidecar, admin: Actor
) -> None:
    body = json.dumps({"findings": [{"label": "Node"}]}).encode()
    old = webhooks.sign(remote_programs.secret_of(row), "x", body, at=1_700_000_000)
    for changes in (
        {"authorization": "Bearer wrong"},
        {"authorization": ""},
        {"webhook_signature": "v1,AAAA"},
        {"webhook_id": "another"},
        {name.replace("-", "_"): value for name, value in old.items()},
    ):
        assert_problem(send(sidecar, run, body, **changes), 401, "webhook-signature")
    changed = send(sidecar, run, body + b" ", **webhook_of(row, body))
    assert_problem(changed, 401)
    assert_problem(send(sidecar, run, b"{", "text/plain"), 415)
    cut, kind = body_of(findings())
    assert_problem(send(sidecar, run, cut[:-9], kind), 422, "cut off")
    remote_programs.change_secret(admin, row)
    assert_problem(send(sidecar, run, body, **webhook_of(row, body, secret_number=1)), 401)
    assert not MachineFinding.objects.exists()


def webhook_of(row: RemoteProgram, body: bytes, secret_number: int | None = None) -> dict[str, str]:
    if secret_number is not None:
        row.secret_number = secret_number
    signed = webhooks.sign(remote_programs.secret_of(row), "results-1", body)
    return {name.replace("-", "_"): value for name, value in signed.items()}


def test_a_busy_program_is_asked_again_and_given_up(run: AnalysisRun, program: Program) -> None:
    AnalysisRun.objects.update(state="waiting", attempts=0)
    program.answers = [(503, {}, b"")] * 9
    for _ in range(8):
        go_on(run)
    assert run.state == AnalysisState.FAILED
    assert run.last_error == "It was asked 5 times. Finder answered 503 to the request."
    assert len(program.asked) == 6


def test_a_program_that_says_no_is_not_asked_again(run: AnalysisRun, program: Program) -> None:
    AnalysisRun.objects.update(state="waiting")
    program.answers = [(302, {"Location": "http://169.254.169.254/"}, b"")]
    go_on(run)
    assert (run.state, run.last_error) == ("failed", "Finder answered 302 to the request.")


def test_its_state_is_shown_and_its_failure_believed(run: AnalysisRun, program: Program) -> None:
    AnalysisRun.objects.update(state="waiting")
    program.answers = [
        (202, {"Location": "/jobs/7"}, b""),
        (200, {}, b'{"state": "running", "message": "Half of it"}'),
        (200, {}, b'{"state": "failed", "message": "No lung in it"}'),
    ]
    go_on(run)
    go_on(run)
    go_on(run)
    assert (run.state, run.last_error, run.status_text) == ("failed", "No lung in it", "Half of it")
    assert program.asked[-1][:2] == ("GET", "/jobs/7")


def test_a_state_elsewhere_is_not_fetched(run: AnalysisRun, program: Program) -> None:
    AnalysisRun.objects.update(state="waiting")
    program.answers = [(202, {}, b'{"status_url": "http://127.0.0.1:9/state"}')]
    go_on(run)
    assert (run.state, "somebody else" in run.last_error) == ("failed", True)


def test_time_runs_out_and_cancelled_is_over(
    run: AnalysisRun, program: Program, sidecar: Sidecar, reader: Actor
) -> None:
    body = json.dumps({"findings": []}).encode()
    AnalysisRun.objects.update(deadline=timezone.now())
    go_on(run)
    assert (run.state, run.last_error) == ("failed", "No results came within 300 seconds.")
    assert_problem(send(sidecar, run, body), 409, "over")
    analyses.retry(reader, run)
    program.answers = [(202, {"Location": "/jobs/8"}, b"")]
    go_on(run)
    assert run.state == AnalysisState.RUNNING
    analyses.cancel(reader, run)
    go_on(run)
    assert program.asked[-1][:2] == ("DELETE", "/jobs/8")
    assert_problem(send(sidecar, run, body), 409, "cancelled")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param("http://192.0.2.7/x", "NOCTIS_ANALYSIS_NETWORKS", id="other-network"),
        pytest.param("http://[::1]/x", "NOCTIS_ANALYSIS_NETWORKS", id="this-machine"),
        pytest.param("http://0.0.0.0/x", "NOCTIS_ANALYSIS_NETWORKS", id="unspecified"),
        pytest.param("http://169.254.169.254/x", "NOCTIS_ANALYSIS_NETWORKS", id="link-local"),
        pytest.param("http://[::ffff:169.254.169.254]/", "NOCTIS_ANALYSIS_NETWORKS", id="mapped"),
        pytest.param("file:///etc/passwd", "such as https", id="file"),
        pytest.param("http://a:b@127.0.0.1/", "user and password", id="password"),
        pytest.param("http://127.0.0.1:99999/", "no address", id="port"),
        pytest.param("", "such as https", id="empty"),
    ],
)
def test_addresses_are_checked(admin: Actor, settings: Any, url: str, words: str) -> None:
    # The whole world, but neither this machine nor its link.
    settings.ANALYSIS_NETWORKS = (ip_network("10.0.0.0/8"), ip_network("0.0.0.0/1"))
    settings.ANALYSIS_NETWORKS += (ip_network("160.0.0.0/4"),)
    with pytest.raises(InvalidInputError, match=words):
        remote_programs.add(admin, RemoteDraft("Finder", url))


def test_this_machine_is_asked_only_where_it_is_named(program: Program, settings: Any) -> None:
    settings.ANALYSIS_NETWORKS = (ip_network("0.0.0.0/0"),)
    with pytest.raises(outward.NotAllowedError):
        outward.ask("GET", program.url)
    assert not program.asked
    settings.ANALYSIS_NETWORKS = (ip_network("127.0.0.1/32"),)
    assert outward.ask("GET", program.url).status == 202
    program.answers = [(200, {}, b"x" * (outward.MOST_ANSWER_BYTES + 1))]
    with pytest.raises(outward.SilentError, match="more than"):
        outward.ask("GET", program.url)


def test_a_program_of_one_facility_gets_no_others_study(
    run: AnalysisRun, admin: Actor, reader: Actor, row: RemoteProgram, other_facility: Facility
) -> None:
    RemoteProgram.objects.update(facility=other_facility)
    assert remote_programs.key_of(row) not in analyses.programs(run.study.facility_id)
    go_on(run)
    assert "not registered any more" in run.last_error
    with pytest.raises(InvalidInputError):
        analyses.run_by_hand(reader, run.study, remote_programs.key_of(row))
    with pytest.raises(ForbiddenError):
        remote_programs.listing(reader)
