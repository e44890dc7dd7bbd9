"""API tokens: a user name and a password for a token, and its end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from anyio import to_thread
from django.utils import timezone
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from accounts import second_factor
from accounts.auth import revoke_token, user_of_password
from accounts.models import ApiToken, User
from archive import access, audit
from archive.access import Actor
from archive.errors import ForbiddenError, InvalidInputError
from fastapi_app import auth, gate

router = APIRouter(prefix="/api/v1/auth", tags=["sign-in"])

_MOST_BODY_BYTES = 16 * 1024


class SignIn(BaseModel):
    """Who asks for a token."""

    username: str = Field(max_length=150)
    password: str = Field(max_length=1024)
    code: str = Field("", max_length=64, description="Of the second factor, where there is one.")
    scopes: list[Literal["read", "write"]] = Field(
        default=["read", "write"],
        max_length=2,
        description="'read' alone gives a token that changes nothing.",
    )
    days: int = Field(default=30, ge=1, le=365, description="How long it is good.")


@router.post(
    "/token",
    summary="Get a token for a user name and a password",
    max_body_size=_MOST_BODY_BYTES,
)
async def issue(request: Request, body: SignIn) -> Response:
    """Answer with a token that is shown this once and is good for 30 days, or as asked."""
    address = gate.address_of(request)
    return JSONResponse(await to_thread.run_sync(_issue, body, address))


def _issue(body: SignIn, address: str | None) -> dict[str, Any]:
    with gate.database():
        user = user_of_password(body.username, body.password, address=address)
        if user is None:
            raise auth.NotSignedInError("User name or password is wrong.")
        _check_code(user, body.code, address)
        expires_at = timezone.now() + timedelta(days=body.days)
        scopes = ["read", "write"] if "write" in body.scopes else ["read"]
        _, secret = ApiToken.issue(
            user, expires_at=expires_at, name="sign-in", is_read_only=scopes == ["read"]
        )
        audit.record(access.actor_of(user, address=address), "token.issue", user, scopes=scopes)
        return {"token": secret, "expires_at": expires_at.isoformat(), "scopes": scopes}


def _check_code(user: User, code: str, address: str | None) -> None:
    if second_factor.is_set_up(user):
        try:
            second_factor.check(user, code, address=address)
        except InvalidInputError as error:
            raise auth.NotSignedInError(
                "This account has a second factor: send its code, which is good once, as “code”."
            ) from error
    elif second_factor.is_required(user):
        raise ForbiddenError("Set up a second factor on the site first: sign in there.")


@router.delete("/token", summary="Revoke the token that the request carries", status_code=204)
async def revoke(request: Request) -> Response:
    """End the token of the Authorization header."""
    credential = auth.credential_of(request.headers.get("authorization"), None)

    def work(actor: Actor) -> None:
        if credential is None or credential.by != "token":
            raise InvalidInputError("Send the token to revoke: 'Authorization: Bearer <token>'.")
        revoke_token(credential.value)
        audit.record(actor, "token.revoke")

    await gate.serve(request, work)
    auth.forget()
    return Response(status_code=204)
