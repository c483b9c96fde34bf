"""Client certificates: when one is believed, and whom it names. The clock and the lists are the test's."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from fakes_credentials import NOW_S, RevokedBook, route
from hypothesis import given
from hypothesis import strategies as st
from worlds import OwnedClock, drive, request

from hms_svc.core.config import CertificateRule, ClientCertificates, Config, RevokedCertificate
from hms_svc.core.credentials.by_certificate import ByCertificate
from hms_svc.core.credentials.certificate_checks import CertificateChecks
from hms_svc.core.credentials.presented import CredentialInvalid, Presented
from hms_svc.core.credentials.x509 import unreadable
from hms_svc.core.model import Caller, ClientCertificate
from hms_svc.core.ports import StoreUnavailable

GOOD = ClientCertificate(
    "CN=batch,O=Agency",
    "0AF3",
    "CN=Agency CA",
    ("DNS:Batch.agency.example", "email:batch@Agency.example", "URI:spiffe://agency.example/jobs/nightly"),
    common_names=("batch",),
    not_before_s=NOW_S - 60,
    not_after_s=NOW_S + 60,
    for_clients=True,
)
NO_RULES = ClientCertificates()
DNS = "DNS:batch.agency.example"


@dataclass
class Signers:
    """`Authorities` that have signed the certificates with these serial numbers."""

    serials: tuple[str, ...] = ("0AF3",)
    down: bool = False
    asked: int = 0

    async def have_signed(self, certificate: ClientCertificate) -> bool:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("no authorities")
        return certificate.serial in self.serials


def identify(
    certificate: ClientCertificate | None = GOOD,
    settings: ClientCertificates = NO_RULES,
    *,
    book: RevokedBook | None = None,
    authorities: Signers | None = None,
    at_s: int = NOW_S,
) -> Caller | None:
    scheme = ByCertificate(CertificateChecks(OwnedClock(at_s * 1_000_000_000), book), authorities)
    asked = Presented(request(certificate=certificate), None, route("mtls"), Config(client_certificates=settings))
    caller: Caller | None = drive(scheme.identify(asked))
    return caller


def cause(
    certificate: ClientCertificate = GOOD,
    settings: ClientCertificates = NO_RULES,
    *,
    book: RevokedBook | None = None,
    at_s: int = NOW_S,
) -> str:
    with pytest.raises(CredentialInvalid) as refused:
        identify(certificate, settings, book=book, at_s=at_s)
    return str(refused.value)


def name_of(certificate: ClientCertificate, settings: ClientCertificates) -> str:
    caller = identify(certificate, settings)
    assert caller is not None
    return caller.name


def by_rule(kind: str, pattern: str, certificate: ClientCertificate = GOOD, issuer: str = "") -> bool:
    """Whether the rule, which is the only one, names the certificate's caller."""
    rule = CertificateRule(kind, pattern, "the caller", frozenset({"a"}), issuer)
    try:
        caller = identify(certificate, ClientCertificates(callers=(rule,)), authorities=Signers())
    except CredentialInvalid:
        return False
    assert caller is not None
    assert (caller.name, caller.scopes) == ("the caller", frozenset({"a"}))
    return True


# When it is believed


def test_no_certificate_is_no_caller() -> None:
    assert identify(None) is None


def test_it_is_believed_from_the_first_second_of_its_validity_to_the_last() -> None:
    for at_s in (GOOD.not_before_s, GOOD.not_after_s):
        assert identify(at_s=at_s) is not None
    assert cause(at_s=GOOD.not_after_s + 1) == "the client certificate expired 1 s ago"
    assert cause(at_s=GOOD.not_before_s - 1) == "the client certificate is valid in 1 s"


def test_one_that_is_not_for_clients_or_cannot_be_read_is_refused() -> None:
    assert cause(replace(GOOD, for_clients=False)) == "the client certificate is not for authenticating clients"
    assert cause(unreadable("why")) == "the client certificate identifies nobody: why"


def test_one_of_which_nothing_but_names_is_known_is_refused() -> None:
    assert cause(ClientCertificate("CN=batch", "01", "CN=CA")).startswith("the client certificate expired")


@pytest.mark.parametrize(
    ("revoked", "believed"),
    [
        (RevokedCertificate("0AF3"), False),
        (RevokedCertificate("0AF3", "CN=Agency CA"), False),
        (RevokedCertificate("0AF3", "CN=Other CA"), True),
        (RevokedCertificate("AF30"), True),
    ],
)
def test_one_that_the_routes_revoke_is_refused(revoked: RevokedCertificate, believed: object) -> None:
    settings = ClientCertificates(revoked=frozenset({revoked}))
    if believed:
        assert identify(GOOD, settings) is not None
    else:
        assert cause(GOOD, settings) == "the client certificate 0AF3 is revoked in routes.yml"


def test_one_that_its_authority_revokes_is_refused() -> None:
    assert identify(book=RevokedBook(("0B",))) is not None
    assert cause(book=RevokedBook(("0AF3",))) == "the client certificate 0AF3 is revoked by an authority's list"


def test_while_the_lists_cannot_be_had_nobody_is_believed() -> None:
    with pytest.raises(StoreUnavailable):
        identify(book=RevokedBook(down=True))


def test_the_lists_are_not_asked_for_one_that_is_refused_anyway() -> None:
    book = RevokedBook(down=True)
    assert cause(replace(GOOD, for_clients=False), book=book)
    assert cause(GOOD, ClientCertificates(callers=(CertificateRule("cn", "x", "x"),)), book=book)
    assert book.asked == 0


# Whom it names by itself


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("", "CN=batch,O=Agency"),
        ("subject", "CN=batch,O=Agency"),
        ("cn", "batch"),
        ("dns", "batch.agency.example"),
        ("email", "batch@agency.example"),
        ("uri", "spiffe://agency.example/jobs/nightly"),
    ],
)
def test_a_certificate_names_its_caller_by_what_the_routes_choose(kind: str, name: str) -> None:
    caller = identify(GOOD, ClientCertificates(name=kind))
    assert caller is not None
    assert (caller.name, caller.via, caller.scopes) == (name, "mtls", frozenset())
    assert (caller.credential_id, caller.issuer) == ("0AF3", "CN=Agency CA")


@pytest.mark.parametrize("sans", [("DNS:a.example", "DNS:b.example"), ("DNS:b.example", "DNS:a.example")])
def test_of_several_names_none_is_picked(sans: tuple[str, ...]) -> None:
    told = "the client certificate has 2 names to go by, which is no one"
    assert cause(replace(GOOD, sans=sans), ClientCertificates(name="dns")) == told
    assert cause(replace(GOOD, subject="", sans=sans)) == told


def test_several_common_names_are_none() -> None:
    both = replace(GOOD, common_names=("batch", "boss"))
    assert cause(both, ClientCertificates(name="cn")) == "the client certificate has no one common name to go by"
    assert not by_rule("cn", "batch", both)
    assert not by_rule("cn", "boss", both)


@pytest.mark.parametrize("kind", ["cn", "dns", "email", "uri"])
def test_a_certificate_without_a_name_of_that_kind_names_nobody(kind: str) -> None:
    bare = replace(GOOD, sans=("IP Address:192.0.2.1",), common_names=())
    assert cause(bare, ClientCertificates(name=kind)).startswith("the client certificate has no ")


@pytest.mark.parametrize(
    ("kind", "san"),
    [
        ("dns", "DNS:*.agency.example"),
        ("dns", "DNS:a\0.agency.example"),
        ("dns", "DNS:batch.agency.example\n"),
        ("dns", "DNS:"),
        ("dns", "DNS:bätch.example"),
        ("email", "email:Batch <batch@agency.example>"),
        ("email", "email:@agency.example"),
        ("uri", "URI:spiffe://agency.example/a b"),
        ("uri", "URI:agency.example/a"),
    ],
)
def test_what_is_no_plain_name_names_nobody(kind: str, san: str) -> None:
    assert cause(replace(GOOD, sans=(san,)), ClientCertificates(name=kind)).startswith("the client certificate has no ")
    value = san.partition(":")[2]
    assert not by_rule(kind, value, replace(GOOD, sans=(san,)))


def test_the_same_name_twice_is_one_name() -> None:
    twice = replace(GOOD, sans=("DNS:A.example", "DNS:a.example"))
    assert name_of(twice, ClientCertificates(name="dns")) == "a.example"


@pytest.mark.parametrize("odd", ["ev\nil", "a\0b", "\x7f", "a\x85b", "a\u202eb", "a\u2066b", "\ud800", "a\u200bb"])
def test_what_cannot_be_printed_names_nobody(odd: str) -> None:
    """Line breaks, NUL, marks that turn the text round: tokens and keys may not have them in a name either."""
    told = "the client certificate names nobody in printable text"
    certificate = replace(GOOD, subject="", sans=(f"DNS:{odd}",), common_names=(odd,))
    assert cause(certificate, ClientCertificates(name="cn")) == told
    assert cause(certificate) == told
    assert name_of(certificate, ClientCertificates(callers=(CertificateRule("cn", odd, "batch"),))) == "batch"


def test_names_in_any_script_are_names() -> None:
    for name in ("Müller & Söhne", "株式会社", "שלום"):
        assert name_of(replace(GOOD, common_names=(name,)), ClientCertificates(name="cn")) == name


@given(st.text(max_size=20))
def test_a_callers_own_name_is_printable(text: str) -> None:
    for certificate, kind in ((replace(GOOD, common_names=(text,)), "cn"), (replace(GOOD, subject=text), "subject")):
        try:
            assert name_of(certificate, ClientCertificates(name=kind)).isprintable()
        except CredentialInvalid as refused:
            assert str(refused).startswith("the client certificate ")  # noqa: PT017  (either is right)


def test_a_name_has_its_bounds() -> None:
    told = "the client certificate's name is longer than 1024 characters"
    assert cause(replace(GOOD, subject="CN=" + "x" * 1_022)) == told


# Whom the rules name


@pytest.mark.parametrize(
    ("kind", "pattern", "fits"),
    [
        ("subject", "CN=batch,O=Agency", True),
        ("subject", "CN=batch", False),
        ("subject", "CN=Batch,O=Agency", False),
        ("cn", "batch", True),
        ("cn", "Batch", False),
        ("cn", "bat", False),
        ("dns", "batch.agency.example", True),
        ("dns", "agency.example", False),
        ("dns", "*.agency.example", True),
        ("dns", "*.example", False),
        ("dns", "*.batch.agency.example", False),
        ("email", "batch@agency.example", True),
        ("email", "Batch@agency.example", False),
        ("dns", "batch@agency.example", False),
        ("uri", "spiffe://agency.example/jobs/nightly", True),
        ("uri", "spiffe://agency.example/jobs/*", True),
        ("uri", "spiffe://agency.example/*", False),
        ("uri", "spiffe://agency.example/jobs", False),
        ("uri", "SPIFFE://agency.example/jobs/nightly", False),
        ("uri", "spiffe://agency.example/jobs/nightly/*", False),
    ],
)
def test_a_rule_is_for_a_name_of_its_kind_as_a_whole(kind: str, pattern: str, fits: object) -> None:
    assert by_rule(kind, pattern) is fits


@pytest.mark.parametrize("last", ["", "a/b", ".", "..", "?x", "a?b", "a#b", "a;b"])
def test_a_star_stands_for_one_segment(last: str) -> None:
    certificate = replace(GOOD, sans=(f"URI:spiffe://agency.example/jobs/{last}",))
    assert not by_rule("uri", "spiffe://agency.example/jobs/*", certificate)


def test_a_name_of_another_kind_never_fits() -> None:
    only = replace(GOOD, sans=("email:x@batch.agency.example", "URI:dns://batch.agency.example"), common_names=())
    assert not by_rule("dns", "batch.agency.example", only)
    assert not by_rule("dns", "batch.agency.example", replace(GOOD, sans=(), common_names=("batch.agency.example",)))
    assert not by_rule("cn", "batch.agency.example", replace(GOOD, sans=(DNS,), common_names=()))


def test_a_rule_can_be_for_one_authority() -> None:
    assert by_rule("cn", "batch", issuer="CN=Agency CA")
    assert not by_rule("cn", "batch", issuer="CN=Other CA")


OF_ONE = ClientCertificates(
    name="cn",
    callers=(
        CertificateRule("cn", "batch", "first", issuer="CN=Agency CA"),
        CertificateRule("uri", "spiffe://agency.example/jobs/*", "second"),
    ),
)


def test_a_rule_for_one_authority_does_not_fit_what_only_names_it() -> None:
    for serials, name in ((("0AF3",), "first"), ((), "second")):
        caller = identify(GOOD, OF_ONE, authorities=Signers(serials))
        assert caller is not None
        assert caller.name == name


def test_while_it_cannot_be_told_who_signed_nobody_is_the_caller_of_such_a_rule() -> None:
    for authorities in (Signers(down=True), None):
        with pytest.raises(StoreUnavailable):
            identify(GOOD, OF_ONE, authorities=authorities)


def test_who_signed_is_asked_only_where_a_rule_hangs_on_it() -> None:
    signers = Signers(down=True)
    for certificate in (replace(GOOD, issuer="CN=Other CA"), replace(GOOD, common_names=("other",))):
        caller = identify(certificate, OF_ONE, authorities=signers)
        assert caller is not None
        assert caller.name == "second"
    assert signers.asked == 0


def test_the_first_rule_that_fits_counts_whatever_the_order_of_the_names() -> None:
    rules = (CertificateRule("dns", "b.example", "b"), CertificateRule("dns", "a.example", "a"))
    for sans in (("DNS:a.example", "DNS:b.example"), ("DNS:b.example", "DNS:a.example")):
        assert name_of(replace(GOOD, sans=sans), ClientCertificates(callers=rules)) == "b"


def test_a_certificate_that_fits_no_rule_goes_by_its_own_name_where_the_routes_say_so() -> None:
    rule = CertificateRule("cn", "boss", "the-boss", frozenset({"all"}))
    settings = ClientCertificates(name="cn", callers=(rule,))
    caller = identify(GOOD, settings)
    assert caller is not None
    assert (caller.name, caller.scopes) == ("batch", frozenset())


def test_a_certificate_that_fits_no_rule_is_refused_where_there_are_rules() -> None:
    settings = ClientCertificates(callers=(CertificateRule("cn", "boss", "the-boss"),))
    assert cause(GOOD, settings) == "the client certificate fits none of client_certificates.callers"


def test_nobody_takes_the_name_of_a_rule_by_having_it() -> None:
    settings = ClientCertificates(name="cn", callers=(CertificateRule("cn", "boss", "batch"),))
    assert cause(GOOD, settings) == "the client certificate's name is that of another caller's rule"


# Whatever names come

TEXTS = st.text(st.characters(max_codepoint=0x2FF) | st.sampled_from("*.@/:,="), max_size=20)
SANS = st.lists(st.builds("{}{}".format, st.sampled_from(["DNS:", "email:", "URI:", "IP Address:", ""]), TEXTS))
SETTINGS = st.builds(
    ClientCertificates,
    name=st.sampled_from(["", "subject", "cn", "dns", "email", "uri"]),
    callers=st.lists(
        st.builds(CertificateRule, st.sampled_from(["subject", "cn", "dns", "email", "uri"]), TEXTS, TEXTS)
    ).map(tuple),
)


@given(subject=TEXTS, sans=SANS, common=st.lists(TEXTS), settings=SETTINGS)
def test_any_names_are_a_caller_or_a_refusal(
    subject: str, sans: list[str], common: list[str], settings: ClientCertificates
) -> None:
    certificate = replace(GOOD, subject=subject, sans=tuple(sans), common_names=tuple(common))
    try:
        caller = identify(certificate, settings)
    except CredentialInvalid:
        return
    assert caller is not None
    assert caller.name or any(not rule.name for rule in settings.callers)


@given(sans=st.lists(st.sampled_from([DNS, "DNS:a.example", "DNS:*.example", "email:a@b"])), data=st.data())
def test_the_order_of_the_names_makes_no_difference(sans: list[str], data: st.DataObject) -> None:
    settings = ClientCertificates(name="dns")

    def outcome(names: list[str]) -> str:
        try:
            return name_of(replace(GOOD, sans=tuple(names)), settings)
        except CredentialInvalid as refused:
            return str(refused)

    assert outcome(data.draw(st.permutations(sans))) == outcome(sans)
