"""The JWK Set of one issuer over HTTP: where it is, what an answer must be to be believed, and how long it is fresh.

An issuer without ``jwks_uri`` is found by OpenID Connect Discovery 1.0, section 4. The address is remembered for a
while, and so is the version that came last, so that a fetch costs one request, and little where nothing has changed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hms_svc.core.credentials.strict_json import parse_object
from hms_svc.local.bounded_get import BoundedGet, FetchFailed, is_as_safe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from hms_svc.core.config import Issuer
    from hms_svc.core.ports import Clock
    from hms_svc.local.bounded_get import Answer

    Keys = list[Mapping[str, Any]]

MAX_KEYS = 100
MAX_ETAG = 256
BUDGET_S = 10.0
"""For a whole fetch: discovery, redirects and the set."""
FRESH_S, MIN_FRESH_S, MAX_FRESH_S = 300, 60, 3600
"""How long a set is kept: without a word of the issuer, and the bounds of what it may say."""
DISCOVERED_S = 3600
"""How long an address that was discovered is used without a look at the discovery document."""
_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?(\d{1,9})(?![\d])", re.IGNORECASE)
_NO_KEEPING = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE)
_SECONDS = re.compile(r"\d{1,9}")
_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Version:
    """The set that came last, and what its issuer said of it."""

    url: str
    etag: str | None
    cache_control: str
    keys: Keys


class SetFetch:
    """Fetches one issuer's set, whenever it is called."""

    def __init__(
        self, issuer: Issuer, clock: Clock, *, ca_file: Path | None = None, budget_s: float = BUDGET_S
    ) -> None:
        """``ca_file``: authorities to trust for TLS instead of the usual ones, in PEM."""
        self._issuer, self._clock = issuer, clock
        self._ca_file, self._budget_s = ca_file, budget_s
        self._discovered: tuple[str, int] | None = None
        self._last: _Version | None = None

    def __call__(self) -> tuple[Keys, int]:
        """The keys of the issuer's set, and for how many seconds they are fresh. Blocks. Raises `FetchFailed`.

        Keys that have not changed since the last call are the same object, where the issuer says so.
        """
        get = BoundedGet(self._budget_s, self._ca_file)
        known = self._issuer.jwks_uri or self._remembered()
        if known is None:
            return self._fetch(get, self._discover(get))
        try:
            return self._fetch(get, known)
        except FetchFailed:
            self._discovered = None
            if self._issuer.jwks_uri is not None or (found := self._discover(get)) == known:
                raise
        return self._fetch(get, found)

    def _remembered(self) -> str | None:
        if self._discovered is None or self._clock.monotonic_ns() >= self._discovered[1] + DISCOVERED_S * _S:
            return None
        return self._discovered[0]

    def _discover(self, get: BoundedGet) -> str:
        document = _json(get(self._issuer.issuer.removesuffix("/") + "/.well-known/openid-configuration"))
        if document.get("issuer") != self._issuer.issuer:
            raise FetchFailed("the discovery document speaks of another issuer")
        jwks_uri = document.get("jwks_uri")
        if not isinstance(jwks_uri, str):
            raise FetchFailed("the discovery document has no jwks_uri")
        if not is_as_safe(jwks_uri, self._issuer.issuer):
            raise FetchFailed("the discovery document, which came over TLS, names a jwks_uri without")
        self._discovered = (jwks_uri, self._clock.monotonic_ns())
        return jwks_uri

    def _fetch(self, get: BoundedGet, url: str) -> tuple[Keys, int]:
        last = self._last
        answer = get(url, {last.url: last.etag} if last and last.etag else None)
        if answer.body is None and last is not None:
            last = replace(last, cache_control=answer.fields.get("cache-control", last.cache_control))
        else:
            last = _Version(answer.url, _etag(answer), answer.fields.get("cache-control", ""), _members(_json(answer)))
        self._last = last
        return last.keys, freshness(last.cache_control, answer.fields.get("age", ""))


def freshness(cache_control: str, age: str = "") -> int:
    """Seconds that an answer with this ``Cache-Control`` and ``Age`` is kept, within our bounds.

    RFC 9111, sections 4.2 and 5.2.2. ``Expires`` is not looked at.
    """
    if _NO_KEEPING.search(cache_control):
        return MIN_FRESH_S
    given = _MAX_AGE.search(cache_control)
    if given is None:
        return FRESH_S
    passed = int(age) if _SECONDS.fullmatch(age) else 0
    return min(max(int(given[1]) - passed, MIN_FRESH_S), MAX_FRESH_S)


def _etag(answer: Answer) -> str | None:
    etag = answer.fields.get("etag", "")
    return etag if etag and len(etag) <= MAX_ETAG and etag.isascii() and etag.isprintable() else None


def _json(answer: Answer) -> dict[str, Any]:
    try:
        return parse_object(answer.body or b"")
    except ValueError as error:
        raise FetchFailed(f"{urlsplit(answer.url).path} cannot be read: {error}") from None


def _members(document: dict[str, Any]) -> Keys:
    keys = document.get("keys")
    if not isinstance(keys, list):
        raise FetchFailed("what came is no JWK Set")
    if len(keys) > MAX_KEYS:
        raise FetchFailed(f"the set has more than {MAX_KEYS} keys")
    return [key if isinstance(key, dict) else {} for key in keys]  # what is no key is told and skipped like others
