"""``client_certificates`` of a routes file: whose certificates are, and which are not believed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.core.config import CertificateRule, ClientCertificates, RevokedCertificate
from hms_svc.core.credentials.certificate_names import COMPARED, NAMES
from hms_svc.core.credentials.distinguished_names import canonical
from hms_svc.core.credentials.scopes import is_scope
from hms_svc.core.routes.places import Wrong
from hms_svc.core.routes.texts import line

if TYPE_CHECKING:
    from hms_svc.core.routes.places import Fields, Place, Readers

KINDS = ("subject", "cn", "dns", "email", "uri")
_SERIAL = re.compile(r"[0-9A-Fa-f]{1,64}|[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{2}){1,31}")
_MAX_DN = 1_000


def client_certificates(place: Place) -> ClientCertificates:
    """What the file says of client certificates."""
    fields = place.fields(("name", "callers", "revoked"), "client_certificates")
    given = fields.given(
        {
            "name": lambda at: at.one_of(KINDS),
            "callers": _callers,
            "revoked": lambda at: frozenset(at.items(_revoked, unique=False)),
        }
    )
    return ClientCertificates(**given)


def _callers(place: Place) -> tuple[CertificateRule, ...]:
    rules = place.items(lambda item: (item, _rule(item)), unique=False)
    first: dict[tuple[str, str, str], Place] = {}
    for at, rule in rules:
        earlier = first.setdefault((rule.kind, rule.pattern, rule.issuer), at)
        if earlier is not at and rule.pattern:
            at.report(f"is for the same certificates as {earlier.key}, which comes first")
    return tuple(rule for _, rule in rules)


def _rule(place: Place) -> CertificateRule:
    fields = place.fields((*KINDS, "issuer", "name", "scopes"), "a caller")
    kind, pattern = _pattern(fields)
    name = fields.need("name", line(255), "", "write what the caller is to be called")
    scopes = fields.get("scopes", lambda at: at.items(_scope), ())
    return CertificateRule(kind, pattern, name, frozenset(scopes), fields.get("issuer", _dn, ""))


def _pattern(fields: Fields) -> tuple[str, str]:
    given = [kind for kind in KINDS if kind in fields]
    if len(given) != 1:
        if given or fields.is_sound:
            found = f"found {' and '.join(given)}" if given else "found none"
            fields.place.report(f"{found}, expected exactly one of {', '.join(KINDS)}")
        return "", ""
    kind = given[0]
    return kind, fields.get(kind, _PATTERNS[kind], "")


def _dn(place: Place) -> str:
    what = "a distinguished name such as CN=reporting,O=Agency"
    text = place.text(what)
    if len(text) > _MAX_DN:
        raise place.expected(f"{what}, at most {_MAX_DN} characters")
    try:
        return canonical(text)
    except ValueError as error:
        raise Wrong(f"{place.expected(what)}: {error}") from None


def _cn(place: Place) -> str:
    text = line(255)(place)
    if "*" in text:
        raise place.expected("a common name; only dns and uri take a *")
    return text


def _dns(place: Place) -> str:
    what = "a dns name such as batch.agency.example, or *.agency.example where any one label may stand"
    text = place.text(what)
    if not NAMES["dns"].fullmatch(text.removeprefix("*.")):
        raise place.expected(what)
    return COMPARED["dns"](text)


def _email(place: Place) -> str:
    what = "an e-mail address such as batch@agency.example; only dns and uri take a *"
    text = place.text(what)
    if "*" in text or not NAMES["email"].fullmatch(text):
        raise place.expected(what)
    return COMPARED["email"](text)


def _uri(place: Place) -> str:
    what = "a uri such as spiffe://agency.example/batch, or …/* where any one segment may stand"
    text = place.text(what)
    plain = text.removesuffix("/*")
    if "*" in plain or not NAMES["uri"].fullmatch(plain) or (plain != text and plain.endswith("/")):
        raise place.expected(what)
    return text


def _scope(place: Place) -> str:
    what = "a scope such as claims:read, without spaces"
    text = place.text(what)
    if len(text) > 256 or not is_scope(text):  # noqa: PLR2004  (bounded like every input)
        raise place.expected(what)
    return text


def _revoked(place: Place) -> RevokedCertificate:
    if not place.is_mapping():
        return RevokedCertificate(_serial(place))
    fields = place.fields(("serial", "issuer"), "a revoked certificate")
    serial = fields.need("serial", _serial, "", "write its serial number")
    return RevokedCertificate(serial, fields.get("issuer", _dn, ""))


def _serial(place: Place) -> str:
    """As `ClientCertificate` has it: whole bytes without a sign byte, whoever wrote it with colons or without."""
    what = "a serial number in hexadecimal and in quotes, such as '0AF3' or '0a:f3'"
    if not isinstance(place.value(), str):
        raise place.expected(what)
    digits = place.matching(_SERIAL, what).group().replace(":", "").upper().lstrip("0") or "0"
    return digits.zfill(len(digits) + len(digits) % 2)


_PATTERNS: Readers = {"subject": _dn, "cn": _cn, "dns": _dns, "email": _email, "uri": _uri}
