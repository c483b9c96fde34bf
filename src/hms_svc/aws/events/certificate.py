"""The client certificate that API Gateway has verified, from the event's context → the core's `ClientCertificate`.

Never from a header: whoever calls can write any. ALB and VPC Lattice say nothing of it in the context, so behind them
nobody is identified by certificate. All is read from the certificate itself (``clientCertPem``), so that it is what
the laptop's server reads; how API Gateway writes the names beside it does not matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hms_svc.aws.events.members import part, text

if TYPE_CHECKING:
    from hms_svc.aws.events.members import Event
    from hms_svc.core.model import ClientCertificate


def client_certificate(identity: Event) -> ClientCertificate | None:
    """What ``clientCert`` of ``identity`` holds; a claim without a certificate that can be read identifies nobody."""
    given = part(identity, "clientCert")
    if not any(given.values()):
        return None
    from hms_svc.core.credentials.x509 import from_pem

    return from_pem(text(given, "clientCertPem"))
