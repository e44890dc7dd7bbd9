"""Analyses: rules queue them, processes with limits do them, people judge what they find."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from django.utils import timezone

from accounts.models import Role
from archive import access, analyses, analysis_catalogue, analysis_work, findings, runner
from archive.access import Actor
from archive.analyses import ServiceDraft
from archive.analysis_catalogue import EXAMPLE
from archive.errors import ConflictError, ForbiddenError, InvalidInputError, NotFoundError
from archive.models import (
    AnalysisRun,
    AnalysisState,
    AuditEvent,
    FindingDecision,
    Job,
    MachineFinding,
    OutboxEvent,
)
from archive.rules import Conditions
from imaging import example_volumes
from tests import factories
from tests.dicom import make_instance, to_bytes
from tests.volumes import stacked
from worklist.models import DicomImage, Facility, Series, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

# A box of bone in water: 6 x 10 x 10 voxels of 1 x 1 x 2 mm are 1.2 ml.
BONE_ML = 1.2


def body() -> np.ndarray:
    voxels = np.zeros((10, 24, 24), np.int16)
    voxels[2:8, 6:16, 6:16] = 700
    return voxels


@pytest.fixture
def at_once(settings: Any) -> None:
    settings.FORWARD_WHEN_QUIET_S = 0


@pytest.fixture
def admin() -> Actor:
    return access.actor_of(factories.user("root", Role.ADMIN))


@pytest.fixture
def study(facility: Facility, at_once: None) -> Study:
    for ds in stacked([2.0 * k for k in range(10)], body()):
        factories.store_bytes(to_bytes(ds), facility)
    return Study.objects.get()


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """Installs a program that a test wrote; returns its key."""
    folder = tmp_path / "programs"
    folder.mkdir()
    real = analysis_work.subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        options["env"] = {**options["env"], "PYTHONPATH": f"{folder}:{options['cwd']}"}
        return real(command, **options)

    def install(source: str) -> str:
        (folder / "written_by_test.py").write_text(source)
        program = replace(EXAMPLE, key="written", target="written_by_test:analyse", name="Written")
        known = {EXAMPLE.key: EXAMPLE, program.key: program}
        monkeypatch.setattr(analysis_catalogue, "installed", lambda: known)
        monkeypatch.setattr(analysis_work.subprocess, "Popen", popen)
        return program.key

    yield install
    for key in list(analysis_work._children):
        analysis_work._forget(key)


def service(admin: Actor, program: str = EXAMPLE.key, **conditions: Any) -> Any:
    made = analyses.add_service(admin, ServiceDraft(program, Conditions(**conditions)))
    analyses.switch_service(admin, made, is_active=True)
    return made


def ended(run: AnalysisRun) -> AnalysisRun:
    """Do all work until a run has ended; its process is waited for, not slept for."""
    while True:
        Job.objects.filter(kind=analyses.WORK_JOB, state="queued").update(run_at=timezone.now())
        runner.drain(most_jobs=20)
        run.refresh_from_db()
        if not run.is_open:
            return run
        child = analysis_work._children.get(run.pk)
        if child is not None:
            child.process.wait(timeout=60)


def by_hand(actor: Actor, study: Study, program: str) -> AnalysisRun:
    return ended(analyses.run_by_hand(actor, study, program))


def test_an_arriving_study_is_measured(
    admin: Actor, facility: Facility, reader: Actor, at_once: None
) -> None:
    service(admin, modality="CT")
    for ds in stacked([2.0 * k for k in range(10)], body()):
        factories.store_bytes(to_bytes(ds), facility)
    runner.drain(most_jobs=50)
    study = Study.objects.get()
    run = ended(AnalysisRun.objects.get())
    assert (run.state, run.last_error) == (AnalysisState.DONE, "")
    assert (run.algorithm_name, run.algorithm_version) == (EXAMPLE.name, EXAMPLE.version)
    assert run.reason.startswith("Rule: CT studies of every facility are analysed by")
    volume, made = run.findings.all()
    assert (volume.label, volume.value, volume.unit) == ("Bone volume", BONE_ML, "ml")
    # Around the box of bone on the first slice that has all of it.
    assert (volume.graphic, volume.points) == ("box", [[5.5, 5.5], [15.5, 15.5]])
    assert DicomImage.objects.get(sop_instance_uid=volume.sop_instance_uid).instance_number == 3
    assert "not for diagnosis" in volume.text
    assert made.label == "Segmentation"
    assert made.image is not None
    row = made.image.series
    assert (row.modality, row.study_id) == ("SEG", study.pk)
    assert row.series_description.startswith("Machine: ")
    # What it made itself is nothing new to it, however often the rules are asked.
    runner.drain(most_jobs=50)
    analyses.queue_by_rules(study)
    assert AnalysisRun.objects.count() == 1
    verbs = set(AuditEvent.objects.values_list("verb", flat=True))
    assert {"analysis.add", "analysis.on", "study.analyse", "study.analysed"} <= verbs
    assert OutboxEvent.objects.filter(kind="analysis.changed").count() >= 3
    assert not analysis_work.work_folder(run.pk).exists()


@pytest.mark.embedded
def test_the_segmentation_is_where_the_bone_is(
    reader: Actor, study: Study, store: Path, tmp_path: Path
) -> None:
    run = by_hand(reader, study, EXAMPLE.key)
    image = run.findings.exclude(image=None).get().image
    assert image is not None
    made = pydicom.dcmread(store / image.storage_key)
    assert made.SegmentSequence[0].SegmentAlgorithmType == "AUTOMATIC"
    assert made.SegmentSequence[0].SegmentAlgorithmName == example_volumes.NAME
    assert made.PatientID == study.patient_identifier
    assert int(made.pixel_array.sum()) == 600
    named = {
        item.ReferencedSOPInstanceUID
        for series in made.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    ours = set(
        DicomImage.objects.filter(series__modality="CT").values_list("sop_instance_uid", flat=True)
    )
    assert named
    assert named <= ours


def test_rules_that_do_not_fit_queue_nothing(admin: Actor, study: Study) -> None:
    service(admin, modality="MR")
    off = service(admin)
    analyses.switch_service(admin, off, is_active=False)
    # What came before a service was switched on stays as it is.
    service(admin, modality="CT")
    assert analyses.queue_by_rules(study) == 0
    assert not AnalysisRun.objects.exists()


WRITE = "(results / 'findings.json').write_text"
FIRST = "import pydicom; d = pydicom.dcmread(sorted(study.iterdir())[0])"
AS_SEG = "d.SOPClassUID = '1.2.840.10008.5.1.4.1.1.66.4'"
SAVE = "d.save_as(results / 'a.dcm')"
NAN = '{"findings": [{"label": "x", "value": NaN}]}'
MANY = json.dumps({"findings": [{"label": "x"}] * 501})
BAD = {
    "raises": ("raise ValueError('no such organ')", "no such organ"),
    "crashes": ("import os; os.kill(os.getpid(), 11)", "signal 11"),
    "takes-all-memory": ("x = bytearray(8 << 30)", "MiB of memory"),
    "no-json": (f"{WRITE}('{{')", "findings.json"),
    "no-number": (f"{WRITE}({NAN!r})", "not a number"),
    "many": (f"{WRITE}({MANY!r})", "at most 500"),
    "no-dicom": ("(results / 'a.dcm').write_text('x')", "neither a segmentation"),
    "a-picture": (f"{FIRST}; {SAVE}", "neither a segmentation"),
    "another-patient": (f"{FIRST}; {AS_SEG}; d.PatientID = 'X'; {SAVE}", "another patient"),
    "anothers-series": (
        f"{FIRST}; {AS_SEG}; d.SOPInstanceUID = '1.2.3'; {SAVE}",
        "not the program's own",
    ),
}


@pytest.mark.parametrize(("body_of", "words"), BAD.values(), ids=BAD)
@pytest.mark.embedded
def test_programs_that_do_wrong_harm_nothing(
    reader: Actor, study: Study, installed: Callable[..., str], body_of: str, words: str
) -> None:
    key = installed(f"def analyse(study, results):\n    {body_of}\n")
    before = DicomImage.objects.count()
    run = by_hand(reader, study, key)
    assert run.state == AnalysisState.FAILED
    assert words in run.last_error
    assert DicomImage.objects.count() == before
    assert not MachineFinding.objects.exists()
    assert not analysis_work.work_folder(run.pk).exists()


@pytest.mark.embedded
def test_a_program_sees_no_secrets_and_no_stored_file(
    reader: Actor, study: Study, installed: Callable[..., str], store: Path
) -> None:
    key = installed(
        "import json, os\n"
        "def analyse(study, results):\n"
        "    for path in study.iterdir():\n"
        "        path.write_bytes(b'spoilt')\n"
        "    names, count = ' '.join(sorted(os.environ)), len(os.listdir(study))\n"
        "    said = {'label': names[:120], 'value': count}\n"
        "    (results / 'findings.json').write_text(json.dumps({'findings': [said]}))\n"
    )
    run = by_hand(reader, study, key)
    assert run.state == AnalysisState.DONE, run.last_error
    finding = run.findings.get()
    assert finding.value == 10
    assert "SECRET" not in finding.label
    assert "DATABASE" not in finding.label
    for image in DicomImage.objects.all():
        assert (store / image.storage_key).read_bytes() != b"spoilt"


@pytest.mark.embedded
def test_what_takes_too_long_is_ended(
    reader: Actor, study: Study, installed: Callable[..., str]
) -> None:
    key = installed("import time\ndef analyse(study, results):\n    time.sleep(600)\n")
    run = analyses.run_by_hand(reader, study, key)
    runner.drain(most_jobs=50)
    [process] = analysis_work.running()
    analysis_work._children[run.pk].deadline = 0.0
    Job.objects.filter(kind=analyses.WORK_JOB).update(run_at=timezone.now())
    runner.drain(most_jobs=50)
    run.refresh_from_db()
    assert run.state == AnalysisState.FAILED
    assert "longer than 300 seconds" in run.last_error
    assert not Path(f"/proc/{process}").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


@pytest.mark.embedded
def test_a_killed_worker_begins_again_and_is_given_up_in_the_end(
    reader: Actor, study: Study
) -> None:
    run = analyses.run_by_hand(reader, study, EXAMPLE.key)
    # The worker that had it is gone.
    AnalysisRun.objects.update(state=AnalysisState.RUNNING, worker="elsewhere:1", attempts=1)
    ended(run)
    assert (run.state, run.attempts) == (AnalysisState.DONE, 2)
    assert run.findings.count() == 2
    other = analyses.run_by_hand(reader, study, EXAMPLE.key)
    AnalysisRun.objects.filter(pk=other.pk).update(state=AnalysisState.RUNNING, attempts=3)
    ended(other)
    assert "stopped several times" in other.last_error
    analyses.retry(reader, other)
    assert ended(other).state == AnalysisState.DONE
    with pytest.raises(ConflictError):
        analyses.retry(reader, other)


def test_findings_are_judged_by_those_who_read(
    reader: Actor, study: Study, facility: Facility, other_facility: Facility
) -> None:
    run = by_hand(reader, study, EXAMPLE.key)
    finding = run.findings.filter(image=None).get()
    looks = access.actor_of(factories.user("vera", Role.VIEWER, [facility]))
    stranger = access.actor_of(factories.user("sven", Role.RADIOLOGIST, [other_facility]))
    for actor in (looks, stranger):
        with pytest.raises(ForbiddenError):
            findings.decide(actor, finding.pk, FindingDecision.ACCEPTED)
    decided = findings.decide(reader, finding.pk, FindingDecision.REJECTED)
    assert (decided.decided_by_name, decided.decided_at is None) == ("rita", False)
    findings.decide(reader, finding.pk, FindingDecision.OPEN)
    finding.refresh_from_db()
    assert (finding.decided_by_name, finding.decided_at) == ("", None)
    assert AuditEvent.objects.filter(verb="finding.decide").count() == 2
    with pytest.raises(ForbiddenError):
        analyses.run_for(stranger, run.pk)
    with pytest.raises(NotFoundError):
        findings.decide(reader, run.pk, FindingDecision.ACCEPTED)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"program": "os:system"}, "not installed", id="any-program"),
        pytest.param({"time_limit_s": 5}, "10 to 3600", id="short"),
        pytest.param({"memory_mib": 1}, "512 to", id="small"),
        pytest.param({"conditions": Conditions(time_zone="Mars")}, "time zone", id="zone"),
    ],
)
def test_services_are_checked(admin: Actor, changes: dict[str, Any], words: str) -> None:
    draft = replace(ServiceDraft(EXAMPLE.key, Conditions()), **changes)
    with pytest.raises(InvalidInputError, match=words):
        analyses.add_service(admin, draft)


def test_services_are_for_administrators(reader: Actor, admin: Actor, study: Study) -> None:
    made = service(admin)
    with pytest.raises(ForbiddenError):
        analyses.services(reader)
    with pytest.raises(ForbiddenError):
        analyses.add_service(reader, ServiceDraft(EXAMPLE.key, Conditions()))
    run = by_hand(reader, study, EXAMPLE.key)
    analyses.remove_service(admin, made)
    assert AnalysisRun.objects.filter(pk=run.pk).exists()
    analyses.run_by_hand(reader, study, EXAMPLE.key)
    with pytest.raises(ConflictError):
        analyses.run_by_hand(reader, study, EXAMPLE.key)


@pytest.mark.embedded
def test_the_example_finds_lungs_and_refuses_what_is_no_volume(
    reader: Actor, facility: Facility, at_once: None
) -> None:
    voxels = np.full((20, 40, 40), -1000, np.int16)
    voxels[:, 4:36, 4:36] = 0
    voxels[2:18, 10:30, 8:18] = -800
    lungs = example_volumes.lungs(voxels.astype(np.float32), 0.05)
    assert lungs.sum() == 16 * 20 * 10
    assert not lungs[:, :4].any()
    assert example_volumes.lungs(voxels.astype(np.float32), 0.001).sum() == 0
    only = factories.store_bytes(to_bytes(make_instance()), facility)
    run = by_hand(reader, Study.objects.get(pk=only.study_id), EXAMPLE.key)
    assert run.findings.get().label == "No CT series with a volume"
    assert Series.objects.count() == 1


@pytest.mark.embedded
def test_a_real_head_is_measured(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    study = tmp_path / "study"
    results.mkdir()
    study.mkdir()
    for path in sorted((data / "ct/head_phantom_1mm").iterdir())[:24]:
        (study / path.name).symlink_to(path)
    example_volumes.analyse(study, results)
    [finding] = json.loads((results / "findings.json").read_text())["findings"]
    # Counted apart: every voxel of these slices above the threshold, less the specks.
    stack = [pydicom.dcmread(path) for path in study.iterdir()]
    above = sum(
        int((d.pixel_array * float(d.RescaleSlope) + float(d.RescaleIntercept) >= 250).sum())
        for d in stack
    )
    voxel_ml = float(stack[0].PixelSpacing[0]) * float(stack[0].PixelSpacing[1]) / 1000
    assert finding["label"] == "Bone volume"
    assert 0.9 * above * voxel_ml <= finding["value"] <= above * voxel_ml + 0.1


def test_installed_packages_announce_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = tmp_path / "nodules-2.5.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: nodules\nVersion: 2.5\nAuthor: A Lab\nSummary: Counts.\n"
    )
    (about / "entry_points.txt").write_text("[noctis_pro.analyses]\nnodules = nodules:analyse\n")
    monkeypatch.syspath_prepend(tmp_path)
    analysis_catalogue.installed.cache_clear()
    try:
        found = analysis_catalogue.installed()["nodules"]
    finally:
        analysis_catalogue.installed.cache_clear()
    assert found == analysis_catalogue.Program(
        "nodules", "nodules:analyse", "nodules", "2.5", "A Lab", "Counts."
    )
