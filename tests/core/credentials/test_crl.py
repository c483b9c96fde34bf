"""Revocation lists: which are believed, what they say of a certificate, and that doubt is never "not revoked"."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from authority import Authority, certificate_pem, key_usage
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_svc.core.credentials import crl
from hms_svc.core.credentials.crl import CLOCKS_DIFFER_S, MAX_BYTES, MAX_CHAIN, RevocationLists, read
from hms_svc.core.credentials.x509 import from_pem
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.model import ClientCertificate

SERIAL = 4711
DAY_S = 86_400


@pytest.fixture
def root(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "Root")


def issued(by: Authority) -> ClientCertificate:
    return from_pem(certificate_pem(by.issue("batch", serial=SERIAL)))


def now_s() -> int:
    return int(dt.datetime.now(dt.UTC).timestamp())


def says(lists: RevocationLists, certificate: ClientCertificate, after_s: int = 0) -> bool:
    return lists.is_revoked(certificate, now_s() + after_s)


def as_der(pem: bytes) -> bytes:
    return x509.load_pem_x509_crl(pem).public_bytes(Encoding.DER)


def test_a_list_tells_who_is_revoked_in_either_form(root: Authority) -> None:
    certificate = issued(root)
    for data in (root.crl(1, SERIAL), as_der(root.crl(1, SERIAL)), b"# a note\r\n" + root.crl(SERIAL)):
        assert says(read(data, root.pem), certificate)
    for data in (root.crl(), root.crl(1), as_der(root.crl(1))):
        assert not says(read(data, root.pem), certificate)


def test_several_lists_stand_in_one_file(root: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    lists = read(root.crl(1) + other.crl(SERIAL), root.pem + other.pem)
    assert not says(lists, issued(root))
    assert says(lists, issued(other))


def test_lists_of_one_authority_count_together(root: Authority) -> None:
    lists = read(root.crl(SERIAL) + root.crl(1, ends=dt.timedelta(hours=1)), root.pem)
    assert says(lists, issued(root))
    assert not says(read(root.crl(1) + root.crl(2), root.pem), issued(root))
    with pytest.raises(StoreUnavailable, match=r"the revocation list of CN=Root,O=Agency is \d+ s out of date"):
        says(lists, issued(root), after_s=3_700)


def test_a_list_is_out_of_date_when_the_next_one_is_due(root: Authority) -> None:
    certificate = issued(root)
    lists = read(root.crl(SERIAL), root.pem)
    assert says(lists, certificate, after_s=DAY_S - 60)
    with pytest.raises(StoreUnavailable, match="out of date"):
        says(lists, certificate, after_s=DAY_S + 60)


def test_a_certificate_of_an_authority_without_a_list_is_in_doubt(root: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    with pytest.raises(StoreUnavailable, match="there is no revocation list of CN=Other,O=Agency"):
        says(read(root.crl(), root.pem + other.pem), issued(other))
    with pytest.raises(StoreUnavailable, match="nobody in the bundle signed the certificate as CN=Other,O=Agency"):
        says(read(root.crl(), root.pem), issued(other))


def test_a_list_is_believed_from_an_authority_of_the_bundle_only(root: Authority, tmp_path: Path) -> None:
    (tmp_path / "evil").mkdir()
    namesake = Authority(tmp_path / "evil", "Root")
    told = "the revocation list of CN=Root,O=Agency is not signed by an authority of the bundle"
    for data in (namesake.crl(), root.crl() + namesake.crl(), namesake.pem + namesake.crl()):
        with pytest.raises(StoreUnavailable, match=told):
            read(data, root.pem)
    assert not says(read(root.crl(), namesake.pem + root.pem), issued(root))


# Namesakes: a name says nothing of who signed


def namesake_of(authority: Authority, above: Authority | None = None, serial: int = 77) -> Authority:
    folder = authority.file.parent / f"beside-{authority.file.stem}"
    folder.mkdir()
    return Authority(folder, authority.file.stem, above=above, serial=serial)


def test_what_a_revoked_authority_signed_is_refused_though_its_name_goes_on_with_a_new_key(
    root: Authority, tmp_path: Path
) -> None:
    old = Authority(tmp_path, "Issuing", above=root, serial=0xBAD)
    new = namesake_of(old, above=root, serial=0x600D)
    lists = root.crl(0xBAD) + new.crl()
    both = read(lists, root.pem + old.pem + new.pem)
    assert not says(both, issued(new))
    assert says(both, issued(old))
    one = read(lists, root.pem + new.pem)
    assert not says(one, issued(new))
    with pytest.raises(StoreUnavailable, match="nobody in the bundle signed the certificate as CN=Issuing,O=Agency"):
        says(one, issued(old))


def test_an_authority_called_like_the_root_is_not_asked_of_the_roots_list(root: Authority) -> None:
    namesake = namesake_of(root, above=root)
    for data in (root.crl(), root.crl(namesake.certificate.serial_number)):
        with pytest.raises(StoreUnavailable, match="nobody in the bundle signed the certificate as CN=Root,O=Agency"):
            says(read(data, root.pem), issued(namesake))


def test_two_roots_of_one_name_are_kept_apart(root: Authority) -> None:
    other = namesake_of(root)
    bundle = root.pem + other.pem
    lists = read(root.crl(SERIAL) + other.crl(), bundle)
    assert (says(lists, issued(root)), says(lists, issued(other))) == (True, False)
    with pytest.raises(StoreUnavailable, match="there is no revocation list of CN=Root,O=Agency"):
        says(read(root.crl(), bundle), issued(other))


def test_the_authority_above_is_found_by_its_key_too(root: Authority, tmp_path: Path) -> None:
    other = namesake_of(root)
    middle = Authority(tmp_path, "Middle", above=root)
    bundle = root.pem + other.pem + middle.pem
    serial = middle.certificate.serial_number
    assert not says(read(middle.crl() + root.crl() + other.crl(serial), bundle), issued(middle))
    assert says(read(middle.crl() + root.crl(serial) + other.crl(), bundle), issued(middle))


def test_one_revoked_certificate_of_an_authority_is_enough(root: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    middle = Authority(tmp_path, "Middle", above=root, serial=8)
    bundle = root.pem + other.pem + middle.pem + middle.renewed(other, serial=9)
    for revoked_by_root, revoked_by_other, revoked in (((8,), (), True), ((), (9,), True), ((9,), (8,), False)):
        lists = read(middle.crl() + root.crl(*revoked_by_root) + other.crl(*revoked_by_other), bundle)
        assert says(lists, issued(middle)) is revoked
    assert says(read(middle.crl() + other.crl(9), bundle), issued(middle))  # whatever the other list would say
    with pytest.raises(StoreUnavailable, match="there is no revocation list of CN=Root,O=Agency"):
        says(read(middle.crl() + other.crl(), bundle), issued(middle))


def test_authorities_that_vouch_for_each_other_are_asked_once(root: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    bundle = root.pem + other.pem + root.renewed(other, serial=5) + other.renewed(root, serial=6)
    lists = root.crl() + other.crl()
    assert not says(read(lists, bundle), issued(root))
    assert says(read(root.crl() + other.crl(5), bundle), issued(root))
    assert says(read(root.crl(6) + other.crl(), bundle), issued(root))


def test_a_chain_has_its_bound(root: Authority, tmp_path: Path) -> None:
    chain = [root]
    for number in range(MAX_CHAIN + 2):
        chain.append(Authority(tmp_path, f"A{number}", above=chain[-1], serial=100 + number))
    bundle = b"".join(one.pem for one in chain)
    lists = read(b"".join(one.crl() for one in chain), bundle)
    revoked = read(root.crl(100) + b"".join(one.crl() for one in chain[1:]), bundle)
    assert (says(lists, issued(chain[MAX_CHAIN])), says(revoked, issued(chain[MAX_CHAIN]))) == (False, True)
    for further in (lists, revoked):
        with pytest.raises(StoreUnavailable, match="there is no revocation list of CN=Root,O=Agency"):
            says(further, issued(chain[MAX_CHAIN + 1]))


def test_an_authority_that_may_not_sign_lists_signs_none(root: Authority, tmp_path: Path) -> None:
    silent = Authority(tmp_path, "Silent", above=root, key_usage=key_usage("key_cert_sign"))
    with pytest.raises(StoreUnavailable, match="CN=Silent,O=Agency is not signed by an authority"):
        read(silent.crl() + root.crl(), root.pem + silent.pem)


def test_a_list_signed_over_a_weak_hash_is_not_believed(root: Authority) -> None:
    with pytest.raises(StoreUnavailable, match="is signed with sha224"):
        read(root.crl(algorithm=hashes.SHA224()), root.pem)


def test_the_whole_chain_is_asked_for(root: Authority, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "Middle", above=root)
    certificate, bundle = issued(middle), root.pem + middle.pem
    assert not says(read(middle.crl() + root.crl(), bundle), certificate)
    assert says(read(middle.crl(SERIAL) + root.crl(), bundle), certificate)
    assert says(read(middle.crl() + root.crl(middle.certificate.serial_number), bundle), certificate)
    with pytest.raises(StoreUnavailable, match="there is no revocation list of CN=Root,O=Agency"):
        says(read(middle.crl(), bundle), certificate)
    with pytest.raises(StoreUnavailable, match="nobody in the bundle signed the certificate of CN=Middle,O=Agency"):
        says(read(middle.crl(), middle.pem), certificate)


def points(**more: bool) -> x509.IssuingDistributionPoint:
    flags = ("only_contains_user_certs", "only_contains_ca_certs", "indirect_crl", "only_contains_attribute_certs")
    uri = [x509.UniformResourceIdentifier("http://crl.example/7")] if more.pop("full_name", False) else None
    return x509.IssuingDistributionPoint(
        full_name=uri, relative_name=None, only_some_reasons=None, **{flag: more.get(flag, False) for flag in flags}
    )


def test_a_list_may_be_for_one_kind_of_certificates(root: Authority, tmp_path: Path) -> None:
    middle = Authority(tmp_path, "Middle", above=root)
    users, authorities = points(only_contains_user_certs=True), points(only_contains_ca_certs=True)
    certificate, bundle = issued(middle), root.pem + middle.pem
    assert says(read(middle.crl(SERIAL, extensions=[users]) + root.crl(extensions=[authorities]), bundle), certificate)
    for lists in (
        middle.crl(extensions=[authorities]) + root.crl(),
        middle.crl() + root.crl(extensions=[users]),
    ):
        with pytest.raises(StoreUnavailable, match="there is no revocation list of"):
            says(read(lists, bundle), certificate)


SOME_REASONS = x509.IssuingDistributionPoint(
    full_name=None,
    relative_name=None,
    only_contains_user_certs=False,
    only_contains_ca_certs=False,
    only_some_reasons=frozenset({x509.ReasonFlags.key_compromise}),
    indirect_crl=False,
    only_contains_attribute_certs=False,
)
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@pytest.mark.parametrize("marked", [{"critical": True}, {"critical": False}], ids=["critical", "not critical"])
@pytest.mark.parametrize(
    "extension",
    [
        points(full_name=True),
        points(indirect_crl=True),
        points(only_contains_attribute_certs=True),
        SOME_REASONS,
        x509.DeltaCRLIndicator(1),
    ],
    ids=["a part", "indirect", "of attributes", "some reasons", "a delta"],
)
def test_a_list_that_is_not_complete_is_refused(
    root: Authority, extension: x509.ExtensionType, marked: dict[str, Any]
) -> None:
    with pytest.raises(StoreUnavailable, match="so it is not complete"):
        read(root.crl(extensions=[extension], **marked), root.pem)


def test_what_a_list_calls_critical_is_not_passed_over(root: Authority) -> None:
    with pytest.raises(StoreUnavailable, match="has an extension that is not known"):
        read(root.crl(extensions=[UNKNOWN]), root.pem)
    assert says(read(root.crl(SERIAL, extensions=[UNKNOWN], critical=False), root.pem), issued(root))


NOT_OURS = x509.CertificateIssuer([x509.DNSName("other.example")])
BROUGHT_BACK = x509.CRLReason(x509.ReasonFlags.remove_from_crl)


def test_what_an_entry_calls_critical_is_not_passed_over(root: Authority) -> None:
    for entry, critical in ((UNKNOWN, True), (NOT_OURS, True), (NOT_OURS, False)):
        with pytest.raises(StoreUnavailable, match="has an entry that is not understood"):
            read(root.crl(1, 2, of_entries=[entry], critical=critical), root.pem)


@pytest.mark.parametrize("marked", [{"critical": True}, {"critical": False}], ids=["critical", "not critical"])
def test_an_entry_revokes_whatever_its_reason(root: Authority, marked: dict[str, Any]) -> None:
    when = x509.InvalidityDate(dt.datetime(2020, 1, 1))  # noqa: DTZ001  (the library's form)
    for entries in ([x509.CRLReason(x509.ReasonFlags.superseded), when], [BROUGHT_BACK]):
        assert says(read(root.crl(SERIAL, of_entries=entries, **marked), root.pem), issued(root))
    assert says(read(root.crl(SERIAL, of_entries=[UNKNOWN], critical=False), root.pem), issued(root))


def test_a_list_counts_from_when_it_was_made_but_for_what_clocks_differ(root: Authority) -> None:
    certificate = issued(root)
    for data in (
        root.crl(SERIAL, begins=dt.timedelta(hours=1)),
        root.crl(SERIAL) + root.crl(1, begins=dt.timedelta(hours=1)),
    ):
        lists = read(data, root.pem)
        with pytest.raises(StoreUnavailable, match=r"the revocation list of CN=Root,O=Agency begins in \d+ s"):
            says(lists, certificate)
        with pytest.raises(StoreUnavailable):
            says(lists, certificate, after_s=3_600 - CLOCKS_DIFFER_S - 5)
        assert says(lists, certificate, after_s=3_600 - CLOCKS_DIFFER_S + 5)


@pytest.mark.parametrize("data", [b"", b"x", b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n", b"\x30\x80"])
def test_what_is_no_list_is_told(root: Authority, data: bytes) -> None:
    with pytest.raises(StoreUnavailable, match="a revocation list cannot be read"):
        read(data, root.pem)


def test_a_file_has_its_bounds(root: Authority) -> None:
    told = "there are no revocation lists, or more than 64, or one is cut off"
    for data in (root.crl() * 65, root.crl() + root.crl()[:-30], root.pem):
        with pytest.raises(StoreUnavailable, match=told):
            read(data, root.pem)
    with pytest.raises(StoreUnavailable, match=f"more than {MAX_BYTES} bytes"):
        read(b"x" * (MAX_BYTES + 1), root.pem)


def test_without_authorities_there_are_no_lists(root: Authority) -> None:
    for bundle in (b"", b"x"):
        with pytest.raises(StoreUnavailable, match="the authorities cannot be read"):
            read(root.crl(), bundle)


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    root = Authority(tmp_path_factory.mktemp("ca"), "Root")
    return as_der(root.crl(SERIAL)), root.pem


@settings(max_examples=300)
@given(at=st.integers(0, 600), byte=st.integers(0, 255), cut=st.booleans())
def test_a_list_with_any_other_byte_is_not_believed(
    signed: tuple[bytes, bytes], at: int, byte: int, cut: object
) -> None:
    data, bundle = signed
    at %= len(data)
    changed = data[:at] if cut else data[:at] + bytes([byte]) + data[at + 1 :]
    if changed == data:
        return
    with pytest.raises(StoreUnavailable):
        crl.read(changed, bundle)
