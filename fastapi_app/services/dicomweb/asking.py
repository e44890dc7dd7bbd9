"""What every DICOMweb request has: what is acceptable, where it came in, what it may not be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request

from fastapi_app.services.dicomweb import media
from fastapi_app.services.dicomweb.media import Choice, MediaRange, Offer

PREFIX = "/dicom-web"


def bad_request(detail: str) -> HTTPException:
    """Return the error for a request that cannot be read (400)."""
    return HTTPException(HTTPStatus.BAD_REQUEST, detail)


def not_acceptable(offers: Sequence[Offer]) -> HTTPException:
    """Return the error that lists what there is (406)."""
    there = ", ".join(str(offer) for offer in offers)
    return HTTPException(
        HTTPStatus.NOT_ACCEPTABLE, f"None of the media types in Accept is there. There is: {there}."
    )


def too_large(detail: str) -> HTTPException:
    """Return the error for an answer past a limit (413)."""
    return HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, detail)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as far as negotiation and addresses go.

    Attributes
    ----------
    base_url : of the service, such as ``https://pacs.example.org/dicom-web``
    ranges : what the caller takes
    parameters : of the query, in their order, some repeated
    headers : of the request, by names in lower case
    """

    base_url: str
    ranges: Sequence[MediaRange]
    parameters: Sequence[tuple[str, str]]
    headers: Mapping[str, str]

    @classmethod
    def of(cls, request: Request) -> Asked:
        """Read a request.

        Raises
        ------
        HTTPException
            400, when its Accept cannot be read.
        """
        parameters = request.query_params.multi_items()
        try:
            given = [value for name, value in parameters if name == "accept"]
            if given:
                ranges = media.parse_parameter(",".join(given))
            else:
                ranges = media.parse(",".join(request.headers.getlist("accept")))
        except media.MediaError as error:
            raise bad_request(str(error)) from error
        base = f"{request.url.scheme}://{request.url.netloc}{PREFIX}"
        rest = [pair for pair in parameters if pair[0] != "accept"]
        return cls(base, ranges, rest, dict(request.headers))

    def choose(self, offers: Sequence[Offer]) -> Choice:
        """Return what the caller likes best of what there is.

        Raises
        ------
        HTTPException
            406, with the list of what there is.
        """
        for choice in self.choices(offers):
            return choice
        raise not_acceptable(offers)

    def choices(self, offers: Sequence[Offer]) -> list[Choice]:
        """Return everything that the caller takes, the best first; see `media.choices`."""
        return media.choices(self.ranges, offers)

    def value(self, name: str) -> str | None:
        """Return the value of a parameter; None where it is not there.

        Raises
        ------
        HTTPException
            400, when it is there twice.
        """
        found = [value for one, value in self.parameters if one == name]
        if len(found) > 1:
            raise bad_request(f"'{name}' is given {len(found)} times; give it once.")
        return found[0] if found else None
