"""An example of a program elsewhere that analyses studies for a site (docs/api/analyses.md).

It takes signed requests, fetches the study by DICOMweb, measures bone and lung as the site's own
example does, and sends findings and a segmentation back. Not for diagnosis.

    WEBHOOK_SECRET=whsec_... python docs/examples/analysis_service.py --port 9000

It needs dicomweb-client and httpx (both in requirements-dev.lock).
"""

import argparse
import base64
import hmac
import json
import os
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
from dicomweb_client.api import DICOMwebClient

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from imaging import example_volumes

_MOST_BYTES = 1 << 20
_TRIES = 5
states: dict[str, dict[str, str]] = {}


def signature(secret: bytes, name: str, stamp: str, body: bytes) -> str:
    """Return what Standard Webhooks say the signature is."""
    mac = hmac.new(secret, f"{name}.{stamp}.".encode() + body, "sha256")
    return "v1," + base64.b64encode(mac.digest()).decode()


def is_signed(secret: bytes, headers: Any, body: bytes) -> bool:  # noqa: ANN401 - HTTP headers
    """Whether a request comes from the site, and from now."""
    stamp = headers.get("webhook-timestamp", "")
    if not stamp.isdigit() or abs(time.time() - int(stamp)) > 300:
        return False
    mine = signature(secret, headers.get("webhook-id", ""), stamp, body)
    return any(
        hmac.compare_digest(mine.encode(), one.encode())
        for one in headers.get("webhook-signature", "").split(" ")
    )


def work(secret: bytes, job: dict[str, Any]) -> None:
    """Fetch a study, analyse it, send what was found."""
    state = states[job["id"]]
    try:
        with tempfile.TemporaryDirectory(prefix="analysis-") as folder:
            study, results = Path(folder, "study"), Path(folder, "results")
            study.mkdir()
            results.mkdir()
            state["message"] = "Fetching the study"
            fetch(job, study)
            state["message"] = "Measuring"
            example_volumes.analyse(study, results)
            state["message"] = "Sending what was found"
            send(secret, job, results)
        state["state"] = "done"
    except Exception as error:  # noqa: BLE001 - the edge of the program: told to the site
        state.update(state="failed", message=f"{type(error).__name__}: {error}"[:200])


def fetch(job: dict[str, Any], folder: Path) -> None:
    """Write the instances of every CT series into a folder."""
    client = DICOMwebClient(
        job["dicomweb"]["url"], headers={"Authorization": job["dicomweb"]["authorization"]}
    )
    for series in job["series"]:
        if series["Modality"] == "CT":
            found = client.iter_series(
                job["study"]["StudyInstanceUID"], series["SeriesInstanceUID"]
            )
            for instance in found:
                instance.save_as(folder / f"{instance.SOPInstanceUID}.dcm")


def send(secret: bytes, job: dict[str, Any], results: Path) -> None:
    """Send findings and objects in one body; the same again where the site does not answer."""
    files = [
        (
            "findings",
            ("findings.json", (results / "findings.json").read_bytes(), "application/json"),
        )
    ]
    files += [
        ("object", (path.name, path.read_bytes(), "application/dicom"))
        for path in sorted(results.glob("*.dcm"))
    ]
    request = httpx.Request("POST", job["results"]["url"], files=files)
    body = request.read()
    for wait_s in (2**number for number in range(_TRIES)):
        stamp = str(int(time.time()))
        headers = {
            "Content-Type": request.headers["Content-Type"],
            "Authorization": job["results"]["authorization"],
            "webhook-id": job["id"],
            "webhook-timestamp": stamp,
            "webhook-signature": signature(secret, job["id"], stamp, body),
        }
        try:
            answer = httpx.post(job["results"]["url"], content=body, headers=headers, timeout=120)
        except httpx.TransportError:
            time.sleep(wait_s)
            continue
        if answer.status_code < 500:
            answer.raise_for_status()
            return
        time.sleep(wait_s)
    raise TimeoutError("The site does not answer.")


def handler(secret: bytes) -> type[BaseHTTPRequestHandler]:
    """Return what answers the site."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            """Take a job, and say where its state is."""
            job = json.loads(body) if (body := self.signed()) else None
            if job is None:
                return
            # The same request again, after a lost answer, begins nothing twice.
            if job["id"] not in states or states[job["id"]]["state"] == "failed":
                states[job["id"]] = {"state": "running", "message": "Waiting"}
                threading.Thread(target=work, args=(secret, job), daemon=True).start()
            self.answer(202, {"status_url": f"/jobs/{job['id']}"})

        def do_GET(self) -> None:
            """Say how far a job is."""
            if self.signed() is not None:
                state = states.get(self.path.rpartition("/")[2])
                self.answer(200 if state else 404, state or {})

        def do_DELETE(self) -> None:
            """Forget a job that nobody waits for; this example does not stop its work."""
            if self.signed() is not None:
                states.pop(self.path.rpartition("/")[2], None)
                self.answer(200, {})

        def signed(self) -> bytes | None:
            """Return the body; None after refusing a request that is not the site's."""
            size = min(int(self.headers.get("Content-Length") or 0), _MOST_BYTES)
            body = self.rfile.read(size)
            if is_signed(secret, self.headers, body):
                return body
            self.answer(401, {"detail": "The signature is missing, old or wrong."})
            return None

        def answer(self, status: int, document: dict[str, str]) -> None:
            """Answer in JSON."""
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def main() -> None:
    """Serve until somebody ends it."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--host", default="127.0.0.1")
    arguments.add_argument("--port", type=int, default=9000)
    said = arguments.parse_args()
    secret = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))  # noqa: TID251
    with ThreadingHTTPServer((said.host, said.port), handler(secret)) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
