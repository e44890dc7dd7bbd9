"""The interface's description as a page: no script, no foreign server, under the strict CSP."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, Response

router = APIRouter(include_in_schema=False)

_POLICY = "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'"
_STYLE = """
:root { color-scheme: dark light; --back: #0f1418; --surface: #1b232b; --line: #33414d;
  --text: #d5dde5; --dim: #9fb0be; --accent: #6cb2ff; }
@media (prefers-color-scheme: light) { :root { --back: #f5f7f9; --surface: #ffffff;
  --line: #c8d1d9; --text: #1b232b; --dim: #51606d; --accent: #0b5cad; } }
body { margin: 0 auto; padding: 24px 16px 64px; max-width: 960px; background: var(--back);
  color: var(--text); font: 14px/1.5 system-ui, sans-serif; }
h1 { font-size: 20px; } h2 { font-size: 16px; margin: 32px 0 8px; }
p { max-width: 70ch; } a { color: var(--accent); }
article { background: var(--surface); border: 1px solid var(--line); border-radius: 6px;
  padding: 12px 16px; margin: 8px 0; overflow-x: auto; }
h3 { font: 600 14px ui-monospace, monospace; margin: 0; overflow-wrap: anywhere; }
h3 b { color: var(--accent); } .dim { color: var(--dim); }
table { border-collapse: collapse; margin-top: 8px; }
th, td { text-align: left; vertical-align: top; padding: 2px 16px 2px 0; font-weight: 400; }
th { font-family: ui-monospace, monospace; }
summary { cursor: pointer; color: var(--accent); margin-top: 8px; }
pre { font: 12px/1.4 ui-monospace, monospace; overflow-x: auto; margin: 4px 0 0; }
"""


@router.get("/api/docs")
async def page(request: Request) -> Response:
    """Answer with the page."""
    return HTMLResponse(render(request.app.openapi()), headers={"content-security-policy": _POLICY})


@router.get("/api/docs.css")
async def style() -> Response:
    """Answer with the page's style."""
    return Response(_STYLE, media_type="text/css", headers={"cache-control": "max-age=3600"})


def render(document: dict[str, Any]) -> str:
    """Return an OpenAPI document as HTML."""
    groups: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            if method != "head":
                tag = (operation.get("tags") or ["other"])[0]
                groups.setdefault(tag, []).append(_article(method, path, operation))
    sections = "".join(
        f"<section><h2>{escape(tag)}</h2>{''.join(articles)}</section>"
        for tag, articles in groups.items()
    )
    title, about = escape(document["info"]["title"]), escape(document["info"]["description"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{title}: interface</title><link rel="stylesheet" href="/api/docs.css"></head>'
        f"<body><main><h1>{title}: interface for programs</h1><p>{about}</p>"
        '<p>For tools: <a href="/api/openapi.json">/api/openapi.json</a> (OpenAPI).</p>'
        f"{sections}</main></body></html>"
    )


def _article(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = [
        _row(parameter["name"], parameter.get("schema", {}), parameter.get("description", ""))
        for parameter in operation.get("parameters", [])
    ]
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        for name, schema in body.get("schema", {}).get("properties", {}).items():
            rows.append(_row(name, schema, f"in the body ({media})"))
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    return (
        f"<article><h3><b>{method.upper()}</b> {escape(path)}</h3>"
        f"<div>{escape(operation.get('summary', ''))}</div>"
        f'<div class="dim">{escape(operation.get("description", ""))}</div>{table}'
        f"{_examples(operation)}</article>"
    )


def _examples(operation: dict[str, Any]) -> str:
    """Return what is sent and what comes back, folded."""
    sent = operation.get("requestBody", {}).get("content", {})
    came = {
        media: content
        for status, answer in operation.get("responses", {}).items()
        if status.startswith("2")
        for media, content in answer.get("content", {}).items()
    }
    return "".join(
        f"<details><summary>{words} ({escape(media)})</summary>"
        f"<pre>{escape(_text(content['example']))}</pre></details>"
        for words, contents in (("Example of a body", sent), ("Example of an answer", came))
        for media, content in contents.items()
        if "example" in content
    )


def _text(example: Any) -> str:  # noqa: ANN401 - JSON
    return json.dumps(example, indent=2, ensure_ascii=False)


def _row(name: str, schema: dict[str, Any], description: str) -> str:
    kind = escape(str(schema.get("type", "")))
    return (
        f'<tr><th scope="row">{escape(name)}</th><td class="dim">{kind}</td>'
        f"<td>{escape(description)}</td></tr>"
    )
