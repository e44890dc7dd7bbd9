"""The pages of analyses: who sees them, what they say, what their buttons do."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import numpy as np
import pytest
from django.test import Client

from accounts.models import Role
from archive import analyses
from archive.analysis_catalogue import EXAMPLE
from archive.models import (
    AnalysisRun,
    AnalysisService,
    FindingDecision,
    MachineFinding,
    RemoteProgram,
)
from tests import factories
from tests.dicom import to_bytes
from tests.volumes import stacked
from worklist.models import Facility, Study

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("store")]

SERVICES = "/worklist/analyses/services/"
QUEUE = "/worklist/analyses/"


@pytest.fixture
def study(facility: Facility) -> Study:
    voxels = np.zeros((3, 8, 8), np.int16)
    for ds in stacked([0.0, 1.0, 2.0], voxels, PatientName="O'Neill^<b>Anna"):
        factories.store_bytes(to_bytes(ds), facility)
    return Study.objects.get()


@pytest.fixture
def run(study: Study, reader: Any) -> AnalysisRun:
    made = analyses.run_by_hand(reader, study, EXAMPLE.key)
    AnalysisRun.objects.filter(pk=made.pk).update(state="done")
    MachineFinding.objects.create(run=made, label="<i>Bone</i>", value=12.34, unit="ml")
    return made


def client_of(username: str, role: Role, *facilities: Facility) -> Client:
    client = Client()
    client.force_login(factories.user(username, role, facilities))
    return client


def test_who_sees_what(
    site: Client, study: Study, run: AnalysisRun, facility: Facility, other_facility: Facility
) -> None:
    admin = client_of("root", Role.ADMIN)
    stranger = client_of("sven", Role.RADIOLOGIST, other_facility)
    looks = client_of("vera", Role.VIEWER, facility)
    findings = f"/worklist/studies/{study.pk}/findings/"
    decide = f"/worklist/findings/{run.findings.get().pk}/decide/"
    retry = f"/worklist/analyses/{run.pk}/retry/"
    for address in (SERVICES, QUEUE, findings):
        assert Client().get(address).status_code == 302
    for address in (decide, retry):
        assert Client().post(address).status_code == 302
    assert site.get(SERVICES).status_code == 403
    assert site.post(SERVICES, {"program": EXAMPLE.key}).status_code == 403
    assert admin.get(SERVICES).status_code == 200
    assert site.get(QUEUE).status_code == 200
    assert "O&#x27;Neill" not in stranger.get(QUEUE).content.decode()
    assert stranger.get(findings).status_code == 403
    assert stranger.post(findings, {"program": EXAMPLE.key}).status_code == 403
    assert stranger.post(decide, {"decision": "accepted"}).status_code == 403
    assert stranger.post(retry).status_code == 403
    assert looks.post(decide, {"decision": "accepted"}).status_code == 403
    assert "Accept" not in looks.get(findings).content.decode()
    assert not MachineFinding.objects.exclude(decision="open").exists()


def test_a_service_is_saved_tried_switched_on_and_removed(study: Study) -> None:
    admin = client_of("root", Role.ADMIN)
    typed = {"program": EXAMPLE.key, "modality": "CT", "time_limit_s": "60", "memory_mib": "1024"}
    refused = admin.post(SERVICES, {**typed, "hours_from": "10:00"})
    assert refused.status_code == 422
    assert "Give both hours" in refused.content.decode()
    assert admin.post(SERVICES, {**typed, "program": "os:system"}).status_code == 422
    assert admin.post(SERVICES, typed).status_code == 302
    service = AnalysisService.objects.get()
    assert (service.is_active, service.time_limit_s, service.memory_mib) == (False, 60, 1024)
    page = admin.get(SERVICES).content.decode()
    assert f"CT studies of every facility are analysed by {EXAMPLE.name}." in page
    own = f"{SERVICES}{service.pk}/"
    assert "run on 1 study with 3 images" in admin.post(own, {"do": "try"}).content.decode()
    admin.post(own, {"do": "on"})
    service.refresh_from_db()
    assert service.is_active
    assert admin.post(own, {"do": "dance"}).status_code == 422
    admin.post(own, {"do": "off"})
    service.refresh_from_db()
    assert (service.is_active, service.active_since) == (False, None)
    admin.post(own, {"do": "remove"})
    assert not AnalysisService.objects.exists()


def test_the_queue_says_why_and_what_went_wrong(site: Client, run: AnalysisRun) -> None:
    AnalysisRun.objects.update(state="failed", last_error="It took <too> long.")
    page = site.get(QUEUE).content.decode()
    assert "rita started it." in page
    assert "It took &lt;too&gt; long." in page
    assert site.get(f"{QUEUE}?state=nonsense").status_code == 422
    assert "No analysis is in this state" in site.get(f"{QUEUE}?state=done").content.decode()
    bare = site.get(f"{QUEUE}?part=queue").content.decode()
    assert "<html" not in bare
    told = site.post(f"{QUEUE}{run.pk}/retry/", headers={"accept": "application/json"})
    assert told.json() == {"message": "It is run again."}
    again = site.post(f"{QUEUE}{run.pk}/retry/", headers={"accept": "application/json"})
    assert again.status_code == 409


def test_findings_are_shown_as_a_machines_and_judged(
    site: Client, study: Study, run: AnalysisRun
) -> None:
    address = f"/worklist/studies/{study.pk}/findings/"
    page = site.get(address).content.decode()
    assert "&lt;i&gt;Bone&lt;/i&gt;" in page
    assert "12.3 ml" in page
    assert "Machine, not looked at" in page
    assert f"Program, version {EXAMPLE.version}, {EXAMPLE.manufacturer}." in page
    finding = run.findings.get()
    decide = f"/worklist/findings/{finding.pk}/decide/"
    assert site.post(decide, {"decision": "maybe"}).status_code == 422
    told = site.post(decide, {"decision": "rejected"}, headers={"accept": "application/json"})
    assert told.json() == {"message": "<i>Bone</i>: rejected."}
    assert "rejected by rita" in site.get(f"{address}?part=list").content.decode()
    assert site.post(decide, {"decision": "open"}).status_code == 302
    finding.refresh_from_db()
    assert finding.decision == FindingDecision.OPEN
    site.post(decide, {"decision": "accepted"})
    assert "Accepted by rita" in site.get(address).content.decode()


def test_a_study_that_nobody_analysed(site: Client, study: Study) -> None:
    address = f"/worklist/studies/{study.pk}/findings/"
    assert "No program has looked at this study" in site.get(address).content.decode()
    assert site.post(address, {"program": "os:system"}).status_code == 302
    assert not AnalysisRun.objects.exists()
    site.post(address, {"program": EXAMPLE.key})
    assert AnalysisRun.objects.get().reason == "rita started it."


def test_a_program_elsewhere_is_registered_and_its_secret_shown_once(
    site: Client, settings: Any
) -> None:
    settings.ANALYSIS_NETWORKS = (ip_network("127.0.0.0/8"),)
    admin = client_of("root", Role.ADMIN)
    programs = "/worklist/analyses/programs/"
    typed = {"name": "<b>Finder</b>", "url": "http://127.0.0.1:9/jobs", "version": "2"}
    assert site.post(programs, typed).status_code == 403
    refused = admin.post(programs, {**typed, "url": "http://192.0.2.1/"})
    assert refused.status_code == 422
    assert "NOCTIS_ANALYSIS_NETWORKS" in refused.content.decode()
    shown = admin.post(programs, typed).content.decode()
    assert "&lt;b&gt;Finder&lt;/b&gt;" in shown
    assert "whsec_" in shown
    assert "whsec_" not in admin.get(SERVICES).content.decode()
    row = RemoteProgram.objects.get()
    own = f"{programs}{row.pk}/"
    assert site.post(own, {"do": "on"}).status_code == 403
    key = f"http:{row.pk.hex}"
    assert key not in admin.get(SERVICES).content.decode()
    admin.post(own, {"do": "on"})
    assert key in admin.get(SERVICES).content.decode()
    admin.post(own, {"do": "off"})
    assert key not in admin.get(SERVICES).content.decode()
    again = admin.post(own, {"do": "secret"}).content.decode()
    assert "whsec_" in again
    assert again.partition("whsec_")[2][:40] != shown.partition("whsec_")[2][:40]
    assert admin.post(own, {"do": "dance"}).status_code == 422
    admin.post(own, {"do": "remove"})
    assert not RemoteProgram.objects.exists()
    assert admin.post(own, {"do": "on"}).status_code == 404


def test_a_run_is_cancelled(site: Client, run: AnalysisRun) -> None:
    AnalysisRun.objects.update(state="waiting")
    assert "Cancel" in site.get(QUEUE).content.decode()
    cancel = f"{QUEUE}{run.pk}/cancel/"
    told = site.post(cancel, headers={"accept": "application/json"})
    assert told.json() == {"message": "It is cancelled."}
    assert site.post(cancel, headers={"accept": "application/json"}).status_code == 409
    assert "Run again" in site.get(QUEUE).content.decode()
    run.refresh_from_db()
    assert run.state == "cancelled"
