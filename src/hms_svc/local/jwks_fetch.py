"""One JWK Set fetched from its issuer: which addresses may be asked, and what an answer must be to be believed.

TLS always, but for loopback addresses; no redirects, no proxies or credentials from the environment, bounds on time and
size. An issuer without ``jwks_uri`` is found by OpenID Connect Discovery 1.0, section 4.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hms_svc.core.credentials.strict_json import parse_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from requests import Response, Session

    from hms_svc.core.model import Issuer

MAX_BYTES = 524_288
MAX_KEYS = 100
TIMEOUT_S = 5
"""To connect, and between two pieces of an answer."""
FRESH_S, MIN_FRESH_S, MAX_FRESH_S = 300, 60, 3600
"""How long a set is kept: without a word of the issuer, and the bounds of what ``max-age`` may say."""
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})(?![\d])", re.IGNORECASE)
_NO_KEEPING = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)
_PIECE = 16_384


class FetchFailed(Exception):  # noqa: N818  (named for what it means)
    """No usable set came. The message is for the record."""


def fetch_keys(issuer: Issuer, ca_file: Path | None = None) -> tuple[list[Mapping[str, Any]], int]:
    """The keys of the issuer's set, and for how many seconds they are fresh. Blocks. Raises `FetchFailed`."""
    import requests

    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(ca_file) if ca_file else True
        session.headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            document, cache_control = _get(session, issuer.jwks_uri or _discover(session, issuer))
        except (requests.RequestException, OSError, ValueError) as error:
            raise FetchFailed(f"fetching them failed with {type(error).__name__}") from error
    keys = document.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise FetchFailed("what came is no JWK Set")
    if len(keys) > MAX_KEYS:
        raise FetchFailed(f"the set has more than {MAX_KEYS} keys")
    return keys, freshness(cache_control)


def freshness(cache_control: str) -> int:
    """Seconds that an answer with this ``Cache-Control`` is kept (RFC 9111, section 5.2.2), within our bounds."""
    if _NO_KEEPING.search(cache_control):
        return MIN_FRESH_S
    given = _MAX_AGE.search(cache_control)
    return min(max(int(given[1]), MIN_FRESH_S), MAX_FRESH_S) if given else FRESH_S


def is_allowed(url: str) -> bool:
    """Whether keys may be fetched from ``url``: over TLS, or from this machine itself."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        return False
    if not host or parts.username is not None or parts.fragment:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _discover(session: Session, issuer: Issuer) -> str:
    document, _ = _get(session, issuer.issuer.removesuffix("/") + "/.well-known/openid-configuration")
    if document.get("issuer") != issuer.issuer:
        raise FetchFailed("the discovery document speaks of another issuer")
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise FetchFailed("the discovery document has no jwks_uri")
    return jwks_uri


def _get(session: Session, url: str) -> tuple[dict[str, Any], str]:
    """The JSON object at ``url`` and its ``Cache-Control``."""
    if not is_allowed(url):
        raise FetchFailed("its address is neither https nor on this machine")
    with session.get(url, timeout=TIMEOUT_S, allow_redirects=False, stream=True) as response:
        if response.status_code != 200:  # noqa: PLR2004  (OK)
            raise FetchFailed(f"{urlsplit(url).path} is answered with status {response.status_code}")
        text = _content(response)
        cache_control = response.headers.get("Cache-Control", "")
    try:
        return parse_object(text), cache_control
    except ValueError as error:
        raise FetchFailed(f"{urlsplit(url).path} cannot be read: {error}") from None


def _content(response: Response) -> bytes:
    text = b""
    for piece in response.iter_content(_PIECE):
        text += piece
        if len(text) > MAX_BYTES:
            raise FetchFailed(f"the answer is larger than {MAX_BYTES} bytes")
    return text
