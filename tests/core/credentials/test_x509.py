"""Certificates as they are read: what is in them, what they are for, and what cannot be read."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import ssl
from typing import TYPE_CHECKING, Any

import pytest
from authority import Authority, certificate_pem, key_usage
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hms_svc.core.credentials.x509 import from_der, from_pem, serial_text

if TYPE_CHECKING:
    from pathlib import Path

CLIENT, SERVER = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
ANY_USAGE = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE


def test_what_a_certificate_says_is_read(tmp_path: Path) -> None:
    sans: list[x509.GeneralName] = [
        x509.DNSName("batch.agency.example"),
        x509.RFC822Name("batch@agency.example"),
        x509.UniformResourceIdentifier("spiffe://agency.example/batch"),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
    ]
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Agency, Inc"),
            x509.NameAttribute(NameOID.COMMON_NAME, "one"),
            x509.NameAttribute(NameOID.COMMON_NAME, "two, three"),
        ]
    )
    pem = certificate_pem(Authority(tmp_path).issue("batch", serial=0xAF3, sans=sans, subject=subject))
    der = ssl.PEM_cert_to_DER_cert(pem)
    found = from_pem(pem)
    assert found == from_der(der)
    assert (found.subject, found.issuer) == ("CN=two\\, three,CN=one,O=Agency\\, Inc", "CN=Test CA,O=Agency")
    assert (found.serial, found.common_names) == ("0AF3", ("one", "two, three"))
    assert found.sans == (
        "DNS:batch.agency.example", "email:batch@agency.example", "URI:spiffe://agency.example/batch",
    )  # fmt: skip
    assert found.thumbprint == base64.urlsafe_b64encode(hashlib.sha256(der).digest()).decode().rstrip("=")
    assert found.not_after_s - found.not_before_s == dt.timedelta(days=2).total_seconds()
    assert (found.for_clients, found.fault) == (True, "")


@pytest.mark.parametrize(
    ("more", "for_clients"),
    [
        ({}, True),
        ({"usages": [CLIENT]}, True),
        ({"usages": [SERVER, CLIENT]}, True),
        ({"usages": [ANY_USAGE]}, False),
        ({"usages": [ANY_USAGE, CLIENT]}, True),
        ({"usages": [SERVER]}, False),
        ({"key_usage": key_usage("digital_signature")}, True),
        ({"key_usage": key_usage("key_agreement")}, False),
        ({"key_usage": key_usage("digital_signature"), "usages": [SERVER]}, False),
    ],
)
def test_a_certificate_says_whether_it_is_for_clients(
    more: dict[str, Any], for_clients: object, tmp_path: Path
) -> None:
    assert from_pem(certificate_pem(Authority(tmp_path).issue("batch", **more))).for_clients is for_clients


@pytest.mark.parametrize(
    ("number", "text"), [(0, "00"), (10, "0A"), (255, "FF"), (0xAF3, "0AF3"), (2**159, "80" + "0" * 38)]
)
def test_a_serial_number_is_written_in_whole_bytes(number: int, text: str) -> None:
    assert serial_text(number) == text


@pytest.mark.parametrize("der", [b"", b"0\x00", b"x" * 100, b"0\x82\xff\xff"])
def test_what_is_no_certificate_is_one_with_a_fault(der: bytes) -> None:
    found = from_der(der)
    assert (found.subject, found.sans, found.for_clients) == ("", (), False)
    assert found.fault == "it cannot be read (ValueError)"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    file = Authority(tmp_path_factory.mktemp("ca")).issue("batch", sans=[x509.DNSName("a.example")], usages=[CLIENT])
    return ssl.PEM_cert_to_DER_cert(certificate_pem(file))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_certificate_with_any_other_byte_is_read_or_has_a_fault(good: bytes, at: int, byte: int) -> None:
    at %= len(good)
    changed = good[:at] + bytes([byte]) + good[at + 1 :]
    found = from_der(changed)
    assert found.fault or found.thumbprint
    assert (found == from_der(good)) == (changed == good)
