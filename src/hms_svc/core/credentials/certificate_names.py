"""What a client certificate's names make of it: a caller, by rule or by itself, or nobody.

The applicant chooses in which order a certificate has its names, so the order never decides: where one of several
would have to be picked, the certificate names nobody. Names are compared as the authority vouches for them, each kind
by itself: an e-mail address never fits a rule for a dns name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hms_svc.core.credentials.presented import CredentialInvalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hms_svc.core.config import CertificateRule, ClientCertificates
    from hms_svc.core.model import ClientCertificate

MAX_NAME = 1_024
"""Characters of a caller's name."""
NAMES: Mapping[str, re.Pattern[str]] = {
    "dns": re.compile(r"[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63}){0,126}"),
    "email": re.compile(r"[!#$%&'*+./0-9=?A-Z^_`a-z{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63}){0,126}"),
    "uri": re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:[!#$%&'()*+,./0-9:;=?@A-Z\[\]_a-z~-]{1,1000}"),
}
"""The names of each kind that count. A certificate for ``*.agency.example`` is for many, so it names none of them."""
_PREFIX = {"dns": "DNS:", "email": "email:", "uri": "URI:"}


def own_name(certificate: ClientCertificate, settings: ClientCertificates) -> str:
    """The name of a caller whom no rule names. Raises `CredentialInvalid` for a certificate that names nobody."""
    if settings.callers and not settings.name:
        raise CredentialInvalid("the client certificate fits none of client_certificates.callers")
    name = _only_name(certificate, settings.name or "subject")
    if not name or not name.isprintable():
        raise CredentialInvalid("the client certificate names nobody in printable text")
    if len(name) > MAX_NAME:
        raise CredentialInvalid(f"the client certificate's name is longer than {MAX_NAME} characters")
    if any(name == rule.name for rule in settings.callers):
        raise CredentialInvalid("the client certificate's name is that of another caller's rule")
    return name


def fits(rule: CertificateRule, certificate: ClientCertificate) -> bool:
    """Whether the rule is for a certificate of these names. Whether its issuer has that name by right, a key tells."""
    if rule.issuer and rule.issuer != certificate.issuer:
        return False
    return any(_is_like(rule, name) for name in names(certificate, rule.kind))


def names(certificate: ClientCertificate, kind: str) -> list[str]:
    """The certificate's names of a kind, in the form in which they are compared, each once.

    A certificate with several common names has none.
    """
    if kind == "subject":
        return [certificate.subject] if certificate.subject else []
    if kind == "cn":
        return [name for name in certificate.common_names if name] if len(certificate.common_names) == 1 else []
    prefix = _PREFIX[kind]
    found = [san.removeprefix(prefix) for san in certificate.sans if san.startswith(prefix)]
    return list(dict.fromkeys(COMPARED[kind](name) for name in found if NAMES[kind].fullmatch(name)))


def _lower_domain(address: str) -> str:
    """The part before the ``@`` may have a case (RFC 5280, section 7.5)."""
    local, at, domain = address.rpartition("@")
    return f"{local}{at}{domain.lower()}"


COMPARED: Mapping[str, Callable[[str], str]] = {"dns": str.lower, "email": _lower_domain, "uri": str}
"""The form in which names are compared. A uri is compared to the letter."""


def _is_like(rule: CertificateRule, name: str) -> bool:
    pattern = rule.pattern
    if rule.kind == "dns" and pattern.startswith("*."):
        return name.partition(".")[2] == pattern[2:]
    if rule.kind == "uri" and pattern.endswith("/*"):
        before, last = pattern[:-1], name[len(pattern) - 1 :]
        return name.startswith(before) and last not in {"", ".", ".."} and not re.search("[/?#;]", last)
    return name == pattern


def _only_name(certificate: ClientCertificate, kind: str) -> str:
    found = names(certificate, kind)
    if kind == "subject" and not found:
        found = list(certificate.sans)
    if not found:
        several = " one" if kind == "cn" and certificate.common_names else ""
        raise CredentialInvalid(f"the client certificate has no{several} {_TOLD[kind]} to go by")
    if len(found) > 1:
        raise CredentialInvalid(f"the client certificate has {len(found)} names to go by, which is no one")
    return found[0]


_TOLD = {"subject": "name", "cn": "common name", "dns": "dns name", "email": "e-mail address", "uri": "uri"}
