"""Puts OHIF's static build where the site serves it: `make ohif` (docs/operations.md).

The npm package is fetched in the version that `ops/ohif/package.json` names and checked against
the digest there. Its page is replaced by ours (`templates/dicom_viewer/ohif.html`), and its scripts
look for their parts below `/static/ohif/` instead of the root of the site.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

from servestatic.compress import main as compress_main

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "ops" / "ohif"
TARGET = PROJECT / "static" / "ohif"
_PUBLIC_PATH = '__webpack_require__.p = "/"'
_OURS = '__webpack_require__.p = "/static/ohif/"'
_STYLE_PATHS = re.compile(r"url\((['\"]?)/(?!/|static/)")
# Neither their page nor what it alone loads; the models' runtime (136 MB) serves AI tools that
# fetch models from public networks, which the policy of our pages forbids anyway.
_LEFT_OUT = frozenset(
    {"index.html", "app-config.js", "sw.js", "init-service-worker.js", "silent-refresh.html"}
    | {"google.js", "oidc-client.min.js", "_headers", "_redirects", "serve.json", "manifest.json"}
)
_FOLDERS_LEFT_OUT = frozenset({"ort"})


class InstallError(Exception):
    """OHIF cannot be put in place; the message says why."""


def fetch(package: dict[str, str], folder: Path) -> Path:
    """Return the package's archive."""
    wanted = f"{package['name']}@{package['version']}"
    done = subprocess.run(  # noqa: S603 - our own script, names from our own file
        [PROJECT / "scripts" / "npm.sh", "pack", wanted, "--pack-destination", folder, "--silent"],
        check=False,
        capture_output=True,
        text=True,
    )
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        raise InstallError(f"npm could not fetch {wanted}: {done.stderr.strip() or done.stdout}")
    return archives[0]


def check(archive: Path, package: dict[str, str]) -> None:
    """Compare the archive's digest with the one that we know."""
    method, _, digest = package["integrity"].partition("-")
    found = hashlib.new(method, archive.read_bytes()).digest()
    if found != base64.b64decode(digest):
        raise InstallError("The package has another digest than ops/ohif/package.json expects.")


def unpack(archive: Path, target: Path) -> None:
    """Unpack what the site serves."""
    with tarfile.open(archive) as packed:
        for member in packed:
            path = PurePosixPath(member.name)
            if not member.isfile() or path.parts[:2] != ("package", "dist"):
                continue
            inner = PurePosixPath(*path.parts[2:])
            left_out = str(inner) in _LEFT_OUT or inner.parts[0] in _FOLDERS_LEFT_OUT
            if left_out or inner.suffix == ".map" or ".." in inner.parts:
                continue
            content = packed.extractfile(member)
            place = target / inner
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("wb") as file:
                shutil.copyfileobj(content, file)  # type: ignore[arg-type]


def relocate(target: Path) -> None:
    """Let every script and style look for its parts below our folder."""
    changed = 0
    for script in target.glob("*.js"):
        text = script.read_text(encoding="utf-8")
        if _PUBLIC_PATH in text:
            script.write_text(text.replace(_PUBLIC_PATH, _OURS), encoding="utf-8")
            changed += 1
    for style in target.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        style.write_text(_STYLE_PATHS.sub(r"url(\1/static/ohif/", text), encoding="utf-8")
    if not changed:
        raise InstallError("This build of OHIF names the root of its site in another way.")


def describe(target: Path, package: dict[str, str]) -> None:
    """Write down what the page has to load."""
    entries = [path.name for path in target.glob("app.bundle.*.js")]
    if len(entries) != 1 or not (target / "app.bundle.css").is_file():
        raise InstallError("This build of OHIF has other entries than app.bundle.*.js and .css.")
    facts = {"version": package["version"], "script": entries[0], "style": "app.bundle.css"}
    (target / "installed.json").write_text(json.dumps(facts), encoding="utf-8")


def main() -> int:
    """Install, all or nothing; return the exit code."""
    package = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))
    TARGET.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TARGET.parent, prefix=".ohif-") as folder:
        new = Path(folder) / "ohif"
        try:
            archive = fetch(package, Path(folder))
            check(archive, package)
            unpack(archive, new)
            relocate(new)
            for name in ("boot.js", "app-config.js"):
                shutil.copy(SOURCE / name, new / name)
            describe(new, package)
            compress_main([str(new), "--quiet"])
        except (InstallError, OSError, tarfile.TarError) as error:
            sys.stderr.write(f"OHIF was not installed. {error}\n")
            return 1
        shutil.rmtree(TARGET, ignore_errors=True)
        new.rename(TARGET)
    sys.stdout.write(f"OHIF {package['version']} is served at /ohif/; restart the site.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
