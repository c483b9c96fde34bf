"""Keys of a route that are about header lines: ``request_headers``, ``response_headers`` and ``cors``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.core.config import Cors, HeaderEdits
from hms_svc.core.forward import HOP_BY_HOP, is_the_callers, plain
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.problems import shown
from hms_svc.core.routes.texts import HOST, IPV6, duration, field_name, field_value, method, token

if TYPE_CHECKING:
    from collections.abc import Callable

    from hms_svc.core.routes.places import Place, Readers

_FRAMING = frozenset({"content-length", "transfer-encoding"})
_ORIGIN = re.compile(rf"https?://(?:(?:\*\.)?{HOST}|{IPV6})(?::[1-9][0-9]{{0,4}})?")
_DEFAULT_PORT = re.compile(r"http://.*:80|https://.*:443")


def request_edits(place: Place) -> HeaderEdits:
    """Changes to what the service sees."""
    return _edits(place, _editable_in_requests)


def response_edits(place: Place) -> HeaderEdits:
    """Changes to what the caller sees."""
    return _edits(place, _editable_in_responses)


def _edits(place: Place, name: Callable[[str], str]) -> HeaderEdits:
    fields = place.fields(("set", "add", "remove"), place.key.rpartition(".")[2])
    if not any(key in fields for key in ("set", "add", "remove")):
        raise Wrong("changes nothing; give it set, add or remove")
    what = "a mapping of header names to values"

    def one_each(at: Place) -> tuple[tuple[str, str], ...]:
        return at.pairs(name, field_value, what)

    def several_each(at: Place) -> tuple[tuple[str, str], ...]:
        pairs = at.pairs(name, lambda value: value.one_or_more(field_value, unique=False), what)
        return tuple((header, value) for header, values in pairs for value in values)

    removed = fields.get("remove", lambda at: at.items(lambda item: name(item.text("a header name"))), ())
    return HeaderEdits(frozenset(removed), fields.get("set", one_each, ()), fields.get("add", several_each, ()))


def _editable_in_requests(name: str) -> str:
    if not is_the_callers(field_name(name)):
        hint = "; see rewrite_host" if plain(name) == "host" else ""
        raise Wrong(f"{shown(name)} is set by the gateway alone and cannot be edited{hint}")
    return name


def _editable_in_responses(name: str) -> str:
    plain = field_name(name).lower()
    if plain in HOP_BY_HOP | _FRAMING or plain == "x-request-id":
        raise Wrong(f"{shown(name)} is set by the gateway alone and cannot be edited")
    return name


def cors(place: Place) -> Cors:
    """Who may read answers from a browser."""
    fields = place.fields(("origins", "methods", "headers", "expose", "credentials", "max_age"), "cors")
    seconds = duration(0, 86_400, ("s", "m", "h"), "a whole number of seconds or a duration such as 10m, up to 24h")
    why = "write the origins that may read answers, such as [https://www.agency.example]"
    origins = fields.need("origins", lambda at: at.items(_origin), (), why)
    given = fields.given({**_CORS, "max_age": lambda at: _whole(at, seconds(at))})
    if "max_age" in given:
        given["max_age_s"] = given.pop("max_age")
    value = Cors(origins, **given)
    for key in ("origins", "headers", "expose"):
        if value.credentials and "*" in getattr(value, key):
            fields.at(key).report("'*' cannot stand beside credentials: true; name them")
    return value


def _whole(place: Place, seconds: float) -> int:
    if seconds != int(seconds):
        raise place.expected("a whole number of seconds")
    return int(seconds)


def _origin(place: Place) -> str:
    text = place.text("an origin such as https://www.agency.example")
    if text == "*":
        return text
    if text.endswith("/") and _ORIGIN.fullmatch(text.rstrip("/")):
        raise Wrong(f"{shown(text)} ends with a slash; an origin has no path: {text.rstrip('/')}")
    if not _ORIGIN.fullmatch(text) or text != text.lower():
        raise place.expected(
            "an origin such as https://www.agency.example, https://*.agency.example or '*', in small letters"
        )
    if _DEFAULT_PORT.fullmatch(text):
        raise Wrong(f"{shown(text)} has its scheme's own port, which browsers leave out; leave it out here too")
    return text


_CORS: Readers = {
    "methods": lambda place: place.items(method),
    "headers": lambda place: place.items(token),
    "expose": lambda place: place.items(token),
    "credentials": lambda place: place.boolean(),
}
