"""hms-svc: the front door of private services. These are the names a plug-in or an embedder needs, and no more."""

from hms_svc.core.policy import Policy, PolicyRequest, Verdict

__all__ = ["Policy", "PolicyRequest", "Verdict", "__version__"]

__version__ = "0.1.0"
