"""The viewer in headless Chromium, beside OHIF: `make bench-viewer`. One JSON object a line.

    python -m tests.perf.bench_viewer [-n 300] [--rounds 3] [--large 1000] [--only ours ...]

The same CT scan is opened by turns, each time in a new profile of the browser: by our viewer on our
site, by OHIF on our site, and by OHIF on Orthanc with its DICOMweb plugin, which serves OHIF's
files too. Everything shares one machine, and there is no graphics processor. What stands on a
canvas is looked at by the same script in all pages (`viewer_probe.js`), once a frame of the
screen: a step cannot take less than 16.7 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pydicom
from playwright.sync_api import Browser, CDPSession, Page, sync_playwright
from playwright.sync_api import Error as BrowserError

from tests import product
from tests.perf.bench_dicomweb import Target as Server
from tests.perf.bench_dicomweb import store
from tests.perf.bench_ingest import say
from tests.perf.scans import ct_scan
from tests.perf.targets import cpu_of
from tests.product import PROJECT, free_port

_CHROMIUM = "/usr/bin/chromium"
_PLUGINS = Path("/usr/share/orthanc/plugins")
_SERVES_FILES = "libServeFolders.so"
_OHIF = PROJECT / "static" / "ohif"
_PROBE = Path(__file__).with_name("viewer_probe.js").read_text()
_ARGUMENTS = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
_STEPS = 40
_PATIENCE_MS = 120_000


@dataclass
class Viewer:
    """A viewer on a server, and how its page is driven.

    Attributes
    ----------
    address : of the study of so many slices
    moves_to : where the script moves before anything loads: Orthanc serves files alone
    """

    name: str
    address: dict[int, str]
    state: Path | None = None
    moves_to: dict[int, str] = field(default_factory=dict)
    is_ours: bool = False


Part = Callable[["Tab"], Iterator[tuple[str, float]]]


@contextmanager
def _our_site(
    folder: Path, scans: dict[int, Path]
) -> Iterator[tuple[product.Site, dict[int, str]]]:
    environ = product.environment(folder / "var", LOG_LEVEL="WARNING")
    password = secrets.token_urlsafe(24)
    with product.started(environ, folder / "terminal") as site:
        site.wait_for("NoctisPro is ready", 120)
        words = ("add_user", "bench", "--role", "radiologist", "--facility", "LOCAL")
        done = site.manage(*words, "--password-stdin", input=password)
        assert done.returncode == 0, done.stderr
        for path in scans.values():
            done = site.manage("import_dicom", str(path), timeout=900)
            assert done.returncode == 0, done.stdout + done.stderr
        done = site.manage("add_token", "bench")
        assert done.returncode == 0, done.stderr
        token = done.stdout.split()[-1]
        headers = {"Authorization": f"Bearer {token}"}
        rows = site.get_json("/api/v1/dicom/studies?limit=10", **headers)
        ids = {int(row["PatientID"].removeprefix("SCAN")): row["id"] for row in rows}
        site.environ = {**site.environ, "BENCH_PASSWORD": password}
        yield site, ids


def _signed_in(browser: Browser, site: product.Site, kept: Path) -> str:
    """Sign in by the page; returns OHIF's page as our site serves it."""
    context = browser.new_context()
    page = context.new_page()
    address = f"http://127.0.0.1:{site.web_port}"
    page.goto(f"{address}/accounts/login/")
    page.fill("input[name=username]", "bench")
    page.fill("input[name=password]", site.environ["BENCH_PASSWORD"])
    page.click("button[type=submit]")
    page.wait_for_url("**/worklist/**")
    context.storage_state(path=kept)
    answer = context.request.get(f"{address}/ohif/viewer")
    text = answer.text() if answer.ok else ""
    context.close()
    return text


def _orthanc(folder: Path, page: str) -> Server:
    """Orthanc with its defaults, DICOMweb, and the files of OHIF."""
    (folder / "page").mkdir(parents=True)
    (folder / "page" / "index.html").write_text(page)
    port = free_port()
    settings = {
        "StorageDirectory": str(folder),
        "IndexDirectory": str(folder),
        "HttpPort": port,
        "DicomPort": free_port(),
        "AuthenticationEnabled": False,
        "KeepAlive": True,
        "Plugins": [
            str(_PLUGINS / f"lib{name}.so") for name in ("OrthancDicomWeb", "ServeFolders")
        ],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        "ServeFolders": {
            "AllowCache": True,
            "Folders": {"/ohif": str(folder / "page"), "/static/ohif": str(_OHIF)},
            "Extensions": {"wasm": "application/wasm", "mjs": "text/javascript"},
        },
    }
    path = folder / "orthanc.json"
    path.write_text(json.dumps(settings))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["Orthanc", path], stdout=log, stderr=log)
    return Server("orthanc", port, process, {})


class Tab:
    """A page of its own profile, and what the browser says of it."""

    def __init__(self, browser: Browser, viewer: Viewer, slices: int) -> None:
        self.viewer, self.slices = viewer, slices
        self.before = _renderers(browser)
        self.watch = Watch()
        self.browser = browser
        size = {"width": 1440, "height": 900}
        self.context = browser.new_context(viewport=size, storage_state=viewer.state)  # type: ignore[arg-type]
        self.page: Page = self.context.new_page()
        self.page.set_default_timeout(_PATIENCE_MS)
        moves = viewer.moves_to.get(slices)
        if moves:
            self.page.add_init_script(f"history.replaceState(null, '', {json.dumps(moves)})")
        self.page.add_init_script(_PROBE)
        self.network: CDPSession = self.context.new_cdp_session(self.page)
        self.received = 0
        self.network.send("Network.enable")
        self.network.on("Network.dataReceived", self._count)

    def _count(self, event: dict[str, Any]) -> None:
        self.received += event["encodedDataLength"]

    def run(self, script: str, argument: object = None) -> Any:
        """Evaluate; what takes longer than anybody waits is an error."""
        return self.page.evaluate(
            f"""(argument) => Promise.race([
              (async (argument) => {{ {script} }})(argument),
              new Promise((_, fail) => setTimeout(fail, {_PATIENCE_MS}, new Error("too long"))),
            ])""",
            argument,
        )

    def open(self, address: str | None = None) -> None:
        """Go there, and wait until the page has begun."""
        self.page.goto(address or self.viewer.address[self.slices], wait_until="commit")
        self.watch.pids = _renderers(self.browser) - self.before

    def peak_mb(self) -> float:
        """The most memory of its own that the tab's process has had since it was opened."""
        return self.watch.peak_mb

    def dismiss(self) -> None:
        """Close OHIF's tour."""
        with suppress(BrowserError):
            self.page.get_by_text("Skip all").click(timeout=3000)

    def close(self) -> None:
        """Give everything back."""
        self.watch.stop()
        self.context.close()


def _renderers(browser: Browser) -> set[int]:
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return {process["id"] for process in found if process["type"] == "renderer"}


class Watch(threading.Thread):
    """Looks at the memory of processes ten times a second: what is theirs alone, not files."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.pids: set[int] = set()
        self.peak_mb = 0.0
        self._ended = threading.Event()
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            self.peak_mb = max([self.peak_mb, *map(_own_mb, self.pids)])

    def stop(self) -> None:
        """Look no more."""
        self._ended.set()
        self.join()


def _own_mb(pid: int) -> float:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) / 1024
    return 0.0


def _wait_for_all(tab: Tab) -> float:
    """Wait until every frame is decoded and kept; returns the moment of the page's clock."""
    return float(
        tab.run(
            """while (bench.loaded() < argument) {
              await new Promise((done) => setTimeout(done, 20));
            }
            const marks = performance.getEntriesByName("viewer:series-complete");
            return marks[0]?.startTime ?? performance.now();""",
            tab.slices,
        )
    )


def _steps(tab: Tab, number: int, how: str) -> dict[str, float]:
    """Scroll, or drag the window, and tell the waits for each picture."""
    box = tab.run("return bench.place(argument)", number)
    tab.page.mouse.move(box["clientX"], box["clientY"])
    if how == "drag":
        tab.page.mouse.down()
    waits = tab.run(f"return bench.{how}({number}, argument)", min(_STEPS, tab.slices // 3))
    if how == "drag":
        tab.page.mouse.up()
    if not waits:
        return {}
    waits.sort()
    return {"p50": statistics.median(waits), "p95": waits[int(len(waits) * 0.95)]}


def stack(tab: Tab) -> Iterator[tuple[str, float]]:
    """Open the study as a stack, load all of it, scroll and window."""
    tab.open()
    first = tab.run("while (!bench.firstPicture) await new Promise(requestAnimationFrame);"
                    " return bench.firstPicture")  # fmt: skip
    marks = tab.run("return bench.marks()")
    yield "first picture, ms", first
    if "viewer:first-preview" in marks:
        yield "first preview, ms", marks["viewer:first-preview"]
    yield (
        "program before the first picture, kB",
        tab.run("return bench.program(argument)", first) / 1e3,
    )
    yield "all frames, ms", _wait_for_all(tab)
    marks = tab.run("return bench.marks()")
    yield "first lossless, ms", marks.get("viewer:first-lossless", first)
    yield "all bytes, MB", tab.received / 1e6
    tab.dismiss()
    for name, how in (("scroll", "wheel"), ("window", "drag")):
        for share, value in _steps(tab, 0, how).items():
            yield f"{name} step {share}, ms", value
    yield "peak memory with the stack, MB", tab.peak_mb()


def planes(tab: Tab) -> Iterator[tuple[str, float]]:
    """Light three planes: from the whole stack (ours), and from the address on (all)."""
    if tab.viewer.is_ours:
        began = tab.run(
            """const button = document.querySelector('button[aria-label="MPR"]');
            button.click(); return performance.now()"""
        )
        yield "planes lit after the press, ms", tab.run("return bench.whenLit(4)") - began
        yield from _coronal(tab)
        yield "peak memory with planes, MB", tab.peak_mb()


def cold_planes(tab: Tab) -> Iterator[tuple[str, float]]:
    """Light three planes of a study that nothing is known of."""
    if tab.viewer.is_ours:
        tab.open()
        tab.run(
            """while (!bench.firstPicture) await new Promise(requestAnimationFrame);
            document.querySelector('button[aria-label="MPR"]').click();"""
        )
        yield "planes lit from the address on, ms", tab.run("return bench.whenLit(4)")
        yield "of these until the first picture, ms", tab.run("return bench.firstPicture")
        return
    moved = tab.viewer.moves_to.get(tab.slices)
    if moved:
        tab.page.add_init_script(
            f"history.replaceState(null, '', {json.dumps(moved + '&hangingprotocolId=mpr')})"
        )
        tab.open()
    else:
        tab.open(tab.viewer.address[tab.slices] + "&hangingprotocolId=mpr")
    yield "planes lit from the address on, ms", tab.run("return bench.whenLit(3)")
    yield "of these until the first picture, ms", tab.run("return bench.firstPicture")
    _wait_for_all(tab)
    tab.dismiss()
    yield from _coronal(tab)
    yield "peak memory with planes, MB", tab.peak_mb()


def _coronal(tab: Tab) -> Iterator[tuple[str, float]]:
    for share, value in _steps(tab, 1, "wheel").items():
        yield f"coronal step {share}, ms", value


def _measure(browser: Browser, viewer: Viewer, slices: int, *parts: Part) -> dict[str, float]:
    tab = Tab(browser, viewer, slices)
    found: dict[str, float] = {}
    try:
        for part in parts:
            for name, value in part(tab):
                found[name] = round(value, 1)
    except BrowserError as error:
        found["failed"] = 1
        say(viewer=viewer.name, error=str(error).splitlines()[0], after=list(found))
    finally:
        tab.close()
    say(viewer=viewer.name, slices=slices, load=round(os.getloadavg()[0], 1), **found)
    return found


def _viewers(
    browser: Browser,
    folder: Path,
    scans: dict[int, Path],
    wanted: argparse.Namespace,
    kept: ExitStack,
) -> list[Viewer]:
    site, ids = kept.enter_context(_our_site(folder, scans))
    state = folder / "state.json"
    page = _signed_in(browser, site, state)
    _settle(site)
    ours = f"http://127.0.0.1:{site.web_port}"
    uids = {
        count: str(pydicom.dcmread(next(path.iterdir()), stop_before_pixels=True).StudyInstanceUID)
        for count, path in scans.items()
    }
    words = {count: f"/ohif/viewer?StudyInstanceUIDs={uid}" for count, uid in uids.items()}
    found = [Viewer("ours", {n: f"{ours}/viewer/{ids[n]}/" for n in ids}, state, is_ours=True)]
    if page and "ohif" in wanted.only:
        found.append(
            Viewer("OHIF on our site", {n: ours + path for n, path in words.items()}, state)
        )
    has_orthanc = (_PLUGINS / _SERVES_FILES).exists() and "orthanc" in wanted.only
    if page and has_orthanc:
        server = _orthanc(folder / "orthanc", page)
        kept.callback(server.stop)
        store(server, [path.read_bytes() for path in sorted(scans[wanted.n].iterdir())])
        address = f"http://127.0.0.1:{server.port}/ohif/index.html"
        found.append(Viewer("OHIF on Orthanc", {wanted.n: address}, moves_to=words))
    return found


def _write_scans(folder: Path, counts: Sequence[int]) -> dict[int, Path]:
    scans = {}
    for count in counts:
        scans[count] = folder / f"scan-{count}"
        scans[count].mkdir()
        for number, file in enumerate(ct_scan(count, f"Scan of {count}")):
            (scans[count] / f"{number:05}.dcm").write_bytes(file)
    return scans


def _settle(site: product.Site) -> None:
    """Let what follows an import end: thumbnails, encoded frames."""
    deadline = time.monotonic() + 180
    pids = product.descendants(site.process.pid)
    spent = sum(map(cpu_of, pids))
    while time.monotonic() < deadline:
        time.sleep(3)
        before, spent = spent, sum(map(cpu_of, pids))
        if spent - before < 0.2:
            return


def summary(rounds: dict[str, list[dict[str, float]]]) -> None:
    """Print the medians, and how many times quicker ours was than each other."""
    for name, found in rounds.items():
        keys = list(dict.fromkeys(key for one in found for key in one))
        say(
            viewer=name,
            median={
                key: round(statistics.median(one[key] for one in found if key in one), 1)
                for key in keys
            },
        )


def main(words: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Measure the viewer.")
    parser.add_argument("-n", type=int, default=300, help="slices of the scan")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1000, help="slices of the large scan; 0: none")
    parser.add_argument("--only", nargs="*", default=["ohif", "orthanc"], help="beside ours")
    wanted = parser.parse_args(words)
    folder = Path(tempfile.mkdtemp(prefix="noctis-bench-"))
    counts = [wanted.n, *([wanted.large] if wanted.large else [])]
    try:
        with ExitStack() as kept:
            playwright = kept.enter_context(sync_playwright())
            browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=_ARGUMENTS)
            kept.callback(browser.close)
            scans = _write_scans(folder, counts)
            viewers = _viewers(browser, folder, scans, wanted, kept)
            rounds: dict[str, list[dict[str, float]]] = {viewer.name: [] for viewer in viewers}
            for turn in range(wanted.rounds):
                for viewer in viewers if turn % 2 == 0 else viewers[::-1]:
                    found = _measure(browser, viewer, wanted.n, stack, planes)
                    found |= _measure(browser, viewer, wanted.n, cold_planes)
                    rounds[viewer.name].append(found)
            summary(rounds)
            if wanted.large:
                _measure(browser, viewers[0], wanted.large, stack, planes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
