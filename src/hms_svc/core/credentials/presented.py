"""What one request brings to prove who calls, and the one exception for a credential that is no good."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from hms_svc.core.config import Config, Route
    from hms_svc.core.credentials.bearer import Authorization
    from hms_svc.core.model import Request

KEY_DIGITS = 32
"""Hexadecimal digits of a credential's SHA-256 that tell buckets apart."""


class CredentialInvalid(Exception):  # noqa: N818  (named for what it means)
    """A credential that is there and no good. The message is for the record and never holds the credential."""


class Presented(NamedTuple):
    """What one request brings, and what it is held against."""

    request: Request
    authorization: Authorization | None
    route: Route
    config: Config
    api_key: tuple[str, str] | None = None
    """The one API key, if the route accepts any, and its place (`key_places.the_key`)."""
