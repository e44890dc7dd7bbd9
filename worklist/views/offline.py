"""The page that takes files without a network and hands them in later.

The page itself holds nothing of anybody: a browser keeps it, and opens it where nobody can be asked
who they are. Who is signed in, and for which facilities, it asks `session`.
"""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.templatetags.static import static
from django.urls import reverse
from django.utils import translation
from django.utils.translation import get_language
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from accounts import preferences
from accounts.guards import user_of
from archive import access, facilities
from radiology import deidentified, offline
from worklist.views.guards import actor_of, api_login_required

_ENTRY = "src/offline/main.ts"
_READING = "src/offline/reading-worker.ts"
_WORKER = "src/offline/service-worker.ts"
_ICONS = (("mark-192.png", "192x192", "any"), ("mark-512.png", "512x512", "any"),
          ("mark-maskable-512.png", "512x512", "maskable"))  # fmt: skip
# The frame's own colour, `--surface-1` of the dark theme.
_COLOUR = "#0f1418"


@require_GET
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    """Show the page; nothing in it depends on who asks, but for the colours and the language."""
    with _language_of(request):
        return render(request, "worklist/offline.html", _context(preferences.theme_of(request)))


def _language_of(request: HttpRequest) -> translation.override:
    """Return the language that the worker asks for: it carries no cookie that says which."""
    wanted = request.GET.get("language", "")
    known = any(code == wanted for code, _ in settings.LANGUAGES)
    return translation.override(wanted if known else get_language())


def _context(theme: str) -> dict[str, Any]:
    language = get_language() or settings.LANGUAGE_CODE
    return {
        "theme": theme,
        "language": language,
        "script_messages": "" if language == "en" else f"src/messages/{language}.ts",
        "product": "NoctisPro",
        "entry": _ENTRY,
        "reading": _READING,
        "colour": _COLOUR,
        "most_picture_bytes": offline.MOST_PICTURE_BYTES,
        "most_file_bytes": settings.MAX_INSTANCE_BYTES,
        "most_deidentified_bytes": deidentified.MOST_BYTES,
    }


@api_login_required
@require_GET
@never_cache
def session(request: HttpRequest) -> HttpResponse:
    """Say who is signed in, what they may hand in for, and the token of their changes."""
    user, actor = user_of(request), actor_of(request)
    choices = list(facilities.listing(actor.scope).filter(is_active=True))
    if actor.is_administrator:
        own = access.site_facility()
        choices = [own, *(found for found in choices if found.pk != own.pk)]
    current = preferences.facility_of(user)
    chosen = next((found for found in choices if found.pk == current), None)
    return JsonResponse(
        {
            "user": {"id": str(user.pk), "name": str(user)},
            "can_upload": actor.can_upload and bool(choices),
            "facilities": [{"code": found.code, "name": found.name} for found in choices],
            "facility": chosen.code if chosen else "",
            "csrf_token": get_token(request),
        }
    )


@require_GET
@never_cache
def worker(request: HttpRequest) -> HttpResponse:
    """Answer with the script that keeps the page, and the list of what it keeps.

    The list is in the script: browsers look for a new one by comparing bytes.
    """
    context = _context("dark")
    files = [
        reverse("offline:page"),
        reverse("offline:manifest"),
        *_assets(context["script_messages"]),
    ]
    # The page's own words belong to it, those that change with its colours do not.
    digest = hashlib.sha256(render_to_string("worklist/offline.html", context).encode())
    digest.update("\n".join(files).encode())
    shell = {
        "version": digest.hexdigest()[:16],
        "page": files[0],
        "language": context["language"],
        "files": files,
    }
    script = f"self.SHELL = {json.dumps(shell)};\n{_worker_script()}"
    return HttpResponse(script, content_type="text/javascript; charset=utf-8")


@require_GET
def manifest(request: HttpRequest) -> HttpResponse:
    """Say how the page is installed."""
    home = reverse("offline:page")
    return JsonResponse(
        {
            "id": home,
            "name": "NoctisPro offline upload",
            "short_name": "Offline upload",
            "description": "Takes images without a network and hands them in later.",
            "start_url": home,
            "scope": home,
            "display": "standalone",
            "background_color": _COLOUR,
            "theme_color": _COLOUR,
            "icons": [
                {
                    "src": static(f"images/{name}"),
                    "sizes": sizes,
                    "type": "image/png",
                    "purpose": purpose,
                }
                for name, sizes, purpose in _ICONS
            ],
        },
        content_type="application/manifest+json",
    )


def _built() -> Path:
    return Path(str(settings.DJANGO_VITE["default"]["manifest_path"])).parents[1]


def _assets(script_messages: str) -> list[str]:
    """Return the addresses of all that the page loads, the worker that reads files included."""
    manifest_file = _built() / ".vite" / "manifest.json"
    return _assets_of(manifest_file, manifest_file.stat().st_mtime_ns, script_messages)


@lru_cache(maxsize=8)
def _assets_of(manifest_file: Path, _changed_at_ns: int, script_messages: str) -> list[str]:
    chunks: dict[str, dict[str, Any]] = json.loads(manifest_file.read_text("utf-8"))
    found: dict[str, None] = {}
    todo = [name for name in (_ENTRY, _READING, script_messages) if name]
    while todo:
        chunk = chunks[todo.pop()]
        for name in (chunk["file"], *chunk.get("css", ()), *chunk.get("assets", ())):
            found[static(f"dist/{name}")] = None
        todo += [name for name in chunk.get("imports", ()) if _url_of(chunks[name]) not in found]
    icons = [static(f"images/{name}") for name in ("mark.svg", *(icon[0] for icon in _ICONS))]
    return [*found, *icons]


def _url_of(chunk: dict[str, Any]) -> str:
    return static(f"dist/{chunk['file']}")


def _worker_script() -> str:
    chunks = json.loads((_built() / ".vite" / "manifest.json").read_text("utf-8"))
    return (_built() / str(chunks[_WORKER]["file"])).read_text("utf-8")
