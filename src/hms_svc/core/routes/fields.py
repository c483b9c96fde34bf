"""One route of a routes file: its mapping read into a `Route`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from hms_svc.core.config import Condition, PolicyUse, Requirements, Route
from hms_svc.core.model import EMPTY
from hms_svc.core.policy import Policy
from hms_svc.core.policy_loader import PolicyLoadError
from hms_svc.core.routes.actions import ACTIONS, ONLY_WITH_FORWARD, action
from hms_svc.core.routes.headers import cors, request_edits, response_edits
from hms_svc.core.routes.limits import limits
from hms_svc.core.routes.paths import pattern
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.texts import (
    field_name,
    field_value,
    host,
    line,
    method,
    prose,
    query_name,
    query_text,
    size,
)

if TYPE_CHECKING:
    from hms_svc.core.routes.places import Fields, Place, Readers

PolicyBuilder = Callable[[str, Mapping[str, Any]], Policy]
"""A policy from its name in the file and its options; raises `PolicyLoadError`."""
MATCHING = ("path", "host", "methods", "headers", "query")
"""The keys that decide which requests a route serves."""
ROUTE_KEYS = (
    *("name", "description", *MATCHING, *ACTIONS, "auth", "api_key", "require", "rate_limit", "policies"),
    *(*ONLY_WITH_FORWARD, "request_headers", "response_headers", "cors", "max_body", "audit"),
)
SCHEMES = ("oauth", "api_key", "mtls")
_SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,256}")
_PARAMETER = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
_USE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*[.:][A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class RouteRead:
    """A route, and what only its place in the file tells."""

    route: Route
    fields: Fields
    can_match: bool
    """Whether everything that decides which requests it serves was read without a problem."""

    @property
    def place(self) -> Place:
        """Where the route stands."""
        return self.fields.place


def read_route(place: Place, build_policy: PolicyBuilder) -> RouteRead:
    """The route at ``place``. What is wrong with its keys is noted; raises `Wrong` if it is no mapping."""
    fields = place.fields(ROUTE_KEYS, "a route")
    before = place.found.count
    path = fields.need("path", pattern, "/", "write the path to serve, such as /claims/*")
    matching = fields.given(_MATCHING)
    can_match = place.found.count == before and fields.is_sound
    why = "there is no default, so that no path is open by accident: write one of none, oauth, api_key, mtls"
    auth = fields.need("auth", _auth, (), why)
    if "require" in fields and "auth" in fields and fields.at("auth").holds("none"):
        fields.at("require").report("needs a caller who is known, but auth is none")
    key_query = fields.get("api_key", _api_key, None)
    is_auth_read = bool(auth) or ("auth" in fields and fields.at("auth").holds("none"))
    if "api_key" in fields and is_auth_read and "api_key" not in auth:
        fields.at("api_key").report("needs auth: api_key, alone or in a list")
    if any(condition.name == key_query for condition in matching.get("query", ())):
        fields.at("query").report(f"{key_query} carries API keys, so it cannot decide which requests the route serves")
    route = Route(
        path=path,
        action=action(fields),
        auth=auth,
        api_key_query=key_query,
        policies=fields.get("policies", lambda at: _policies(at, build_policy), ()),
        limits=fields.get("rate_limit", limits, ()),
        **{"name": "", **matching, **fields.given(_READERS)},
    )
    return RouteRead(route, fields, can_match)


def _auth(place: Place) -> tuple[str, ...]:
    """The credentials accepted; empty for ``none``."""
    if not place.is_list():
        scheme = place.one_of(("none", *SCHEMES))
        return () if scheme == "none" else (scheme,)
    if any(item.holds("none") for item in place.each()):
        raise Wrong("none cannot stand in a list: it would open the path to everybody; write auth: none to mean that")
    return place.items(lambda item: item.one_of(SCHEMES))


def _api_key(place: Place) -> str | None:
    """The query parameter that may carry a key."""
    fields = place.fields(("query",), "api_key")
    what = "the name of a query parameter such as api_key: letters, digits, _, ., ~ and -, at most 64"
    why = "write the name of the query parameter that may carry a key; the header does without this setting"
    return fields.need("query", lambda at: at.matching(_PARAMETER, what).group(), None, why)


def _methods(place: Place) -> frozenset[str]:
    return frozenset(place.items(method))


def _headers(place: Place) -> tuple[Condition, ...]:
    pairs = place.pairs(field_name, _values(field_value), "a mapping of header names to the values they must have")
    names = [name.lower() for name, _ in pairs]
    for name, _ in pairs:
        if names.count(name.lower()) > 1:
            raise Wrong(f"{name} is there twice; header names have no case")
    return _conditions(pairs)


def _query(place: Place) -> tuple[Condition, ...]:
    what = "a mapping of query parameters to the values they must have"
    return _conditions(place.pairs(query_name, _values(query_text), what))


def _values(reader: Callable[[Place], str]) -> Callable[[Place], frozenset[str]]:
    return lambda place: frozenset(place.one_or_more(reader))


def _conditions(pairs: tuple[tuple[str, frozenset[str]], ...]) -> tuple[Condition, ...]:
    return tuple(Condition(name, values) for name, values in sorted(pairs, key=lambda pair: pair[0]))


def _require(place: Place) -> Requirements:
    fields = place.fields(("scopes", "claims", "any_of"), "require")
    if not any(key in fields for key in ("scopes", "claims", "any_of")):
        raise Wrong("requires nothing; give it scopes, claims or any_of")
    alternatives = fields.get("any_of", lambda at: at.items(_alternative, unique=False), ())
    return replace(_needed(fields), any_of=alternatives)


def _alternative(place: Place) -> Requirements:
    fields = place.fields(("scopes", "claims"), "one of any_of")
    if "scopes" not in fields and "claims" not in fields:
        raise Wrong("requires nothing, so anybody would pass; give it scopes or claims")
    return _needed(fields)


def _needed(fields: Fields) -> Requirements:
    scopes = fields.get("scopes", lambda at: at.items(_scope), ())
    what = "a mapping of claims to the values they may have"
    claims = fields.get("claims", lambda at: at.pairs(_claim_name, _claim_values, what), ())
    return Requirements(frozenset(scopes), MappingProxyType(dict(claims)))


def _scope(place: Place) -> str:
    return place.matching(_SCOPE, "a scope such as claims:read, without spaces").group()


def _claim_name(name: str) -> str:
    if not 0 < len(name) <= 200:  # noqa: PLR2004  (bounded like every input)
        raise Wrong("a claim's name has 1 to 200 characters")
    return name


def _claim_values(place: Place) -> tuple[Any, ...]:
    return place.one_or_more(_claim_value, unique=False)


def _claim_value(place: Place) -> str | int | float | bool:
    value = place.value()
    if value is None:
        raise place.expected("text, a number, true or false")
    return value


def _policies(place: Place, build: PolicyBuilder) -> tuple[PolicyUse, ...]:
    return place.items(lambda item: _policy(item, build), unique=False)


def _policy(place: Place, build: PolicyBuilder) -> PolicyUse:
    if not place.is_mapping():
        return _built(_use(place), EMPTY, build)
    fields = place.fields(("use", "with"), "a policy")
    before = place.found.count
    use = fields.need("use", _use, "", "name the class as module.Class or pkg.module:Class")
    options = MappingProxyType(fields.get("with", _options, dict[str, Any]()))
    if place.found.count > before:
        return PolicyUse(use, Policy(), options)
    return _built(use, options, build)


def _use(place: Place) -> str:
    return place.matching(_USE, "a policy as module.Class or pkg.module:Class").group()


def _options(place: Place) -> dict[str, Any]:
    if not place.is_mapping():
        raise place.expected("a mapping of the constructor's options")
    options: dict[str, Any] = place.plain()
    return options


def _built(use: str, options: Mapping[str, Any], build: PolicyBuilder) -> PolicyUse:
    try:
        return PolicyUse(use, build(use, deepcopy(dict(options))), options)
    except PolicyLoadError as error:
        raise Wrong(str(error)) from None


_MATCHING: Readers = {"host": host, "methods": _methods, "headers": _headers, "query": _query}
_READERS: Readers = {
    "name": line(200),
    "description": prose,
    "require": _require,
    "cors": cors,
    "request_headers": request_edits,
    "response_headers": response_edits,
    "max_body": size,
    "audit": lambda place: place.one_of(("required", "best_effort")),
}
