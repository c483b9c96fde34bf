"""Who has signed a certificate: told by keys, whatever names say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from authority import Authority, certificate_pem
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hms_svc.core.credentials.authorities import MAX_REMEMBERED, Bundle, read_bundle
from hms_svc.core.credentials.x509 import from_der, from_pem
from hms_svc.core.ports import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

    from hms_svc.core.model import ClientCertificate


@pytest.fixture
def agency(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "Agency CA")


def namesake_of(authority: Authority, above: Authority | None = None) -> Authority:
    folder = authority.file.parent / f"{authority.file.stem} again"
    folder.mkdir()
    return Authority(folder, authority.file.stem, above=above)


def issued(by: Authority, serial: int = 7) -> ClientCertificate:
    return from_pem(certificate_pem(by.issue("batch", serial=serial)))


def test_the_one_whose_key_it_is_has_signed(agency: Authority, tmp_path: Path) -> None:
    other = Authority(tmp_path, "Other")
    bundle = read_bundle(agency.pem + other.pem)
    (signer,) = bundle.signers(issued(agency))
    assert (signer.name, signer in bundle.named("CN=Agency CA,O=Agency")) == ("CN=Agency CA,O=Agency", True)
    assert bundle.signers(issued(other)) == bundle.named("CN=Other,O=Agency")


def test_one_that_only_has_its_name_has_not(agency: Authority, tmp_path: Path) -> None:
    partner = Authority(tmp_path, "Partner")
    for above in (partner, agency):
        namesake = namesake_of(agency, above)
        assert read_bundle(agency.pem + partner.pem).signers(issued(namesake)) == ()
        namesake.file.unlink()
        (namesake.file.parent / "batch.pem").unlink()
        namesake.file.parent.rmdir()


def test_of_two_with_one_name_the_key_tells_which(agency: Authority) -> None:
    namesake = namesake_of(agency)
    bundle = read_bundle(agency.pem + namesake.pem)
    assert len(bundle.named("CN=Agency CA,O=Agency")) == 2
    found = [bundle.signers(issued(one)) for one in (agency, namesake)]
    assert [len(signers) for signers in found] == [1, 1]
    assert found[0] != found[1]


def test_one_with_two_certificates_is_one(agency: Authority, tmp_path: Path) -> None:
    again = agency.renewed(Authority(tmp_path, "Root"), serial=9)
    bundle = read_bundle(agency.pem + again)
    (signer,) = bundle.signers(issued(agency))
    assert len(bundle.certificates(signer)) == 2


def test_what_is_not_in_the_bundle_has_signed_nothing(agency: Authority, tmp_path: Path) -> None:
    between = Authority(tmp_path, "Between", above=agency)
    assert read_bundle(agency.pem).signers(issued(between)) == ()
    assert len(read_bundle(between.pem).signers(issued(between))) == 1


def test_a_certificate_of_which_nothing_but_names_is_known_is_signed_by_nobody(agency: Authority) -> None:
    bundle, good = read_bundle(agency.pem), issued(agency)
    assert bundle.signers(replace(good, der=b"", thumbprint="x")) == ()
    assert bundle.signers(replace(good, thumbprint="")) == ()
    assert bundle.signers(replace(good, der=b"x", thumbprint="y")) == ()


def test_what_was_found_is_remembered_and_bounded(agency: Authority) -> None:
    bundle, good = read_bundle(agency.pem), issued(agency)
    signers = bundle.signers(good)
    assert bundle.signers(replace(good, der=b"")) == signers  # not verified again
    for number in range(MAX_REMEMBERED):
        bundle.signers(replace(good, der=b"", thumbprint=str(number)))
    assert bundle.signers(replace(good, der=b"")) == ()  # forgotten


def test_who_vouches_for_whom(agency: Authority, tmp_path: Path) -> None:
    between = Authority(tmp_path, "Between", above=agency)
    bundle = read_bundle(agency.pem + between.pem)
    (top,), (middle,) = bundle.named("CN=Agency CA,O=Agency"), bundle.named("CN=Between,O=Agency")
    assert bundle.vouchers(top) == ()
    (voucher,) = bundle.vouchers(middle)
    assert (voucher.serial, voucher.signers) == (between.certificate.serial_number, (top,))
    alone = read_bundle(between.pem)
    (voucher,) = alone.vouchers(middle)
    assert voucher.signers == ()


def test_one_at_the_top_does_not_need_others(agency: Authority, tmp_path: Path) -> None:
    root = Authority(tmp_path, "Root")
    crossed = agency.renewed(root, serial=9)
    (top,) = read_bundle(agency.pem).named("CN=Agency CA,O=Agency")
    assert read_bundle(agency.pem + crossed).vouchers(top) == ()
    (voucher,) = read_bundle(agency.pem + crossed + root.pem).vouchers(top)
    assert (voucher.serial, voucher.signers[0].name) == (9, "CN=Root,O=Agency")


def test_a_new_key_is_not_at_the_top_because_the_old_one_has_its_name(agency: Authority) -> None:
    newer = namesake_of(agency, above=agency)
    bundle = read_bundle(agency.pem + newer.pem)
    old, new = bundle.named("CN=Agency CA,O=Agency")
    assert [voucher.signers for voucher in bundle.vouchers(new)] == [(old,)]


def test_what_cannot_be_read_is_no_bundle() -> None:
    for pem in (b"", b"x", b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"):
        with pytest.raises(StoreUnavailable, match="the authorities cannot be read"):
            read_bundle(pem)


Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
PSS = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.DIGEST_LENGTH)


def certificate(
    key: Key, algorithm: hashes.SHA256 | hashes.SHA224 | None, form: _ASN1Type, **more: padding.PSS
) -> x509.Certificate:
    """One that says of itself that it is CN=CA, and is signed with ``key``."""
    import datetime as dt

    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA", _type=form)])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(7).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    return builder.sign(key, algorithm, rsa_padding=more.get("rsa_padding"))


RSA = rsa.generate_private_key(65_537, 2_048)
CURVE = ec.generate_private_key(ec.SECP384R1())
SHA256 = hashes.SHA256()


@pytest.mark.parametrize(
    ("key", "algorithm", "more", "counts"),
    [
        (RSA, SHA256, {}, True),
        (RSA, SHA256, {"rsa_padding": PSS}, True),
        (CURVE, SHA256, {}, True),
        (ed25519.Ed25519PrivateKey.generate(), None, {}, True),
        (ed448.Ed448PrivateKey.generate(), None, {}, True),
        (RSA, hashes.SHA224(), {}, False),
        (CURVE, hashes.SHA224(), {}, False),
    ],
    ids=["rsa", "rsa-pss", "ecdsa", "ed25519", "ed448", "rsa over sha224", "ecdsa over sha224"],
)
def test_each_kind_of_signature_is_verified_however_the_name_is_encoded(
    key: Key, algorithm: hashes.SHA256 | None, more: dict[str, padding.PSS], counts: object
) -> None:
    bundle = Bundle([certificate(key, SHA256 if algorithm else None, _ASN1Type.UTF8String)])
    below = certificate(key, algorithm, _ASN1Type.PrintableString, **more)
    found = from_der(below.public_bytes(Encoding.DER))
    assert (len(bundle.signers(found)) == 1) is counts
    others = [one for one in (RSA, CURVE, ed25519.Ed25519PrivateKey.generate()) if one is not key]
    for other in others:
        wrong = None if isinstance(other, ed25519.Ed25519PrivateKey) else SHA256
        assert Bundle([certificate(other, wrong, _ASN1Type.UTF8String)]).signers(found) == ()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes]:
    authority = Authority(tmp_path_factory.mktemp("ca"), "Agency CA")
    pem = certificate_pem(authority.issue("batch"))
    return x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER), authority.pem


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 600), byte=st.integers(0, 255))
def test_a_certificate_with_any_other_byte_is_signed_by_nobody(good: tuple[bytes, bytes], at: int, byte: int) -> None:
    der, pem = good
    at %= len(der)
    changed = der[:at] + bytes([byte]) + der[at + 1 :]
    assert len(read_bundle(pem).signers(from_der(changed))) == (changed == der)
