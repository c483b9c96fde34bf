"""The small languages inside a routes file: durations, sizes, rates, hosts, header names and values, networks."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

from hms_svc.core.routes.places import Place, Wrong
from hms_svc.core.routes.problems import shown
from hms_svc.core.windows import DAY_S, HOUR_S, MONTH_S

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SIZE = 1024 * 1024 * 1024
"""Bytes; 1 GiB."""
LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
"""One part of a host name; the underscore is no part of RFC 1123, and of many a compose file."""
HOST = rf"{LABEL}(?:\.{LABEL})*"
IPV6 = r"\[[0-9A-Fa-f:.]{2,45}\]"
MAX_HOST = 253

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_FIELD_VALUE = re.compile(r"(?:[\x21-\x7e\xa0-\xff](?:[\t\x20-\x7e\xa0-\xff]{0,8190}[\x21-\x7e\xa0-\xff])?)?")
_DURATION = re.compile(r"([1-9][0-9]{0,5})(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
_SIZE = re.compile(r"(0|[1-9][0-9]{0,9})(B|KB|kB|MB|GB|KiB|MiB|GiB)")
_BYTES = {
    "B": 1,
    "KB": 1_000,
    "kB": 1_000,
    "MB": 1_000_000,
    "GB": 1_000_000_000,
    "KiB": 1_024,
    "MiB": 1_024**2,
    "GiB": 1_024**3,
}
_RATE = re.compile(r"([1-9][0-9]{0,8})/([smhd]|month)")
PERIODS = {"s": 1, "m": 60, "h": HOUR_S, "d": DAY_S, "month": MONTH_S}
_HOST_PATTERN = re.compile(rf"(?:\*\.)?{HOST}")
_NETWORK = re.compile(r"[0-9A-Fa-f:.]{2,45}(?:/[0-9]{1,3})?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def duration(low: float, high: float, units: tuple[str, ...], what: str) -> Callable[[Place], float]:
    """A reader of a number of seconds, or of a whole number with one of ``units``; from ``low`` to ``high`` seconds."""

    def read(place: Place) -> float:
        value = place.value()
        if not isinstance(value, str):
            try:
                return place.number(low, high)
            except Wrong:
                raise place.expected(what) from None
        match = _DURATION.fullmatch(value)
        if match is None or match[2] not in units:
            raise place.expected(what)
        seconds = int(match[1]) * _SECONDS[match[2]]
        if not low <= seconds <= high:
            raise place.expected(what)
        return seconds

    return read


def size(place: Place) -> int:
    """A number of bytes, or a whole number with a unit, up to `MAX_SIZE`."""
    what = "a size such as 10MB or 5MiB, or a number of bytes, up to 1GiB"
    value = place.value()
    if not isinstance(value, str):
        try:
            return place.integer(0, MAX_SIZE)
        except Wrong:
            raise place.expected(what) from None
    match = _SIZE.fullmatch(value)
    if match is None or int(match[1]) * _BYTES[match[2]] > MAX_SIZE:
        raise place.expected(what)
    return int(match[1]) * _BYTES[match[2]]


def rate(place: Place) -> tuple[int, int]:
    """``30/m`` as 30 and 60."""
    match = place.matching(_RATE, "a rate such as 30/m (s, m, h, d or month)")
    return int(match[1]), PERIODS[match[2]]


def token(place: Place) -> str:
    """A header name (RFC 9110, section 5.1)."""
    return field_name(place.text("a header name"))


def field_name(name: str) -> str:
    """``name``, if it can be a header's (RFC 9110, section 5.1). Raises `Wrong`."""
    if not _TOKEN.fullmatch(name):
        raise Wrong(f"{shown(name)} is no header name: letters, digits and - as in X-Tenant")
    return name


def field_value(place: Place) -> str:
    """A header value that arrives as it is written (RFC 9110, section 5.5)."""
    text = place.text()
    if _FIELD_VALUE.fullmatch(text):
        return text
    if re.search(r"[\r\n\0]", text):
        raise Wrong(f"{shown(text)} holds a line break or NUL, which no header value may")
    if text != text.strip():
        raise Wrong(f"{shown(text)} begins or ends with a space, which does not arrive")
    raise Wrong(f"{shown(text)} is no header value: one line of ISO-8859-1 text, up to 8192 characters")


def method(place: Place) -> str:
    """A method, which is case-sensitive (RFC 9110, section 9.1)."""
    text = place.text("a method such as GET")
    if text == "CONNECT":
        raise Wrong("CONNECT opens tunnels, which a gateway does not")
    if not _METHOD.fullmatch(text):
        if _METHOD.fullmatch(text.upper()):
            raise Wrong(f"found {shown(text)}, expected a method in capitals: {text.upper()}")
        raise place.expected("a method such as GET")
    return text


def host(place: Place) -> str:
    """A host to match, lower case; a leading ``*.`` stands for one or more labels."""
    text = place.text("a host name")
    if text == "*":
        raise Wrong("found '*', expected a host name; leave host out to match any")
    if len(text) > MAX_HOST or not _HOST_PATTERN.fullmatch(text):
        hint = ", without a port" if ":" in text else ""
        raise place.expected(f"a host name such as api.agency.example or *.agency.example{hint}")
    return text.lower()


def refuse_password(url: str) -> None:
    """Raises `Wrong`, without repeating it, for a URL that holds a name or password."""
    if "@" in re.split(r"[/?#]", url.partition("//")[2], maxsplit=1)[0]:
        raise Wrong("the URL holds a name or password, which does not belong into this file")


def line(most: int) -> Callable[[Place], str]:
    """A reader of one line of text, not empty, at most ``most`` characters."""

    def read(place: Place) -> str:
        text = place.text()
        if not text or len(text) > most or _CONTROL.search(text) or text != text.strip(" "):
            raise place.expected(f"one line of text, at most {most} characters, no space at its ends")
        return text

    return read


def prose(place: Place) -> str:
    """Text of any form, up to 4,000 characters."""
    text = place.text()
    if len(text) > 4_000:  # noqa: PLR2004  (a page)
        raise place.expected("text of at most 4000 characters")
    return text


def query_text(place: Place) -> str:
    """The value of a query parameter, decoded."""
    return query_name(place.text())


def query_name(text: str) -> str:
    """``text``, if it can be a decoded query parameter's name or value. Raises `Wrong`."""
    if len(text) > 1_000 or _CONTROL.search(text):  # noqa: PLR2004  (bounded like every input)
        raise Wrong(f"{shown(text)} is no query parameter: at most 1000 characters, decoded, no control characters")
    return text


def network(place: Place) -> str:
    """A network in CIDR form, or one address."""
    what = "a network such as 10.0.0.0/8 or 2001:db8::/32, or one address"
    text = place.matching(_NETWORK, what).group()
    try:
        whole = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise place.expected(what) from None
    if ipaddress.ip_address(text.partition("/")[0]) != whole.network_address:
        raise place.expected(f"the network itself: {whole}")
    return str(whole)
