"""Settings of a routes file that all routes share: ``issuers``, ``api_keys`` and ``trusted_proxies``."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from hms_svc.core.config import MAX_ISSUERS, Issuer
from hms_svc.core.forward import HOP_BY_HOP, SET_BY_THE_GATEWAY
from hms_svc.core.routes.introspection import introspection
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.problems import shown
from hms_svc.core.routes.texts import HOST, duration, line, network, refuse_password, token

if TYPE_CHECKING:
    from hms_svc.core.routes.places import Place, Readers

ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519", "Ed448"),
)
MAX_LEEWAY_S = 300
MAX_LIFETIME_S = 365 * 86_400
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_LOOPBACK = r"(?:localhost|127\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}|\[::1\])"
_PORT = r"(?::[1-9][0-9]{0,4})?"
_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?"
_ISSUER = re.compile(rf"(?:https://{HOST}|http://{_LOOPBACK}){_PORT}{_PATH}")
_JWKS_URI = re.compile(rf"{_ISSUER.pattern}(?:\?[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*)?")
_MAX_URL = 1_000
_TYP = re.compile(r"(?i:application/)?[A-Za-z0-9!#$&^_.+-]{1,127}")
_WITH_A_MEANING = re.compile(
    r"accept.*|access-control-.*|authorization|baggage|cache-control|content-.*|cookie|date|dnt|dpop|from|if-.*|"
    r"last-event-id|link|max-forwards|origin|pragma|prefer|priority|proxy-.*|range|referer|sec-.*|server|set-cookie|"
    r"signature.*|upgrade-.*|user-agent|via|warning|www-authenticate|x-amz.*|x-b3-.*|x-client-cert.*|x-correlation-id|"
    r"x-forwarded.*|x-hms-.*|x-http-method.*|x-requested-with"
)
"""Fields, beside those of one connection, that clients, proxies and this gateway use for something else."""


def trusted_proxies(place: Place) -> tuple[str, ...]:
    """The networks whose word on a caller's address is believed."""
    return place.items(network)


def api_key_header(place: Place) -> str | None:
    """The field that carries API keys; None when nothing is said of it."""
    fields = place.fields(("header",), "api_keys")
    why = "write the header that carries API keys, such as X-Agency-Key"
    return fields.need("header", _header_for_keys, None, why)


def _header_for_keys(place: Place) -> str:
    name = token(place)
    plain = name.lower().replace("_", "-")
    if plain in HOP_BY_HOP | SET_BY_THE_GATEWAY or _WITH_A_MEANING.fullmatch(plain):
        raise Wrong(f"{shown(name)} has a meaning of its own; name a header for keys alone, such as X-Agency-Key")
    return name


def issuers(place: Place) -> tuple[Issuer, ...]:
    """Who may sign tokens, by the name the file gives them."""
    named = place.pairs(_name, lambda at: (at, _issuer(at)), "a mapping of names to issuers")
    if len(named) > MAX_ISSUERS:
        raise Wrong(f"has {len(named)} issuers, at most {MAX_ISSUERS} are allowed")
    seen: dict[str, str] = {}
    for name, (at, issuer) in named:
        if issuer.issuer and issuer.issuer in seen:
            at.report(f"has the same issuer as issuers.{seen[issuer.issuer]}; give that one a list of audiences")
        seen.setdefault(issuer.issuer, name)
    _one_introspection(named)
    return tuple(replace(issuer, name=name) for name, (_, issuer) in named)


def _one_introspection(named: tuple[tuple[str, tuple[Place, Issuer]], ...]) -> None:
    asked = [(name, at.below("introspection")) for name, (at, _) in named if at.has("introspection")]
    for _, at in asked[1:]:
        at.report(
            f"issuers.{asked[0][0]} has introspection too, and only one issuer can: an opaque token does not say whose "
            "it is, and showing it to another issuer would give it away"
        )


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise Wrong(f"{shown(text)} is no name: letters, digits, ., _ and -, at most 64")
    return text


def _issuer(place: Place) -> Issuer:
    fields = place.fields(("issuer", "audience", *_ISSUER_READERS), "an issuer")
    url = fields.need("issuer", _issuer_url, "", "write the iss of its tokens, such as https://login.agency.example/")
    why = "write the aud that tokens for this gateway carry; without one, tokens for others would be good here"
    audience = fields.need("audience", lambda at: at.one_or_more(line(500)), (), why)
    given = fields.given(_ISSUER_READERS)
    for key in ("algorithms", "jwks_uri", "typ"):
        if "introspection" in fields and key in fields:
            fields.at(key).report("has no effect beside introspection, which reads no token; leave one out")
    return Issuer("", url, audience, **{_FIELD_OF.get(key, key): value for key, value in given.items()})


def _issuer_url(place: Place) -> str:
    return _url(place, _ISSUER, "an https URL such as https://login.agency.example/, without query or fragment")


def _jwks_uri(place: Place) -> str:
    return _url(place, _JWKS_URI, "an https URL such as https://login.agency.example/keys, without fragment")


def _introspection_url(place: Place) -> str:
    return _url(place, _JWKS_URI, "an https URL such as https://login.agency.example/introspect, without fragment")


def _url(place: Place, pattern: re.Pattern[str], what: str) -> str:
    text = place.text(what)
    refuse_password(text)
    if len(text) > _MAX_URL or not pattern.fullmatch(text):
        hint = "; http is for loopback hosts only" if text.startswith("http://") else ""
        raise place.expected(what + hint)
    return text


def _algorithm(place: Place) -> str:
    text = place.text("one of " + ", ".join(ALGORITHMS))
    if text.lower() == "none":
        raise Wrong("none would accept tokens that nobody signed")
    if text in {"HS256", "HS384", "HS512"}:
        raise Wrong(f"{text} needs a shared secret, and one in a routes file is no secret; use RS256 or ES256")
    return place.one_of(ALGORITHMS)


def _typ(place: Place) -> str:
    text = place.matching(_TYP, "a media type such as at+jwt").group().lower()
    return text.removeprefix("application/")


_ISSUER_READERS: Readers = {
    "algorithms": lambda place: place.items(_algorithm),
    "jwks_uri": _jwks_uri,
    "audience_claim": line(200),
    "typ": lambda place: place.one_or_more(_typ),
    "leeway": duration(0, MAX_LEEWAY_S, ("s", "m"), "a duration such as 10s or 1m, up to 5m"),
    "max_lifetime": duration(1, MAX_LIFETIME_S, ("s", "m", "h"), "a duration such as 15m or 12h, up to 8760h"),
    "certificate_bound": lambda place: place.boolean(),
    "introspection": lambda place: introspection(place, _introspection_url),
}
_FIELD_OF = {"leeway": "leeway_s", "max_lifetime": "max_lifetime_s"}
