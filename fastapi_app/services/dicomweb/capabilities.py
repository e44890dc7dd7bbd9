"""What the service can do, for programs: made from its routes, as WADL or as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from fastapi.routing import APIRoute

from fastapi_app.services.dicomweb.media import Offer

WADL = "application/vnd.sun.wadl+xml"
JSON = "application/json"
OFFERS = (Offer(WADL), Offer(JSON), Offer("application/xml"))
_NAMESPACE = "http://wadl.dev.java.net/2009/02"
_LEFT_OUT = frozenset({"HEAD", "OPTIONS"})


@dataclass(slots=True)
class Resource:
    """One segment of an address, what can be done there, and what lies below."""

    path: str
    methods: list[Method] = field(default_factory=list)
    below: dict[str, Resource] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "path": self.path,
            "methods": [method.document() for method in self.methods],
            "resources": [resource.document() for resource in self.below.values()],
        }

    def xml(self) -> str:
        """Return it as an element of WADL."""
        names = [self.path[1:-1]] if self.path.startswith("{") else []
        parameters = "".join(
            f'<param name={quoteattr(name)} style="template" required="true"/>' for name in names
        )
        inner = "".join(method.xml() for method in self.methods)
        inner += "".join(resource.xml() for resource in self.below.values())
        return f"<resource path={quoteattr(self.path)}>{parameters}{inner}</resource>"


@dataclass(frozen=True, slots=True)
class Method:
    """A transaction: its name, what it takes and what it gives."""

    name: str
    identifier: str
    summary: str
    parameters: tuple[tuple[str, str], ...]
    takes: tuple[str, ...]
    gives: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "name": self.name,
            "id": self.identifier,
            "summary": self.summary,
            "parameters": [{"name": name, "style": style} for name, style in self.parameters],
            "request": list(self.takes),
            "response": list(self.gives),
        }

    def xml(self) -> str:
        """Return it as an element of WADL."""
        request = "".join(
            f"<param name={quoteattr(name)} style={quoteattr(style)}/>"
            for name, style in self.parameters
        )
        request += _representations(self.takes)
        gives = _representations(self.gives)
        return (
            f"<method name={quoteattr(self.name)} id={quoteattr(self.identifier)}>"
            f"<doc>{escape(self.summary)}</doc><request>{request}</request>"
            f"<response>{gives}</response></method>"
        )


def _representations(media_types: Iterable[str]) -> str:
    return "".join(f"<representation mediaType={quoteattr(kind)}/>" for kind in media_types)


def resources(routes: Iterable[APIRoute]) -> Resource:
    """Return the tree of a service's resources.

    References
    ----------
    DICOM PS3.18 section 8.9 and annex H.
    """
    root = Resource("/")
    for route in routes:
        if not route.include_in_schema:
            continue
        node = root
        for part in route.path.strip("/").split("/"):
            if part:
                node = node.below.setdefault(part, Resource(part))
        for name in sorted(set(route.methods or ()) - _LEFT_OUT):
            node.methods.append(_method(name, route))
    return root


def _method(name: str, route: APIRoute) -> Method:
    extra: Mapping[str, Any] = route.openapi_extra or {}
    parameters = [(one["name"], one["in"]) for one in extra.get("parameters", ())]
    gives: list[str] = []
    for response in (*route.responses.values(), *extra.get("responses", {}).values()):
        gives += response.get("content", {})
    return Method(
        name=name,
        identifier=route.operation_id or route.name,
        summary=route.summary or "",
        parameters=(*parameters, ("Accept", "header")),
        takes=tuple(extra.get("requestBody", {}).get("content", {})),
        gives=tuple(dict.fromkeys(gives)),
    )


def at(root: Resource, path: str) -> Resource:
    """Return the resource of a route's path; the root stands for the whole service."""
    node = root
    for part in path.strip("/").split("/"):
        if part:
            node = node.below[part]
    return node


def wadl(base_url: str, resource: Resource) -> bytes:
    """Return a description as WADL (PS3.18 annex H)."""
    if resource.path == "/":
        inner = "".join(method.xml() for method in resource.methods)
        inner += "".join(one.xml() for one in resource.below.values())
    else:
        inner = resource.xml()
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><application xmlns="{_NAMESPACE}">'
        f"<resources base={quoteattr(base_url)}>{inner}</resources></application>"
    ).encode()
