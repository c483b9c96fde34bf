"""What goes wrong between here and AWS, whichever service it is, in a sentence that says what to do about it."""

from __future__ import annotations

_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "InvalidSignatureException",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "UnrecognizedClientException",
    }
)
_DENIED = frozenset({"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"})
_NO_ENDPOINT = "set AWS_REGION or AWS_ENDPOINT_URL, or look at the network (a VPC without internet needs an endpoint)"


def refused(permission: str, place: str, code: str) -> str | None:
    """Of an answer with the error ``code`` that is about who asks, not about what: else None.

    ``permission`` is as IAM names it, ``ssm:GetParameter``; ``place`` is what it was asked of.
    """
    operation = permission.partition(":")[2]
    if code in _DENIED:
        return f"AWS denies {operation} on {place}: the role or user needs the permission {permission} for it"
    if code in _CREDENTIALS:
        return f"AWS does not take these credentials ({code}): log in again, or set AWS_PROFILE"
    return None


def not_sent(error: Exception, service: str) -> str:
    """What boto3 says before or instead of an answer of ``service``."""
    match type(error).__name__:
        case "NoCredentialsError" | "PartialCredentialsError" | "CredentialRetrievalError":
            return "there are no AWS credentials here: log in, or set AWS_PROFILE"
        case "TokenRetrievalError" | "SSOTokenLoadError" | "UnauthorizedSSOTokenError":
            return "the AWS login has expired: run `aws sso login`"
        case "NoRegionError":
            return "no AWS region is set: set AWS_REGION, such as AWS_REGION=us-gov-west-1"
        case "ProfileNotFound":
            return f"AWS_PROFILE: {error}"
        case name:
            return f"{service} cannot be reached ({name}): {_NO_ENDPOINT}"
