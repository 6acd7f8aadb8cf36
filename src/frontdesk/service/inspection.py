"""What can be said of a token: its parts, its times, which key made it, what is wrong with it. For showing only.

Nothing is granted, ended or counted by an inspection. What is told holds neither the signature nor key material.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Literal, Protocol

import msgspec

from frontdesk.clock import EPOCH
from frontdesk.core import credentials
from frontdesk.core.credentials import ParsedToken
from frontdesk.core.rotation import Outcome, decide
from frontdesk.core.sessions import Session, evaluate
from frontdesk.errors import Refusal, TokenError
from frontdesk.jose import jwe, jws, jwt, key_file
from frontdesk.jose.content import CONTENTS
from frontdesk.jose.unverified import UnverifiedToken, read_unverified_claims, take_apart_unverified
from frontdesk.service.desk import Desk
from frontdesk.verifier.access_tokens import ACCESS_TOKEN_TYPE, AccessClaims

Kind = Literal["signed", "encrypted", "session", "refresh"]
Verdict = Literal["good", "wrong", "unknown", "note"]

_FUTURE: Final = timedelta(seconds=jwt.FUTURE_SECONDS)
_NOT_HERE: Final = frozenset({"key_unknown", "algorithm_not_allowed"})
_TIMES: Final = ("iat", "nbf", "exp", "auth_time")
_SHOWN_OF_A_KEY: Final = ("kty", "crv", "alg", "use", "kid")
_PRESENTED: Final[Mapping[Outcome, str]] = {
    Outcome.RECOVERED: "Presented now, it would bring an access token; the store had forgotten this generation.",
    Outcome.RENEWED: "Presented now, it would bring an access token, and stay the refresh token.",
    Outcome.ROTATED: "Presented now, it would bring an access token and the next refresh token.",
    Outcome.REISSUED: "Presented now, it would bring an access token and another refresh token (a late retry).",
}


class Finding(msgspec.Struct, frozen=True):
    """One sentence about a token. `code` is that of the refusal where one would refuse it so."""

    verdict: Verdict
    message: str
    code: str = ""


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """A token as facts.

    `verified`: its signature or tag is good (True), bad (False), or was not checked or could not be (None).
    `times` are those that are there and in range. `facts` are what is known beside header and claims. All text may
    come from a stranger: escape it.
    """

    kind: Kind
    header: Mapping[str, Any] = {}
    claims: Mapping[str, Any] | None = None
    times: Mapping[str, datetime] = {}
    facts: Mapping[str, str | int] = {}
    verified: bool | None = None
    findings: tuple[Finding, ...] = ()
    inner: Inspection | None = None
    """The signed token that an encrypted one holds."""

    @property
    def is_wrong(self) -> bool:
        """Whether anything is."""
        return any(each.verdict == "wrong" for each in self.findings) or (
            self.inner is not None and self.inner.is_wrong
        )


class KeySource(Protocol):
    """Where keys come from. `asked_for`: somebody named it, so a key that it lacks is a fault and no ignorance."""

    name: str
    asked_for: bool

    def verifying(self, alg: str, kid: str | None, /) -> jws.Keys:
        """For a signed token; TokenError when there is nothing for it."""

    def decrypting(self, alg: str, enc: str, kid: str | None, /) -> jwe.Keys:
        """For an encrypted token, likewise."""


class KeyFile:
    """The content of a file that was named."""

    asked_for = True

    def __init__(self, name: str, content: bytes) -> None:
        self.name = name
        self._content = content

    def verifying(self, alg: str, kid: str | None) -> jws.Keys:
        return key_file.signature_keys(self._content, alg=alg, kid=kid)

    def decrypting(self, alg: str, enc: str, kid: str | None) -> jwe.Keys:
        return key_file.encryption_keys(self._content, alg=alg, enc=enc, kid=kid)


class _Ring:
    """The keys of a desk that is open."""

    def __init__(self, desk: Desk, name: str, *, asked_for: bool) -> None:
        self.name = name
        self.asked_for = asked_for
        self._ring = desk.keys

    def verifying(self, _alg: str, _kid: str | None, /) -> jws.Keys:
        return self._ring.verifying

    def decrypting(self, _alg: str, _enc: str, _kid: str | None, /) -> jwe.Keys:
        return self._ring.decrypting


def inspect_token(token: bytes, now: datetime, *, source: KeySource | None = None, unchecked: str = "") -> Inspection:
    """What can be said of `token` at `now`, held against the keys of `source`.

    unchecked: the sentence that says why nothing was checked, where there is no source. TokenError: it is no token.
    """
    if token.startswith((credentials.SESSION_PREFIX, credentials.REFRESH_PREFIX)):
        parsed = _parsed(token)
        unknown = unchecked if source is None else "a token of this kind is checked by its store, not by a key."
        finding = Finding("unknown", f"Whether it is authentic was not checked: {unknown}")
        return Inspection(kind=parsed.purpose, facts=_facts_of(parsed, "default"), findings=(finding,))
    parts = take_apart_unverified(token)
    look = _look_at_encrypted if parts.encrypted else _look_at_signed
    return look(token, parts, now, source, unchecked)


async def inspect_at_desk(token: bytes, desk: Desk, *, name: str, asked_for: bool) -> Inspection:
    """As `inspect_token`, held against an open desk: its keys, its policy, and the session as its store has it.

    name: how to call the desk's store. TokenError: it is no token; StoreError as everywhere.
    """
    now = desk.clock.now()
    if token.startswith((credentials.SESSION_PREFIX, credentials.REFRESH_PREFIX)):
        return await _own_token(token, desk, now)
    seen = inspect_token(token, now, source=_Ring(desk, name, asked_for=asked_for))
    if not seen.verified or seen.claims is None:
        return _with_key_state(seen, desk)
    refusal = _policy_refusal(token, seen.kind, desk, now)
    if refusal is not None:
        return _with_key_state(_adding(seen, [_wrong(refusal)]), desk)
    found = await _identified(token, desk)
    if isinstance(found, Refusal):
        return _with_key_state(_adding(seen, [_refused(found)]), desk)
    return _with_key_state(_adding(seen, [_standing(found, now)]), desk)


# --- signed and encrypted tokens ----------------------------------------------------------------------------------


def _look_at_signed(
    token: bytes, parts: UnverifiedToken, now: datetime, source: KeySource | None, unchecked: str
) -> Inspection:
    verified, checked = _check_signature(token, parts, source, unchecked)
    findings = [*map(_wrong, parts.faults), *checked, *_judge_times(parts.claims, now)]
    seen = Inspection(
        kind="signed",
        header=_without_keys(parts.header),
        claims=None if parts.claims is None else _without_keys(parts.claims),
        times=_times(parts.claims),
        verified=verified,
    )
    return _adding(seen, findings)


def _check_signature(
    token: bytes, parts: UnverifiedToken, source: KeySource | None, unchecked: str
) -> tuple[bool | None, list[Finding]]:
    if parts.is_unsigned:
        return False, []  # It is among the faults.
    if source is None:
        return None, [Finding("unknown", f"The signature was not checked: {unchecked}")]
    try:
        keys = source.verifying(parts.parameter("alg") or "", parts.parameter("kid"))
        key = jws.verify(token, keys).key
    except TokenError as error:
        return _failed(error, source, "signature_invalid")
    return True, [Finding("good", f"The signature is good, by the key {key.kid} ({key.alg}) of {source.name}.")]


def _look_at_encrypted(
    token: bytes, parts: UnverifiedToken, now: datetime, source: KeySource | None, unchecked: str
) -> Inspection:
    header = _without_keys(parts.header)
    seen = Inspection(kind="encrypted", header=header, findings=tuple(map(_wrong, parts.faults)))
    if source is None:
        return _adding(seen, [Finding("unknown", f"The claims are encrypted and were not read: {unchecked}")])
    names = [parts.parameter(name) for name in ("alg", "enc", "kid")]
    try:
        opened = jwe.decrypt(token, source.decrypting(names[0] or "", names[1] or "", names[2]), enc=tuple(CONTENTS))
    except TokenError as error:
        verified, findings = _failed(error, source, "decryption_failed")
        return _adding(msgspec.structs.replace(seen, verified=verified), findings)
    sentence = f"It was decrypted with the key {opened.key.kid} ({opened.key.alg}, {opened.enc}) of {source.name}."
    good = [Finding("good", sentence)]
    if opened.header.cty == "jwt":
        return _look_inside(_adding(seen, good), opened.plaintext, now, source)
    if not opened.key.is_symmetric:
        anybody = "Anybody can encrypt to a public key, and the token holds no signed one: nobody knows who wrote it."
        good.append(Finding("wrong", anybody, "algorithm_not_allowed"))
    claims, faults = read_unverified_claims(opened.plaintext)
    seen = msgspec.structs.replace(
        seen,
        claims=None if claims is None else _without_keys(claims),
        times=_times(claims),
        verified=True if opened.key.is_symmetric else None,
    )
    return _adding(seen, [*good, *map(_wrong, faults), *_judge_times(claims, now)])


def _look_inside(seen: Inspection, plaintext: bytes, now: datetime, source: KeySource) -> Inspection:
    try:
        inside = take_apart_unverified(plaintext)
    except TokenError as error:
        return _adding(
            seen, [Finding("wrong", f"What it holds is not the token that `cty` says: {error.message}", error.code)]
        )
    if inside.encrypted:
        return _adding(
            seen, [Finding("wrong", "It holds a second encrypted token, which is not opened.", "header_invalid")]
        )
    inner = _look_at_signed(plaintext, inside, now, source, "")
    return msgspec.structs.replace(seen, inner=inner, verified=inner.verified)


def _failed(error: TokenError, source: KeySource, code: str) -> tuple[bool | None, list[Finding]]:
    if error.code in _NOT_HERE and not source.asked_for:
        return None, [Finding("unknown", f"It was not checked with {source.name}: {error.message}", error.code)]
    verified = False if error.code == code else None
    return verified, [Finding("wrong", f"{error.message} ({source.name})", error.code)]


def _judge_times(claims: Mapping[str, Any] | None, now: datetime) -> list[Finding]:
    if claims is None:
        return []
    times = _times(claims)
    findings = []
    if "exp" not in claims:
        findings.append(Finding("note", "There is no `exp`: nothing in the token says when it ends."))
    elif "exp" in times and now >= times["exp"]:
        findings.append(Finding("wrong", "The token has expired.", "token_expired"))
    if "nbf" in times and times["nbf"] > now + _FUTURE:
        findings.append(Finding("wrong", "The token is not valid yet.", "token_not_yet_valid"))
    if "iat" in times and times["iat"] > now + _FUTURE:
        findings.append(Finding("wrong", "The token was issued in the future.", "token_not_yet_valid"))
    return findings


def _times(claims: Mapping[str, Any] | None) -> dict[str, datetime]:
    found = {}
    for name in _TIMES:
        value = None if claims is None else claims.get(name)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= jwt.TIME_MAX:
            found[name] = EPOCH + timedelta(seconds=value)
    return found


def _policy_refusal(token: bytes, kind: Kind, desk: Desk, now: datetime) -> TokenError | None:
    """What the desk has against an authentic token, its age apart."""
    policy: dict[str, Any] = {
        "issuer": desk.settings.issuer,
        "audience": desk.settings.audiences,
        "typ": ACCESS_TOKEN_TYPE,
        "now": now,
        "record": AccessClaims,
    }
    try:
        if kind == "encrypted":
            jwt.decrypt_ignoring_expiry(token, desk.keys.decrypting, **policy)
        else:
            jwt.verify_ignoring_expiry(token, desk.keys.verifying, **policy)
    except TokenError as error:
        return error
    return None


def _with_key_state(seen: Inspection, desk: Desk) -> Inspection:
    """Tell what the store has of the key that the token names."""
    stored = next((key for key in desk.keys.stored if key.id == seen.header.get("kid")), None)
    if stored is None:
        return seen
    made = f"{stored.algorithm}, {stored.state}, made {stored.created_at:%Y-%m-%d}"
    known = msgspec.structs.replace(seen, facts={"key": made, **seen.facts})
    if stored.state != "compromised":
        return known
    # Such a key is not in the ring, so that the look for it came to «unknown», which is too little said.
    kept = tuple(each for each in seen.findings if each.code != "key_unknown")
    wrong = Finding("wrong", "The key of the token is compromised: every token of it is refused.", "key_unknown")
    return msgspec.structs.replace(known, findings=(wrong, *kept))


# --- our own session and refresh tokens ----------------------------------------------------------------------------


async def _own_token(token: bytes, desk: Desk, now: datetime) -> Inspection:
    parsed = _parsed(token)
    seen = Inspection(kind=parsed.purpose, facts=_facts_of(parsed, desk.settings.realm))
    if parsed.realm != credentials.realm_bytes(desk.settings.realm):
        return _adding(seen, [Finding("wrong", "The token is of another realm.", "credential_invalid")])
    if await desk.store.read_session(desk.settings.realm, parsed.session_id) is None:
        missing = "The store has no such session, now or any more; so nobody can say whether the token is authentic."
        return _adding(seen, [Finding("wrong", missing, "credential_invalid")])
    found = await _identified(token, desk)
    if isinstance(found, Refusal):
        changed = "The token is not authentic: changed, of another kind than its session, or made under another secret."
        return _adding(msgspec.structs.replace(seen, verified=False), [Finding("wrong", changed, found.code)])
    facts = {**seen.facts, **_facts_of_session(found)}
    seen = msgspec.structs.replace(seen, verified=True, facts=facts, times=_times_of_session(found))
    findings = [Finding("good", "The token is authentic: this desk made it."), _standing(found, now)]
    if parsed.purpose == "refresh":
        findings += _presented(parsed, found, desk, now)
    return _adding(seen, findings)


def _presented(parsed: ParsedToken, session: Session, desk: Desk, now: datetime) -> list[Finding]:
    """What a presentation would do at this moment; it is not done."""
    decision = decide(session, parsed.generation, now, desk.settings.sessions)
    if decision.refusal is None:
        return [Finding("note", _PRESENTED[decision.outcome])]
    if decision.outcome is Outcome.ENDED:
        return []  # That it has ended was said.
    sentence = (
        f"Presented now, it would end the session: generation {parsed.generation} was replaced by {session.generation}."
    )
    return [Finding("wrong", sentence, decision.refusal.code)]


def _parsed(token: bytes) -> ParsedToken:
    parsed = credentials.parse(token)
    if parsed is not None:
        return parsed
    kind, length = (
        ("session", credentials.SESSION_TOKEN_LENGTH)
        if token.startswith(credentials.SESSION_PREFIX)
        else ("refresh", credentials.REFRESH_TOKEN_LENGTH)
    )
    if len(token) != length:
        raise TokenError("token_malformed", f"A {kind} token has {length} characters, and this has {len(token)}.")
    raise TokenError("token_malformed", f"This begins like a {kind} token and has a form that was never issued.")


def _facts_of(parsed: ParsedToken, realm: str) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "version": parsed.fields[0],
        "key byte": f"0x{parsed.kid:02x}",
        "realm": realm if parsed.realm == credentials.realm_bytes(realm) else f"another than {realm}",
        "session": parsed.session_id,
    }
    if parsed.purpose == "refresh":
        facts["generation"] = parsed.generation
    return facts


async def _identified(token: bytes, desk: Desk) -> Session | Refusal:
    """The session of an authentic token, whichever envelope it is for."""
    found = await desk.identify(token, "cookie")
    if isinstance(found, Refusal) and found.code == "transport_mismatch":
        return await desk.identify(token, "bearer")
    return found


def _facts_of_session(session: Session) -> dict[str, str | int]:
    facts: dict[str, str | int] = {
        "session": session.id,
        "subject": session.subject,
        "carried by": f"{session.credential}, {session.transport}",
    }
    if session.credential != "session":
        facts["newest generation"] = session.generation
    return facts


def _times_of_session(session: Session) -> dict[str, datetime]:
    times = {"created": session.created_at, "last seen": session.last_seen_at}
    if session.ended_at is not None:
        return {**times, "ended": session.ended_at}
    return {**times, "unused limit": session.idle_at, "absolute limit": session.expires_at}


def _standing(session: Session, now: datetime) -> Finding:
    refusal = evaluate(session, now)
    return Finding("good", "Its session stands.") if refusal is None else _refused(refusal)


# --- findings -----------------------------------------------------------------------------------------------------


def _wrong(error: TokenError) -> Finding:
    return Finding("wrong", error.message, error.code)


def _refused(refusal: Refusal) -> Finding:
    return Finding("wrong", refusal.detail or refusal.title, refusal.code)


def _adding(seen: Inspection, findings: Sequence[Finding]) -> Inspection:
    """With these findings behind those it has. One fault that was met twice is told once."""
    kept = list(seen.findings)
    for finding in findings:
        told = any(each.code == finding.code and finding.message.startswith(each.message) for each in kept if each.code)
        if not told:
            kept.append(finding)
    return msgspec.structs.replace(seen, findings=tuple(kept))


def _without_keys(value: Mapping[str, Any]) -> dict[str, Any]:
    """The members without the numbers of any key among them: a careless issuer may have put a private one in."""
    return {name: "(not shown)" if name == "x5c" else _keyless(member) for name, member in value.items()}


def _keyless(value: Any) -> Any:
    if isinstance(value, dict):
        if "kty" in value:
            kept = {name: value[name] for name in _SHOWN_OF_A_KEY if isinstance(value.get(name), str)}
            return {**kept, "…": "(not shown)"}
        return {name: _keyless(member) for name, member in value.items()}
    return [_keyless(member) for member in value] if isinstance(value, list) else value
