"""Logs as JSON of a whole site: every line an object, ids in them, and nobody's name."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
from pathlib import Path
from typing import Any

from tests import databases, product
from tests.dicom import make_instance, to_bytes

_PASSWORD = "chosen by hand 7"


def test_a_sites_logs_are_json_with_ids_and_without_names(tmp_path: Path) -> None:
    var = tmp_path / "var"
    databases.place(var)
    environ = product.environment(
        var, NOCTIS_LOG_FORMAT="json", LOG_LEVEL="INFO", NOCTIS_ADMIN_PASSWORD=_PASSWORD
    )
    picture = tmp_path / "picture.dcm"
    instance = make_instance(PatientName="Secretname^Anna", PatientID="SECRET-4711")
    picture.write_bytes(to_bytes(instance))
    other = tmp_path / "other.dcm"
    instance.PatientComments = "other content under the same UID"
    other.write_bytes(to_bytes(instance))
    with product.started(environ, tmp_path / "terminal") as site:
        site.wait_for("NoctisPro is ready")
        added = site.manage("add_facility", "North", "--code", "NORTH", "--aet", "CT_NORTH")
        assert added.returncode == 0, added.stderr
        for path in (picture, other):
            subprocess.run(
                ["storescu", "-aet", "CT_NORTH", "-aec", "NOCTIS_SCP", "127.0.0.1",
                 str(site.dicom_port), str(path)],
                capture_output=True, timeout=60, check=False,
            )  # fmt: skip
        # One of Django, one of the sidecar: both are refused, which is logged with the address.
        for path in ("/worklist/nowhere/", "/api/v1/dicom/studies?PatientName=Secretname"):
            assert _ask(site, path, "gateway-0001") == "gateway-0001"
            assert len(_ask(site, path, "no good")) == 32
        site.stop()
    lines = _lines(var / "logs" / "noctis_pro.log") + _lines(var / "logs" / "dicom_receiver.log")
    assert {"time", "level", "logger", "message", "process"} <= set.intersection(*map(set, lines))
    stored = [line for line in lines if "1 stored" in line["message"]]
    assert stored
    assert stored[0]["association_id"].startswith("CT_NORTH@127.0.0.1#")
    refused = [line for line in lines if "0xB000" in line["message"]]
    assert refused
    assert refused[0]["association_id"] != stored[0]["association_id"]
    assert any(line.get("request_id") == "gateway-0001" for line in lines)
    for path in [*(var / "logs").iterdir(), tmp_path / "terminal"]:
        assert "secret" not in path.read_text().lower(), path


def _ask(site: product.Site, path: str, request_id: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", site.web_port, timeout=30)
    basic = base64.b64encode(f"admin:{_PASSWORD}".encode()).decode()
    headers = {"X-Request-ID": request_id, "Authorization": f"Basic {basic}"}
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
        return response.headers["X-Request-ID"]
    finally:
        connection.close()


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
