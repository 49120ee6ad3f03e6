"""What Polly and boto3 answer instead of speech, each as one sentence that says what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

from edge.voice import VoiceError

from .voices import Voice


class UnavailableError(VoiceError):
    """Polly cannot be used now: the network, its own failure, too many requests."""


class NotConfiguredError(UnavailableError):
    """Polly cannot be used as configured: credentials, region."""


_CREDENTIALS = (
    "Polly: no usable AWS credentials ({why}); set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
    "or AWS_PROFILE, or say it with --voice offline"
)
_NOT_WITH_THESE = {
    "ExpiredTokenException": "they have expired",
    "IncompleteSignature": "they are incomplete",
    "InvalidClientTokenId": "AWS does not know them",
    "InvalidSignatureException": "the secret key is wrong, or this machine's clock is",
    "SignatureDoesNotMatch": "the secret key is wrong, or this machine's clock is",
    "UnrecognizedClientException": "AWS does not know them",
}
_THROTTLED = {"ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded"}


def of_client(error: Exception, region: str) -> VoiceError:
    """Explain why a request got no answer, a BotoCoreError."""
    import botocore.session
    from botocore import exceptions

    if isinstance(
        error,
        exceptions.NoCredentialsError
        | exceptions.PartialCredentialsError
        | exceptions.CredentialRetrievalError
        | exceptions.ProfileNotFound
        | exceptions.TokenRetrievalError,
    ):
        return NotConfiguredError(_CREDENTIALS.format(why=str(error).rstrip(".")))
    if isinstance(error, exceptions.NoRegionError):
        return NotConfiguredError(
            "Polly: no region; give --region or set AWS_DEFAULT_REGION, such as us-east-1 or eu-west-1"
        )
    regions = botocore.session.Session().get_available_regions("polly")
    no_address = isinstance(error, exceptions.EndpointConnectionError) and region not in regions
    if no_address or isinstance(error, exceptions.InvalidRegionError):
        return NotConfiguredError(f"region {region!r}: Polly is not there; it is in {', '.join(regions)}")
    where = str(getattr(error, "kwargs", {}).get("endpoint_url", f"region {region}"))
    return UnavailableError(f"Polly: no answer from {where} ({_first_words(error)}); is there a network?")


def of_service(response: dict[str, Any], voice: Voice, region: str, voices: Sequence[str]) -> VoiceError:
    """Explain an error that Polly answered, the `response` of a ClientError."""
    code, message = response["Error"].get("Code", ""), response["Error"].get("Message", "").rstrip(".")
    if code in _NOT_WITH_THESE:
        return NotConfiguredError(_CREDENTIALS.format(why=_NOT_WITH_THESE[code]))
    if code in {"AccessDeniedException", "AccessDenied"}:
        return NotConfiguredError(f"Polly: these AWS credentials may not use it ({message})")
    if code in _THROTTLED:
        return UnavailableError(f"Polly: too many requests in region {region}, after several tries; try again later")
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code == "ServiceFailureException" or status >= 500:
        return UnavailableError(f"Polly: failed in region {region} ({message or code}); try again later")
    return VoiceError(_asked_wrongly(code, message, voice, region, voices))


def _asked_wrongly(code: str, message: str, voice: Voice, region: str, voices: Sequence[str]) -> str:
    if "voiceId" in message:
        near = difflib.get_close_matches(voice.name, voices, n=1)
        advice = f"did you mean {near[0]}? " if near else ""
        return f"voice {voice.name!r}: Polly has no such voice; {advice}`touchline voices` lists all"
    if code == "EngineNotSupportedException" or "engine" in message:
        return (
            f"voice {voice.name!r}: has no engine {voice.engine} in region {region}; `touchline voices` lists engines"
        )
    return {
        "TextLengthExceededException": f"text: is too long for Polly ({message})",
        "InvalidSsmlException": f"SSML: Polly refuses it ({message})",
        "LexiconNotFoundException": f"lexicon: region {region} has none of {', '.join(voice.lexicons)}",
        "LanguageNotSupportedException": f"language {voice.language!r}: {voice.name} does not speak it",
    }.get(code, f"Polly: {message or code}")


def _first_words(error: Exception) -> str:
    """Leave addresses and addresses' queries out of what boto3 says."""
    return str(error).partition(": ")[0].partition('"')[0].strip(" .").lower().removesuffix(" to the endpoint url")
