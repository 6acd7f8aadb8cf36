"""JWT (RFC 7519): verification and policy in one call, so that neither can be left out (RFC 8725, RFC 9068 §4).

`sign` and `verify` are for tokens that anybody may read, `encrypt` and `decrypt` for those that only holders of a
key can. Order of decisions: size and form, header, key, signature or decryption, claims well formed, claims that
the caller requires, `typ`, `iss`, `aud`, `nbf`, `iat`, and last `exp`: the code `token_expired` says that everything
else is right.

Time rules. `exp` is required; a token is expired from the second `exp` on, plus `leeway` (at most 60 s). `nbf` and
`iat` may lie in the future by 30 s or by `leeway`, whichever is more, so never by more than 60 s.
Times are numbers of seconds since 1970 (NumericDate) in [0, 253402300799].
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta

from frontdesk.clock import EPOCH, utc
from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwe, jws, strictjson
from frontdesk.jose.encryption_keys import EncryptionKey
from frontdesk.jose.headers import Header, media_type
from frontdesk.jose.jws import Keys
from frontdesk.jose.keys import Key
from frontdesk.jose.memo import TokenMemo

TIME_MAX: Final = 253402300799  # 9999-12-31T23:59:59Z, the last second of `datetime`
LEEWAY_MAX: Final = timedelta(seconds=60)
FUTURE_SECONDS: Final = 30  # more than clocks of nodes may differ by, less than the 60 s that are never accepted

_NO_TIME: Final = timedelta(0)
_SECOND: Final = timedelta(seconds=1)
# A member of this name in a payload is an extra claim like any other; see `_read`.
_EXTRA_NAME: Final = "(extra)"
_NO_EXTRA: Final[Mapping[str, Any]] = MappingProxyType({})

if TYPE_CHECKING:
    _Text: TypeAlias = str
    _Audience: TypeAlias = str | tuple[str, ...]
    _Time: TypeAlias = int | float
    _OptionalText: TypeAlias = str | None
    _OptionalAnyText: TypeAlias = str | None
    _OptionalTime: TypeAlias = int | float | None
    _OptionalTexts: TypeAlias = tuple[str, ...] | None
    _Extra: TypeAlias = Mapping[str, Any]
else:
    # What msgspec checks. A claim may be absent, then it is None; a null in the token is refused.
    _Text = Annotated[str, Meta(min_length=1)]
    _Audience = str | tuple[str, ...]
    _Time = Annotated[int, Meta(ge=0, le=TIME_MAX)] | Annotated[float, Meta(ge=0, le=TIME_MAX)]
    _OptionalText = _Text
    _OptionalAnyText = str
    _OptionalTime = _Time
    _OptionalTexts = tuple[str, ...]
    _Extra = Any


class Claims(msgspec.Struct, frozen=True, kw_only=True):
    """The claims of a verified token. An absent claim is None; its type and range are right where it is there.

    `iss` … `jti` are of RFC 7519 §4.1, `auth_time`, `amr`, `roles`, `scope`, `client_id` of RFC 9068 §2.2, `sid`
    of OpenID Connect. Times are seconds since 1970; `expires_at` and `issued_at` give them as `datetime`.
    `aud` is what the token says, one string or several. `extra` holds every other member, read-only.

    An issuer with claims of its own derives a class with further fields, each None by default, and gives it to
    `verify` as `record`: they are checked and typed like these. Their types should bound what they hold.
    """

    iss: _Text
    aud: _Audience
    exp: _Time
    sub: _OptionalText = None
    iat: _OptionalTime = None
    nbf: _OptionalTime = None
    jti: _OptionalText = None
    sid: _OptionalText = None
    auth_time: _OptionalTime = None
    amr: _OptionalTexts = None
    roles: _OptionalTexts = None
    scope: _OptionalAnyText = None
    client_id: _OptionalText = None
    extra: _Extra = msgspec.field(name=_EXTRA_NAME, default=_NO_EXTRA)

    @property
    def expires_at(self) -> datetime:
        return EPOCH + timedelta(seconds=self.exp)

    @property
    def issued_at(self) -> datetime | None:
        return None if self.iat is None else EPOCH + timedelta(seconds=self.iat)


class _Form:
    """What is known of a record class: how it is decoded, and the name and type of each claim."""

    __slots__ = ("decode", "types")

    def __init__(self, record: type[Claims]) -> None:
        fields = msgspec.structs.fields(record)
        if any(not field.required and field.default is not None for field in fields if field.name != "extra"):
            # What is there is told from what is absent by None: the quick path counts on it.
            raise TypeError(f"each field of {record.__name__} is required or None by default")
        self.decode: Final = msgspec.json.Decoder(record).decode
        self.types: Final[dict[str, Any]] = {field.encode_name: field.type for field in fields if field.name != "extra"}


_form: Final = cache(_Form)
_TYPES: Final = _form(Claims).types
REGISTERED: Final = frozenset(_TYPES)
"""The claims that `Claims` has a field for."""
_TIMES: Final = frozenset({"exp", "iat", "nbf", "auth_time"})

_convert: Final = msgspec.convert
_values: Final = msgspec.structs.astuple

_Verified: TypeAlias = tuple[Key, Header, Claims]
Memo: TypeAlias = TokenMemo[_Verified]
"""Tokens that were verified before: the key, the header and the claims of each. `jwt.Memo()` makes one."""
_Opened: TypeAlias = tuple[EncryptionKey, Header, Claims]
EncryptedMemo: TypeAlias = TokenMemo[_Opened]
"""The same for tokens that were decrypted before: `jwt.EncryptedMemo()` makes one."""


def sign(claims: Mapping[str, object], key: Key, *, typ: str) -> str:
    """The signed token. Its header holds `alg` and `kid` of the key, and `typ`.

    `claims` are plain JSON values; `exp`, `iat`, `nbf` and `auth_time` may be aware datetimes, of which whole
    seconds are kept. None is null and refused for a registered claim: leave the member out.

    TokenError: `claim_invalid` for a claim that `verify` would refuse by itself, `key_invalid`, `token_oversize`.
    Values that JSON does not have raise TypeError, a naive datetime ValueError.
    """
    _refuse_no_text(typ=typ)
    return jws.sign(_payload(claims), key, typ=typ)


def verify(
    token: str | bytes,
    keys: Keys,
    *,
    issuer: str,
    audience: str | Collection[str],
    typ: str,
    now: datetime,
    leeway: timedelta = _NO_TIME,
    require: Collection[str] = (),
    record: type[Claims] = Claims,
    memo: Memo | None = None,
) -> Claims:
    """The claims of `token`, if it is authentic, meant for us, of the right type and valid at `now`.

    `keys` is a key, a `KeySet` or a resolver; they must be those of `issuer` (RFC 8725 §3.8). `issuer` is compared
    exactly; one of the token's audiences must be (one of) `audience`. `typ` is compared as a media type: without
    regard to ASCII case and to a leading `application/`; a token without `typ` counts as "JWT", which types
    nothing. `require` names further claims that must be there. `leeway` is for clocks of others, 0 to 60 s.
    What is returned is a `record`: `Claims`, or a class derived from it.

    With `memo` a token that was accepted before is not taken apart and its signature not checked again, provided
    that its bytes are the same and `keys` still hold the very key; all of the policy and every time runs anew.

    Raises TokenError with a code of `codes.TOKEN_CODES`; TypeError and ValueError for misuse.
    """
    _refuse_misuse(issuer=issuer, audience=audience, typ=typ, now=now, leeway=leeway, require=require)
    known = None if memo is None else _recall(token, keys, record, memo)
    key, header, claims = known or _open(token, keys, record)
    try:
        _judge(header, claims, issuer=issuer, audience=audience, typ=typ, now=now, leeway=leeway, require=require)
    except TokenError:
        if memo is not None and known is not None:
            memo.drop(jws.as_bytes(token))  # as a rule, because its time is over
        raise
    if memo is not None and known is None and _is_immutable(claims):
        memo.keep(jws.as_bytes(token), key.kid, (key, header, claims))
    return claims


def verify_ignoring_expiry(
    token: str | bytes,
    keys: Keys,
    *,
    issuer: str,
    audience: str | Collection[str],
    typ: str,
    now: datetime,
    leeway: timedelta = _NO_TIME,
    require: Collection[str] = (),
    record: type[Claims] = Claims,
) -> Claims:
    """As `verify`, but a token whose time is over is still believed.

    For ending what the token names (a log-out), never for granting anything.
    """
    _refuse_misuse(issuer=issuer, audience=audience, typ=typ, now=now, leeway=leeway, require=require)
    _, header, claims = _open(token, keys, record)
    _judge(
        header,
        claims,
        issuer=issuer,
        audience=audience,
        typ=typ,
        now=now,
        leeway=leeway,
        require=require,
        expired_ok=True,
    )
    return claims


def encrypt(
    claims: Mapping[str, object],
    key: EncryptionKey,
    *,
    typ: str,
    random: bytes,
    enc: str = "A256GCM",
    signer: Key | None = None,
) -> str:
    """The encrypted token: its claims cannot be read without the key. Its header holds `alg`, `kid`, `enc`, `typ`.

    `claims` and `typ` are as in `sign`, `random` and `enc` as in `jwe.encrypt`. A symmetric key also proves who wrote
    the token. Everybody can encrypt to a public key, so there the claims are signed first, by `signer`: the
    encrypted token then holds the signed one (RFC 7519 §5.2, `cty: JWT`). A symmetric key takes a `signer`, too.

    TokenError as in `sign` and `jwe.encrypt`, and `algorithm_not_allowed` for an asymmetric key without `signer`.
    """
    _refuse_no_text(typ=typ)
    if not isinstance(key, EncryptionKey):
        raise TypeError("the key is not an EncryptionKey")
    if signer is not None:
        return jwe.encrypt(sign(claims, signer, typ=typ).encode(), key, random=random, enc=enc, cty="JWT")
    if not key.is_symmetric:
        raise _unsigned()
    return jwe.encrypt(_payload(claims), key, random=random, enc=enc, typ=typ)


def decrypt(
    token: str | bytes,
    keys: jwe.Keys,
    *,
    issuer: str,
    audience: str | Collection[str],
    typ: str,
    now: datetime,
    leeway: timedelta = _NO_TIME,
    require: Collection[str] = (),
    enc: str | Collection[str] = "A256GCM",
    signers: Keys | None = None,
    record: type[Claims] = Claims,
    memo: EncryptedMemo | None = None,
) -> Claims:
    """The claims of an encrypted `token`, if it is authentic, meant for us, of the right type and valid at `now`.

    The twin of `verify`, with the same policy. `keys` are symmetric ones, which only the issuer shares, and the
    token holds the claims; or `signers` are the issuer's signature keys, and the token holds a signed one, whose
    header says its `typ`. Without `signers` an asymmetric key is refused: anybody may have written the token.
    `enc` lists the content encryptions that are taken. `memo` is as in `verify`, and only for use without `signers`.

    Raises TokenError with a code of `codes.TOKEN_CODES`; TypeError and ValueError for misuse.
    """
    _refuse_misuse(issuer=issuer, audience=audience, typ=typ, now=now, leeway=leeway, require=require)
    if memo is not None and signers is not None:
        raise ValueError("a memo is for encrypted tokens that hold no signed one")
    known = None if memo is None else _recall_opened(token, keys, enc, record, memo)
    key, header, claims = known or _decrypt(token, keys, enc, signers, record)
    try:
        _judge(header, claims, issuer=issuer, audience=audience, typ=typ, now=now, leeway=leeway, require=require)
    except TokenError:
        if memo is not None and known is not None:
            memo.drop(jwe.as_bytes(token))  # as a rule, because its time is over
        raise
    if memo is not None and known is None and _is_immutable(claims):
        memo.keep(jwe.as_bytes(token), key.kid, (key, header, claims))
    return claims


def decrypt_ignoring_expiry(
    token: str | bytes,
    keys: jwe.Keys,
    *,
    issuer: str,
    audience: str | Collection[str],
    typ: str,
    now: datetime,
    leeway: timedelta = _NO_TIME,
    require: Collection[str] = (),
    enc: str | Collection[str] = "A256GCM",
    signers: Keys | None = None,
    record: type[Claims] = Claims,
) -> Claims:
    """As `decrypt`, but a token whose time is over is still believed.

    For ending what the token names (a log-out), never for granting anything.
    """
    _refuse_misuse(issuer=issuer, audience=audience, typ=typ, now=now, leeway=leeway, require=require)
    _, header, claims = _decrypt(token, keys, enc, signers, record)
    _judge(
        header,
        claims,
        issuer=issuer,
        audience=audience,
        typ=typ,
        now=now,
        leeway=leeway,
        require=require,
        expired_ok=True,
    )
    return claims


def _decrypt(
    token: str | bytes,
    keys: jwe.Keys,
    enc: str | Collection[str],
    signers: Keys | None,
    record: type[Claims],
) -> _Opened:
    """The header is the one whose `typ` counts: that of the signed token where there is one."""
    header, _, plaintext, key = jwe.unseal(token, keys, enc)
    if signers is None:
        if not key.is_symmetric:
            raise _unsigned()
        if header.cty == "jwt":
            raise TokenError("header_invalid", "The token holds another token, for which no keys were given.")
        return key, header, _read(plaintext, record)
    if header.cty != "jwt":
        raise TokenError("header_invalid", "The token holds no signed one, as was expected.")
    _, inner, claims = _open(plaintext, signers, record)
    return key, inner, claims


def _recall_opened(
    token: str | bytes, keys: jwe.Keys, enc: str | Collection[str], record: type[Claims], memo: EncryptedMemo
) -> _Opened | None:
    known = memo.find(jwe.as_bytes(token))
    if known is None:
        return None
    key, header, claims = known
    # The key is gone, or another one has its id; another content encryption or record is asked for.
    holds = jwe.key_for(header, keys) is key and jwe.is_listed(header, enc) and type(claims) is record
    return known if holds else None


def _unsigned() -> TokenError:
    return TokenError("algorithm_not_allowed", "Anybody can encrypt to a public key: the token must hold a signed one.")


def _open(token: str | bytes, keys: Keys, record: type[Claims]) -> _Verified:
    header, payload, key = jws.authenticate(token, keys)
    if header.cty == "jwt":
        raise TokenError("header_invalid", "The token holds another token, which is not opened here.")
    return key, header, _read(b64.decode(payload), record)


def _recall(token: str | bytes, keys: Keys, record: type[Claims], memo: Memo) -> _Verified | None:
    known = memo.find(jws.as_bytes(token))
    if known is None or (jws.key_for(known[1], keys) is known[0] and type(known[2]) is record):
        return known
    return None  # The key is gone, or another one has its id; or another record was asked for.


def _judge(
    header: Header,
    claims: Claims,
    *,
    issuer: str,
    audience: str | Collection[str],
    typ: str,
    now: datetime,
    leeway: timedelta,
    require: Collection[str],
    expired_ok: bool = False,
) -> None:
    """The policy, on claims that are well formed. It runs for a remembered token like for a new one."""
    if require:
        _refuse_missing(claims, require)
    if header.typ != typ and header.typ != media_type(typ):
        raise TokenError("type_mismatch", "The token is of another type.")
    if claims.iss != issuer:
        raise TokenError("issuer_mismatch", "The token was issued by somebody else.")
    if claims.aud != audience and not _is_addressed(claims.aud, audience):
        raise TokenError("audience_mismatch", "The token was issued for somebody else.")
    moment = now.timestamp()
    slack = leeway.total_seconds() if leeway else 0
    latest = moment + (max(FUTURE_SECONDS, slack) if leeway else FUTURE_SECONDS)
    if claims.nbf is not None and claims.nbf > latest:
        raise TokenError("token_not_yet_valid", "The token is not valid yet.")
    if claims.iat is not None and claims.iat > latest:
        raise TokenError("token_not_yet_valid", "The token was issued in the future.")
    if moment >= claims.exp + slack and not expired_ok:
        raise TokenError("token_expired", "The token has expired.")


def _refuse_misuse(
    *,
    issuer: str,
    audience: str | Collection[str],
    typ: str,
    now: datetime,
    leeway: timedelta,
    require: Collection[str],
) -> None:
    if type(issuer) is not str or type(typ) is not str or not issuer or not typ:
        _refuse_no_text(issuer=issuer, typ=typ)
    if type(audience) is not str or not audience:
        _refuse_bad_audience(audience)
    if leeway or type(now) is not datetime or now.tzinfo is None:
        _refuse_bad_time(now, leeway)
    if type(require) is str:
        raise TypeError("require is a collection of claim names")


def _refuse_no_text(**arguments: object) -> None:
    for name, argument in arguments.items():
        if not isinstance(argument, str):
            raise TypeError(f"{name} is a string")
        if not argument:
            raise ValueError(f"{name} is not empty")


def _refuse_bad_audience(audience: object) -> None:
    if not isinstance(audience, Collection) or isinstance(audience, bytes | bytearray):
        raise TypeError("audience is a string or a collection of strings")
    if not all(isinstance(name, str) for name in audience):
        raise TypeError("audience is a string or a collection of strings")
    if not audience or not all(audience):
        raise ValueError("audience is not empty")


def _refuse_bad_time(now: object, leeway: timedelta) -> None:
    if not isinstance(now, datetime):
        raise TypeError("now is a datetime")
    if now.tzinfo is None:
        utc(now)  # raises, and says what to do
    if leeway and not _NO_TIME <= leeway <= LEEWAY_MAX:
        raise ValueError("leeway is 0 to 60 seconds")


def _is_addressed(named: str | tuple[str, ...], audience: str | Collection[str]) -> bool:
    wanted = (audience,) if isinstance(audience, str) else audience
    return any(name in wanted for name in ((named,) if isinstance(named, str) else named))


def _is_immutable(claims: Claims) -> bool:
    """Whether nobody who is handed these claims can change them for the next one: only then are they remembered."""
    return not any(isinstance(value, dict | list) for value in (*_values(claims), *claims.extra.values()))


def _read(document: bytes, record: type[Claims]) -> Claims:
    """The typed record. TokenError: `token_malformed`, `claim_missing`, `claim_invalid`.

    The decoder of the record skips members that it does not know without looking into them. When the members it
    found are as many as counting finds in the document, there is none that it skipped and none that came twice
    (`strictjson`, 1); None and `extra` are not counted. Otherwise every member is decoded and then converted.
    """
    form = _form(record)
    if record is not Claims:  # Who names a record expects tokens of its shape; elsewhere other claims are usual.
        try:
            claims: Claims = form.decode(document)
            values = _values(claims)
            if strictjson.is_plain(document, len(values) - values.count(None) - 1):
                return claims
        except (ValueError, RecursionError):
            pass  # The other path decides, and finds the words.
    return _read_all(document, record, form.types)


def _read_all(document: bytes, record: type[Claims], types: Mapping[str, Any]) -> Claims:
    members = strictjson.decode(document)
    extra = {}
    for name in members:  # A comprehension would be a call of its own.
        if name not in types:
            extra[name] = members[name]
    if extra:  # The types of the others leave no room for deep nesting and large numbers.
        strictjson.refuse_beyond_limits(extra.values())
    # Put in last: it replaces a member of this name, which `extra` has kept.
    members[_EXTRA_NAME] = MappingProxyType(extra)
    try:
        return _convert(members, record)
    except (msgspec.ValidationError, OverflowError):
        raise _first_fault(members, types) from None


def _first_fault(members: Mapping[str, Any], types: Mapping[str, Any]) -> TokenError:
    for name, kind in types.items():
        if name in members and not _fits(members[name], kind):
            return TokenError("claim_invalid", f"The claim `{name}` has the wrong type or is out of range.")
    missing = next((name for name in ("iss", "aud", "exp") if name not in members), "")
    return TokenError("claim_missing", f"The claim `{missing}` is missing.")


def _refuse_missing(claims: Claims, require: Collection[str]) -> None:
    types = _form(type(claims)).types
    for name in require:
        if getattr(claims, name) is None if name in types else name not in claims.extra:
            raise TokenError("claim_missing", f"The claim `{name}` is missing.")


def _fits(value: object, kind: Any) -> bool:
    try:
        _convert(value, kind)
    except (msgspec.ValidationError, OverflowError):
        return False
    return True


# Whoever signs may leave them out; `verify` then refuses.
_REQUIRED: Final[Mapping[str, Any]] = {"iss": "-", "aud": "-", "exp": 0}


def _payload(claims: Mapping[str, object]) -> bytes:
    """The JSON of claims that `verify` would take; see `sign`."""
    if not isinstance(claims, Mapping):
        raise TypeError("claims are a mapping")
    members = dict(claims)
    for name in _TIMES:
        moment = members.get(name)
        if isinstance(moment, datetime):
            members[name] = (utc(moment) - EPOCH) // _SECOND
    _refuse_not_json(members, 1)
    try:
        payload = strictjson.serialise(members)
    except UnicodeError:
        raise TokenError("claim_invalid", "A claim is not valid Unicode.") from None
    if not _fits({**_REQUIRED, **members}, Claims):  # all at once, which costs as much as one by itself
        raise _first_fault(members, _TYPES)
    return payload


def _refuse_not_json(value: object, depth: int) -> None:
    """TypeError for what JSON does not have, TokenError for what `verify` would refuse."""
    # Tuples, because a union of types is built anew at each call.
    if value is None or isinstance(value, (str, bool)):
        return
    if isinstance(value, int):
        if not strictjson.INT_MIN <= value <= strictjson.INT_MAX:
            raise TokenError("claim_invalid", "A claim holds a number that is out of range.")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise TokenError("claim_invalid", "A claim holds a number that is not finite.")
    elif isinstance(value, (dict, list, tuple, Mapping)):
        if depth > strictjson.MAX_DEPTH:
            raise TokenError("claim_invalid", "The claims are nested too deeply.")
        if isinstance(value, (dict, Mapping)):
            if not all(isinstance(name, str) for name in value):
                raise TypeError("the names of claims are strings")
            value = list(value.values())
        for member in value:
            _refuse_not_json(member, depth + 1)
    else:
        raise TypeError(f"a claim cannot hold a {type(value).__name__}")
