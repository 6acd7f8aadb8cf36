"""What each code means to whoever meets it: when it is answered, and what to do. The rows of docs/errors.md as data.

`errors.CODES` and `jose.codes.TOKEN_CODES` say which codes there are; a test holds the three against each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """When a code is answered, and what to do about it. Both in the words of docs/errors.md, in Markdown."""

    when: str
    advice: str


REFUSALS: Final[Mapping[str, Cause]] = MappingProxyType(
    {
        "body_not_parseable": Cause(
            "the body is not strict JSON: syntax, duplicate members, not UTF-8",
            "send valid JSON",
        ),
        "credentials_ambiguous": Cause(
            "a refresh token came both in its cookie and in the body",
            "send one",
        ),
        "host_unknown": Cause(
            "the `Host` header names a host that this server does not serve",
            "set `hosts` or `base_url`",
        ),
        "not_signed_in": Cause(
            "no credential came along",
            "sign in",
        ),
        "credential_malformed": Cause(
            "the credential has a form that was never issued here",
            "sign in again; check for truncation",
        ),
        "credential_invalid": Cause(
            "the credential is not authentic, or not for this issuer or audience, or of another kind",
            "sign in again",
        ),
        "credential_duplicate": Cause(
            "a protected cookie came twice; neither is believed, and an audit event is written",
            "clear the site's cookies; look for a sub-domain that plants them",
        ),
        "transport_mismatch": Cause(
            "the credential came in another envelope (cookie, bearer, body) than its session was made for",
            "send it as it was issued",
        ),
        "token_expired": Cause(
            "the access token is authentic and its time is over",
            "refresh, then repeat the request",
        ),
        "session_ended": Cause(
            "signed out, revoked, or displaced by the limit of sessions per subject",
            "sign in",
        ),
        "session_expired": Cause(
            "the absolute limit was reached",
            "sign in",
        ),
        "session_idle": Cause(
            "the session was unused for longer than the idle limit",
            "sign in",
        ),
        "session_replaced": Cause(
            "a newer sign-in with this cookie replaced the session",
            "use the newer credential",
        ),
        "refresh_reused": Cause(
            "a refresh token was shown that proves two holders; the session was ended",
            "sign in; find out how the token leaked",
        ),
        "store_rolled_back": Cause(
            "the store lost more writes than a fail-over may lose; the session was ended",
            "sign in; look at the store",
        ),
        "invalid_credentials": Cause(
            "the address or the password is wrong: which of them is not said",
            "try again",
        ),
        "service_unknown": Cause(
            "no service credential (`fdk_…`) came along, or one that was never given out here or was removed",
            "`frontdesk services add`",
        ),
        "cross_origin": Cause(
            "an unsafe request came from another site or sub-domain, or did not say from where",
            "list the origin in `trusted_origins` if it is yours",
        ),
        "role_missing": Cause(
            "the route requires a role that the subject does not hold",
            "grant it: `desk.update(subject, roles=…)`",
        ),
        "scope_missing": Cause(
            "the route requires a scope that the session was not given",
            "sign in with that scope",
        ),
        "service_scope_missing": Cause(
            "the service's credential was made without the scope that this needs; `detail` names it",
            "make another with that `--scope`",
        ),
        "step_up_required": Cause(
            "the sign-in is older than the route allows; `max_age` says how old it may be, in seconds",
            "sign in again, then repeat",
        ),
        "not_found": Cause(
            "nothing is mounted at this path",
            "look at the path, and at the prefix under which the API is mounted",
        ),
        "session_not_found": Cause(
            "none of *your* sessions has this id",
            "list them again",
        ),
        "method_not_allowed": Cause(
            "the path exists, the method does not; see `Allow`",
            "use one of the methods in `Allow`",
        ),
        "email_taken": Cause(
            "an account with this address exists",
            "sign in",
        ),
        "body_too_large": Cause(
            "the body has more than 64 KiB",
            "send less; large data does not belong in an authentication request",
        ),
        "content_type_unsupported": Cause(
            "a body came that is not declared as `application/json`",
            "set the header",
        ),
        "body_invalid": Cause(
            "the JSON has another shape; `detail` names the member",
            "send the shape that the OpenAPI document declares",
        ),
        "credential_not_allowed": Cause(
            "this deployment does not offer the credential or transport that the sign-in asks for",
            "choose another",
        ),
        "claims_too_large": Cause(
            "the credential would not fit into 4096 bytes; `claim` names the largest claim",
            "keep large data in your own tables",
        ),
        "email_invalid": Cause(
            "not an address that mail can be sent to, or one that could be mistaken for another",
            "write it as name@host, in ASCII",
        ),
        "password_too_short": Cause(
            "fewer than 15 characters",
            "take a longer one, such as a few words",
        ),
        "password_too_long": Cause(
            "more than 1024 characters or 4096 bytes",
            "take a shorter one",
        ),
        "password_common": Cause(
            "one of the passwords that are tried first",
            "take one that nobody else would think of",
        ),
        "password_context": Cause(
            "made of the service's name or the account's address",
            "take one that has nothing to do with the service or the address",
        ),
        "too_many_attempts": Cause(
            "the attempt budget is used up; the password was not looked at",
            "wait for `retry_after` seconds",
        ),
        "headers_too_large": Cause(
            "the `Cookie` header has more than 8 KiB",
            "clear the site's cookies",
        ),
        "internal_error": Cause(
            "a fault; nothing was granted",
            "read the log",
        ),
        "overloaded": Cause(
            "a bounded queue is full, usually password hashing",
            "repeat after `Retry-After`",
        ),
        "store_unavailable": Cause(
            "the store is locked, full, missing or broken; nothing was granted and nothing half done",
            "read the log",
        ),
    }
)
"""Codes of refusals over HTTP."""

TOKENS: Final[Mapping[str, Cause]] = MappingProxyType(
    {
        "token_oversize": Cause(
            "more than 16 KiB (encrypted: 64 KiB), or a header over 4 KiB; it was not looked at",
            "ask its issuer for a smaller one; keep large data in your own tables",
        ),
        "token_malformed": Cause(
            "not a compact JWS, or not a compact JWE where one is expected: parts, base64url or JSON break the rules",
            "look whether it was cut or changed on the way, or is no token at all",
        ),
        "header_invalid": Cause(
            "a header parameter has the wrong type or asks for what is not done here (`crit`, `b64`, `zip`; `enc` in a "
            "signed token; a bad `epk` in an encrypted one)",
            "ask its issuer to leave that parameter out",
        ),
        "algorithm_not_allowed": Cause(
            "`none`, unknown, or not the algorithm of the key; a content encryption that was not asked for",
            "sign with the algorithm that the key names; never accept `none`",
        ),
        "key_unknown": Cause(
            "no key answers to the token's key id",
            "look whether it comes from another issuer, or whether its key was retired or given up",
        ),
        "key_invalid": Cause(
            "the key is weak, broken, contradicts itself or may not be used so",
            "make a key that is strong enough and is used for one thing",
        ),
        "signature_invalid": Cause(
            "not a signature that this key made over these bytes",
            "do not believe it: it was changed, or made with another key",
        ),
        "decryption_failed": Cause(
            "not encrypted for this key, or changed; which of them is never said",
            "look whether it was encrypted for this key, and not changed since",
        ),
        "claim_missing": Cause(
            "a required claim is absent",
            "ask its issuer for that claim",
        ),
        "claim_invalid": Cause(
            "a claim has the wrong type or lies outside its range",
            "ask its issuer to write the claim as RFC 7519 has it",
        ),
        "type_mismatch": Cause(
            "another `typ` than the one expected",
            "send an access token (`at+jwt`), not an ID token or another one",
        ),
        "issuer_mismatch": Cause(
            "issued by somebody else",
            "compare its `iss` with the issuer that is configured",
        ),
        "audience_mismatch": Cause(
            "issued for somebody else",
            "compare its `aud` with the audience that is configured",
        ),
        "token_not_yet_valid": Cause(
            "begins to be valid, or was issued, in the future",
            "set the clocks of both machines",
        ),
        "token_expired": Cause(
            "authentic, meant for us, and over; always decided last",
            "refresh, then repeat the request",
        ),
    }
)
"""Codes of `TokenError`."""
