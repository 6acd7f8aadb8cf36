"""Compact JWE: what the header may say, sizes, forms, and that every failure looks the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwe, jwk, jws
from frontdesk.jose.codes import TOKEN_CODES
from frontdesk.jose.content import CONTENTS
from frontdesk.jose.encryption_jwk import (
    DirectKey,
    EcAgreementKey,
    EncryptionKey,
    EncryptionKeySet,
    RsaEncryptionKey,
    WrapKey,
    X25519Key,
    from_jwk,
)
from frontdesk.jose.headers import MEMO_MAX
from tests.jose import minting
from tests.jose.minting import attempted
from tests.jose.sealing import DIRECT, KINDS, PUBLIC_KINDS, craft, encs, key, random, refusal, seal, sender

GCM = "dir A256GCM"
CBC = "dir A128CBC-HS256"
HEADER = {"alg": "dir", "enc": "A256GCM", "kid": GCM}
PAIRS = [(kind, enc) for kind in KINDS for enc in encs(kind)]


def _parts(token: str | bytes) -> list[bytes]:
    return (token.encode() if isinstance(token, str) else token).split(b".")


def _header(token: str | bytes) -> dict[str, Any]:
    members: dict[str, Any] = json.loads(b64.decode(_parts(token)[0]))
    return members


@pytest.mark.parametrize(("kind", "enc"), PAIRS)
@pytest.mark.parametrize("plaintext", [b"", b"any bytes \xff", b"x" * 10_000])
def test_what_was_encrypted_is_decrypted(kind: str, enc: str, plaintext: bytes) -> None:
    token = seal(plaintext, kind, enc, typ="at+jwt", cty="text/plain")
    for form in (token, token.encode()):
        ways: list[Any] = [key(kind), EncryptionKeySet([key(kind)]), {kind: key(kind)}.get]
        for keys in ways:
            found = jwe.decrypt(form, keys, enc=enc)
            assert found.plaintext == plaintext
            assert found.key.kid == found.header.kid == kind
            assert (found.enc, found.header.typ, found.header.cty) == (enc, "at+jwt", "text/plain")
            assert jwe.decrypt(form, keys, enc=(enc,)) == found


@pytest.mark.parametrize(("kind", "enc"), PAIRS)
def test_the_header_says_what_is_needed_and_nothing_else(kind: str, enc: str) -> None:
    header = _header(seal(b"x", kind, enc))
    ephemeral = header.pop("epk", None)
    assert header == {"alg": kind.split(maxsplit=1)[0], "kid": kind, "enc": enc}
    assert (ephemeral is not None) == kind.startswith("ECDH")
    assert ephemeral is None or set(ephemeral) <= {"kty", "crv", "x", "y"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_for_another_key_is_refused(kind: str) -> None:
    members = key(kind).to_jwk(private=True)
    others: dict[str, Callable[[], EncryptionKey]] = {
        "oct": lambda: from_jwk({**members, "k": b64.encode(random(len(b64.decode(members["k"].encode())))).decode()}),
        "EC": lambda: EcAgreementKey.generate(alg=key(kind).alg, crv=members["crv"], kid=kind),
        "OKP": lambda: X25519Key.generate(alg=key(kind).alg, kid=kind),
        "RSA": lambda: RsaEncryptionKey.generate(bits=2048, kid=kind),
    }
    assert refusal(seal(b"x", kind), others[members["kty"]]()) == "decryption_failed"


# --- the header table

_TEXTS = ("typ", "cty", "jku", "x5u", "x5t", "x5t#S256", "p2s", "iv", "tag", "apu", "apv")
_REFUSED = ("crit", "b64", "zip")
_VALUES = {
    "null": "null",
    "true": "true",
    "empty": '""',
    "two digits": '"10"',
    "1e309": "1e309",
    "NaN": "NaN",
    "minus one": "-1",
    "one": "1",
    "10^400": "1" + "0" * 400,
    "list": "[]",
    "object": "{}",
}


def _expected(name: str, value: str) -> str:
    if value in ("1e309", "NaN", _VALUES["10^400"]):
        return "token_malformed"
    if name in _REFUSED:
        return "header_invalid"
    other_types = {"jwk": "{}", "epk": "{}", "x5c": "[]", "p2c": "1"}
    right_type = value == other_types[name] if name in other_types else value in ('""', '"10"')
    if not right_type or name in ("jku", "x5u"):  # no address begins like these
        return "header_invalid"
    if name in ("apu", "apv") and value == '"10"':  # not canonical
        return "header_invalid"
    wrong = {"alg": "algorithm_not_allowed", "enc": "algorithm_not_allowed", "kid": "key_unknown"}
    return wrong.get(name, "accepted")


@pytest.mark.parametrize("name", ["alg", "enc", "kid", *_TEXTS, *_REFUSED, "jwk", "epk", "x5c", "p2c"])
@pytest.mark.parametrize("value", _VALUES.values(), ids=_VALUES.keys())
@pytest.mark.parametrize("separator", [":", " : "])
def test_each_header_parameter_with_each_odd_value(name: str, value: str, separator: str) -> None:
    members = {member: json.dumps(text) for member, text in HEADER.items()} | {name: value}
    header = ",".join(f'"{member}"{separator}{text}' for member, text in members.items())
    assert refusal(craft(f"{{{header}}}".encode()), key(GCM)) == _expected(name, value)


@pytest.mark.parametrize("name", ["alg", "enc", "kid", *_TEXTS, *_REFUSED, "jwk", "epk", "x5c", "p2c", "other"])
def test_a_header_parameter_that_comes_twice_is_refused(name: str) -> None:
    header = json.dumps(HEADER)[:-1] + f',"{name}":"A256GCM","{name}":"A256GCM"}}'
    assert refusal(craft(header.encode()), key(GCM)) == "token_malformed"


@pytest.mark.parametrize("name", ["jku", "x5u"])
def test_an_address_of_keys_is_never_followed(name: str) -> None:
    assert refusal(craft({**HEADER, name: "https://attacker.example/jwks.json"}), key(GCM)) == "accepted"
    assert refusal(craft({**HEADER, name: "http://attacker.example/jwks.json"}), key(GCM)) == "header_invalid"


@pytest.mark.parametrize(("name", "code"), [("alg", "header_invalid"), ("enc", "header_invalid"), ("kid", "accepted")])
def test_algorithms_are_required_and_a_key_id_is_not(name: str, code: str) -> None:
    header = {member: value for member, value in HEADER.items() if member != name}
    assert refusal(craft(header), key(GCM)) == code
    assert refusal(craft({**header, "new": {"a": [1]}}), key(GCM)) == code


@pytest.mark.parametrize("critical", [["exp"], [], "exp", ["zip"], ["alg"], None, {"exp": 1}])
def test_a_critical_extension_is_refused_in_every_form(critical: object) -> None:
    assert refusal(craft({**HEADER, "crit": critical, "exp": 1}), key(GCM)) == "header_invalid"


@pytest.mark.parametrize("zipped", ["DEF", "def", "none", "", None, False])
def test_compression_is_refused_and_never_done(zipped: object) -> None:
    bomb = craft({**HEADER, "zip": zipped}, b"\xed\xc1\x01\x01" + b"\x00" * 1000)
    assert refusal(bomb, key(GCM)) == "header_invalid"


@pytest.mark.parametrize(
    "alg",
    [
        "none", "NONE", "", "DIR", "dir ", "RSA1_5", "RSA-OAEP", "RSA-OAEP-512", "A128KW", "A192KW", "A128GCMKW",
        "A256GCMKW", "PBES2-HS256+A128KW", "PBES2-HS512+A256KW", "ECDH-ES+A128KW", "ECDH-1PU", "HS256", "ES256",
    ],
)  # fmt: skip
def test_other_algorithms_are_refused_whatever_work_they_ask_for(alg: str) -> None:
    token = craft({**HEADER, "alg": alg, "p2s": "AAAA", "p2c": 2**31 - 1, "iv": "AAAA", "tag": "AAAA"})
    for keys in (key(GCM), EncryptionKeySet([key(GCM)]), lambda _: key(GCM)):
        assert refusal(token, keys) == "algorithm_not_allowed"


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_serves_its_own_algorithm_alone(kind: str) -> None:
    for other in KINDS:
        if key(other).alg != key(kind).alg:
            assert refusal(seal(b"x", other), lambda _: key(kind)) == "algorithm_not_allowed"


# --- content encryption


@pytest.mark.parametrize("kind", KINDS)
def test_a_content_encryption_that_the_call_does_not_list_is_refused(kind: str) -> None:
    for enc in encs(kind):
        token = seal(b"x", kind, enc)
        others = tuple(name for name in CONTENTS if name != enc)
        assert refusal(token, key(kind), others) == "algorithm_not_allowed"
        assert refusal(token, key(kind), frozenset(CONTENTS)) == "accepted"
        expected = "accepted" if enc == "A256GCM" else "algorithm_not_allowed"
        assert attempted(lambda: jwe.decrypt(token, key(kind)))[1] == expected  # noqa: B023


@pytest.mark.parametrize("kind", DIRECT)
def test_a_direct_key_serves_one_content_encryption_alone(kind: str) -> None:
    mine = encs(kind)[0]
    for other in CONTENTS:
        if other != mine:
            assert (
                refusal(craft({**HEADER, "kid": kind, "enc": other}, kind=kind), key(kind)) == "algorithm_not_allowed"
            )
            size = jwe.random_size(key(kind), other)
            outcome = attempted(lambda: jwe.encrypt(b"x", key(kind), enc=other, random=random(size)))  # noqa: B023
            assert outcome == (None, "algorithm_not_allowed")


@pytest.mark.parametrize("enc", CONTENTS)
def test_a_tag_or_iv_of_another_length_is_refused(enc: str) -> None:
    head, encrypted_key, iv, ciphertext, tag = _parts(seal(b"x" * 32, f"dir {enc}"))
    for position, part in ((2, iv), (4, tag)):
        raw = b64.decode(part)
        for changed in (b"", raw[:-1], raw[:4], raw[:12] + b"\0" * 3, raw + b"\0", b"\0" + raw, raw + raw):
            parts = [head, encrypted_key, iv, ciphertext, tag]
            parts[position] = b64.encode(changed)
            if changed != raw:
                assert refusal(b".".join(parts), key(f"dir {enc}")) == "decryption_failed"
    moved = b".".join((head, encrypted_key, iv, b64.encode(b64.decode(ciphertext) + b64.decode(tag)), b""))
    assert refusal(moved, key(f"dir {enc}")) == "decryption_failed"


def test_a_padding_under_a_good_mac_is_the_same_refusal() -> None:
    # Only who holds the key can write this: ciphertexts that are not whole blocks, or end in no padding.
    cipher: Any = CONTENTS["A128CBC-HS256"].cipher(secret := random(32))
    owner = DirectKey(secret, enc="A128CBC-HS256", kid="k")
    head = b64.encode(json.dumps({"alg": "dir", "enc": "A128CBC-HS256"}).encode())
    for ciphertext in (b"", b"x" * 15, b"x" * 16, b"x" * 17, b"x" * 64):
        iv = random(16)
        mac = cipher._tag(iv, ciphertext, head)
        token = b".".join((head, b"", *map(b64.encode, (iv, ciphertext, mac))))
        assert refusal(token, owner) == "decryption_failed"


# --- the encrypted key


def _with_encrypted_key(token: str, encrypted_key: bytes) -> bytes:
    parts = _parts(token)
    parts[1] = b64.encode(encrypted_key)
    return b".".join(parts)


@pytest.mark.parametrize("kind", KINDS)
def test_every_bad_encrypted_key_is_the_same_refusal(kind: str) -> None:
    token = seal(b"x", kind)
    good = b64.decode(_parts(token)[1])
    bad = [good + b"\0" * 8, good[:-8], good[::-1] + b"\1" * 8, b"\0" * 40, b"\xff" * 256, b"x", b"\0" * 24, good * 2]
    sentences = set()
    for encrypted_key in {*bad} - {good}:
        with pytest.raises(TokenError) as caught:
            jwe.decrypt(_with_encrypted_key(token, encrypted_key), key(kind), enc=tuple(CONTENTS))
        sentences.add((caught.value.code, caught.value.message, caught.value.__cause__, caught.value.detail))
    assert sentences == {("decryption_failed", "The token cannot be decrypted with this key.", None, "")}


@pytest.mark.parametrize("kind", ["A256KW", "RSA-OAEP-256", "ECDH-ES+A256KW X25519"])
def test_a_wrapped_key_of_the_wrong_size_is_the_same_refusal(kind: str) -> None:
    """The sender wraps a key for one content encryption and names another of a different size."""
    small, large = seal(b"x", kind, "A128GCM"), seal(b"x", kind, "A256CBC-HS512")
    for token, enc in ((small, "A256GCM"), (large, "A256GCM"), (large, "A128CBC-HS256")):
        parts = _parts(token)
        parts[0] = b64.encode(json.dumps({**_header(token), "enc": enc}).encode())
        assert refusal(b".".join(parts), key(kind)) == "decryption_failed"


@pytest.mark.parametrize("enc", CONTENTS)
def test_the_decoy_for_an_unusable_key_opens_nothing(enc: str) -> None:
    content = CONTENTS[enc]
    owner = WrapKey(random(32), kid="w")
    head = b64.encode(json.dumps({"alg": "A256KW", "enc": enc}).encode())
    iv = random(content.iv_size)
    ciphertext, tag = content.decoy.seal(iv, b"forged", head)
    assert content.decoy.open(iv, ciphertext, tag, head) == b"forged"
    token = b".".join((head, *map(b64.encode, (b"\0" * 40, iv, ciphertext, tag))))
    assert refusal(token, owner) == "decryption_failed"


# --- key agreement


def _with_epk(token: str, epk: object) -> bytes:
    parts = _parts(token)
    header = _header(token)
    if epk is None:
        del header["epk"]
    else:
        header["epk"] = epk
    parts[0] = b64.encode(json.dumps(header).encode())
    return b".".join(parts)


_ZERO = b64.encode(bytes(32)).decode()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("ECDH-ES ")])
def test_an_ephemeral_key_with_its_private_part_is_refused(kind: str) -> None:
    # It is a good pair, and the token would open: but then everybody could open it.
    pair = _pair_beside(kind)
    public = {name: value for name, value in pair.items() if name in ("kty", "crv", "x", "y")}
    assert refusal(_with_epk(seal(b"x", kind), public), key(kind)) == "decryption_failed"
    assert refusal(_with_epk(seal(b"x", kind), {**public, "d": pair["d"]}), key(kind)) == "header_invalid"


def _pair_beside(kind: str) -> dict[str, str]:
    """The JWK of another private key on the curve of `kind`."""
    crv = kind.split()[1]
    if crv == "X25519":
        return X25519Key.generate(alg="ECDH-ES").to_jwk(private=True)
    return EcAgreementKey.generate(alg="ECDH-ES", crv=crv).to_jwk(private=True)


@pytest.mark.parametrize("kind", ["ECDH-ES P-256", "ECDH-ES+A256KW P-256"])
def test_an_ephemeral_key_that_is_no_point_of_the_curve_is_refused(kind: str) -> None:
    token = seal(b"x", kind)
    good = _header(token)["epk"]
    other = EcAgreementKey.generate(alg="ECDH-ES", crv="P-384").to_jwk()
    # The curves of the attack: the point satisfies another equation, where the key is read off bit by bit.
    off_curve = {**good, "x": "gTa1XQSSd3SFFkRrG2vYq1b5Fy0CgXrWjXcdCwqJVE0", "y": good["y"]}
    forms: list[Any] = [
        None, {}, [], "x", {**good, "y": good["x"]}, off_curve, {**good, "x": _ZERO, "y": _ZERO}, {**good, "x": ""},
        {**good, "x": good["x"] + "A"}, {**good, "x": good["x"][:-2]}, {**good, "x": 1}, {**good, "y": None},
        {**good, "crv": "P-384"}, {**good, "crv": "P-999"}, {**good, "kty": "OKP"}, {**good, "kty": "oct"}, other,
        {"kty": "OKP", "crv": "X25519", "x": _ZERO}, {**good, "d": good["x"]}, {**good, "crv": ["P-256"]},
    ]  # fmt: skip
    for bad in forms:
        assert refusal(_with_epk(token, bad), key(kind)) == "header_invalid", bad


_P = 2**255 - 19
_SMALL_ORDER = (
    0, 1, _P - 1, _P, _P + 1, 2**255, 2**255 + 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)  # fmt: skip


@pytest.mark.parametrize("kind", ["ECDH-ES X25519", "ECDH-ES+A256KW X25519"])
@pytest.mark.parametrize("point", _SMALL_ORDER)
def test_an_x25519_key_of_small_order_is_refused(kind: str, point: int) -> None:
    x = b64.encode(point.to_bytes(32, "little")).decode()
    epk = {"kty": "OKP", "crv": "X25519", "x": x}
    assert refusal(_with_epk(seal(b"x", kind), epk), key(kind)) == "header_invalid"
    assert attempted(lambda: from_jwk({**epk, "alg": "ECDH-ES"})) == (None, "key_invalid")


def test_the_names_of_the_parties_enter_the_derivation() -> None:
    kind = "ECDH-ES P-256"
    token = seal(b"x", kind, apu=b"Alice", apv=b"Bob")
    assert _header(token)["apu"] == "QWxpY2U"
    assert _header(token)["apv"] == "Qm9i"
    assert jwe.decrypt(token, key(kind)).plaintext == b"x"
    parts = _parts(token)
    for change in ({"apu": "QWxpY2V"[:6] + "g"}, {"apv": ""}, {"apu": "Qm9i", "apv": "QWxpY2U"}):
        parts[0] = b64.encode(json.dumps({**_header(token), **change}).encode())
        assert refusal(b".".join(parts), key(kind)) in ("decryption_failed", "header_invalid")
    with pytest.raises(ValueError, match="ECDH-ES"):
        seal(b"x", "A256KW", apu=b"Alice")


@pytest.mark.parametrize("crv", ["P-256", "P-384", "P-521"])
def test_every_seed_makes_an_ephemeral_key(crv: str) -> None:
    owner = EcAgreementKey.generate(alg="ECDH-ES", crv=crv, kid="k")
    size = jwe.random_size(owner)
    for seed in (b"\0", b"\xff"):
        assert jwe.decrypt(jwe.encrypt(b"x", owner, random=seed * size), owner).plaintext == b"x"


# --- operations and kinds of keys


@pytest.mark.parametrize("kind", KINDS)
def test_operations_bound_the_use_of_a_key(kind: str) -> None:
    members: dict[str, Any] = key(kind).to_jwk(private=True)
    owner = key(kind)
    seals = sorted(owner.sealing_operations - owner.opening_operations)
    opens = sorted(owner.opening_operations - owner.sealing_operations)
    if not kind.startswith("ECDH"):
        assert refusal(seal(b"x", kind), from_jwk({**members, "key_ops": seals})) == "key_invalid"
        reader = from_jwk({**members, "key_ops": opens})
        enc = encs(kind)[0]
        size = jwe.random_size(reader, enc)
        assert attempted(lambda: jwe.encrypt(b"x", reader, enc=enc, random=random(size))) == (None, "key_invalid")
        assert refusal(seal(b"x", kind), reader) == "accepted"


@pytest.mark.parametrize("kind", PUBLIC_KINDS)
def test_a_public_key_opens_nothing(kind: str) -> None:
    assert refusal(seal(b"x", kind), sender(kind)) == "key_invalid"


def test_signature_keys_and_encryption_keys_do_not_take_each_others_place() -> None:
    signed, encrypted = minting.token(), seal(b"x", GCM)
    misuses: list[Callable[[], object]] = [
        lambda: jwe.decrypt(encrypted, minting.key("HS256")),  # type: ignore[arg-type]
        lambda: jwe.decrypt(encrypted, jwk.KeySet([minting.key("HS256")])),  # type: ignore[arg-type]
        lambda: jwe.decrypt(encrypted, lambda _: minting.key("HS256")),  # type: ignore[arg-type,return-value]
        lambda: jwe.encrypt(b"x", minting.key("HS256"), random=bytes(12)),  # type: ignore[arg-type]
        lambda: jws.verify(signed, key(GCM)),  # type: ignore[arg-type]
        lambda: jws.verify(signed, EncryptionKeySet([key(GCM)])),  # type: ignore[arg-type]
        lambda: jws.sign(b"x", key(GCM)),  # type: ignore[arg-type]
        lambda: jwk.KeySet([key(GCM)]),  # type: ignore[list-item]
        lambda: EncryptionKeySet([minting.key("HS256")]),  # type: ignore[list-item]
    ]
    for misuse in misuses:
        with pytest.raises(TypeError):
            misuse()


def test_misuse_is_a_type_or_value_error() -> None:
    token = seal(b"x", GCM)
    misuses: list[tuple[type[Exception], Callable[[], object]]] = [
        (TypeError, lambda: jwe.decrypt(None, key(GCM))),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.decrypt(token, None)),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.decrypt(token, key(GCM), enc=None)),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.decrypt(token, key(GCM), enc=b"A256GCM")),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.decrypt(token, key(GCM), enc=[1])),  # type: ignore[list-item]
        (ValueError, lambda: jwe.decrypt(token, key(GCM), enc="A512GCM")),
        (ValueError, lambda: jwe.decrypt(token, key(GCM), enc=["A256GCM", "none"])),
        (ValueError, lambda: jwe.decrypt(token, key(GCM), enc=[])),
        (TypeError, lambda: jwe.encrypt("x", key(GCM), random=bytes(12))),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.encrypt(b"x", key(GCM), random=None)),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.encrypt(b"x", key(GCM), random=bytes(12), typ=1)),  # type: ignore[arg-type]
        (TypeError, lambda: jwe.random_size(None)),  # type: ignore[arg-type]
        (ValueError, lambda: jwe.encrypt(b"x", key(GCM), random=bytes(11))),
        (ValueError, lambda: jwe.encrypt(b"x", key(GCM), random=bytes(13))),
        (ValueError, lambda: jwe.encrypt(b"x", key(GCM), random=bytes(12), enc="A512GCM")),
    ]
    for error, misuse in misuses:
        with pytest.raises(error):
            misuse()


# --- sizes and forms


def test_a_token_above_64_kib_is_refused_before_it_is_split_and_is_never_made() -> None:
    overhead = len(seal(b"", GCM))
    fits = (jwe.TOKEN_MAX - overhead) * 3 // 4 - 2
    token = seal(b"x" * fits, GCM)
    assert jwe.TOKEN_MAX - 8 < len(token) <= jwe.TOKEN_MAX
    assert refusal(token, key(GCM)) == "accepted"
    assert attempted(lambda: seal(b"x" * (fits + 9), GCM))[1] == "token_oversize"
    for large in ("." * 10_000_000, b"." * 10_000_000, "a" * (jwe.TOKEN_MAX + 1), "é" * (jwe.TOKEN_MAX + 1)):
        assert refusal(large, key(GCM)) == "token_oversize"


def test_a_header_above_4_kib_is_refused_and_never_made() -> None:
    assert refusal(craft({**HEADER, "x": "x" * 3000}), key(GCM)) == "accepted"
    assert refusal(craft({**HEADER, "x": "x" * 4000}), key(GCM)) == "token_oversize"
    assert attempted(lambda: seal(b"x", GCM, typ="x" * 4000))[1] == "token_oversize"


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "....", "a.b", "a.b.c.d", "a.b.c.d.e.f", "." * 100, '{"ciphertext":"","protected":""}', "é....",
        "\0" * 9,
        json.dumps({"protected": "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0", "iv": "", "ciphertext": "", "tag": ""}),
    ],
)  # fmt: skip
def test_what_is_no_compact_jwe_is_refused(token: str) -> None:
    for form in (token, token.encode()):
        assert refusal(form, key(GCM)) == "token_malformed"


def test_a_signed_token_is_refused_here_and_an_encrypted_one_there() -> None:
    signed, encrypted = minting.token(), seal(b"x", GCM)
    with pytest.raises(TokenError, match="signed token") as caught:
        jwe.decrypt(signed, key(GCM))
    assert caught.value.code == "token_malformed"
    with pytest.raises(TokenError, match="encrypted token") as caught:
        jws.verify(encrypted, minting.key("HS256"))
    assert caught.value.code == "token_malformed"
    # Five parts whose header speaks of a signature, and three whose header speaks of encryption.
    assert refusal(craft({"alg": "HS256", "kid": GCM}), key(GCM)) == "header_invalid"
    three = minting.craft({**HEADER, "alg": "HS256"}, b"x", minting.key("HS256"))
    assert attempted(lambda: jws.verify(three, minting.key("HS256")))[1] == "header_invalid"


@pytest.mark.parametrize("kind", [*DIRECT, "A256KW", "ECDH-ES X25519", "ECDH-ES+A256KW P-256", "RSA-OAEP-256"])
def test_every_truncation_is_refused(kind: str) -> None:
    token = seal(b"some text", kind).encode()
    step = 1 if kind in DIRECT else 5
    for length in range(0, len(token), step):
        assert refusal(token[:length], key(kind)) in ("token_malformed", "decryption_failed")
        assert refusal(token[len(token) - length :], key(kind)) in TOKEN_CODES


@pytest.mark.parametrize("kind", [GCM, CBC, "A256KW"])
def test_every_change_of_a_single_byte_is_refused(kind: str) -> None:
    token = seal(b"some text", kind).encode()
    keys = EncryptionKeySet([key(kind)])
    assert refusal(token, keys) == "accepted"  # its header is remembered from here on
    for position, byte in enumerate(token):
        for other in {*b"Aa0_-.=+/ \n\x00\x80\xff", byte ^ 1, byte ^ 4, byte ^ 32} - {byte}:
            changed = token[:position] + bytes([other]) + token[position + 1 :]
            assert refusal(changed, keys) in TOKEN_CODES
        assert refusal(token[:position] + token[position + 1 :], keys) in TOKEN_CODES
        assert refusal(token[:position] + token[position : position + 1] + token[position:], keys) in TOKEN_CODES


@pytest.mark.parametrize("kind", KINDS)
def test_every_changed_character_behind_the_header_is_the_same_refusal(kind: str) -> None:
    token = seal(b"some text", kind).encode()
    start = token.index(b".")
    for position in range(start, len(token), 1 if kind in DIRECT else 7):
        if token[position : position + 1] != b".":
            letter = b"B" if token[position : position + 1] == b"A" else b"A"
            changed = token[:position] + letter + token[position + 1 :]
            expected = {"decryption_failed"}
            if token[position + 1 : position + 2] in (b".", b""):  # the last character of a part has spare bits
                expected |= {"token_malformed"}
            assert refusal(changed, key(kind)) in expected


# --- the memo of headers


def test_only_headers_of_authentic_tokens_are_remembered_and_not_more_than_a_few() -> None:
    owner = DirectKey(random(32), kid="k")
    forged = _parts(jwe.encrypt(b"x", owner, random=random(12)))
    forged[4] = b64.encode(bytes(16))
    assert refusal(b".".join(forged), owner) == "decryption_failed"
    assert not owner.opened_headers
    for number in range(MEMO_MAX + 5):
        assert refusal(jwe.encrypt(b"x", owner, random=random(12), typ=f"t{number}"), owner) == "accepted"
    assert len(owner.opened_headers) == MEMO_MAX


def test_a_remembered_header_does_not_widen_the_policy() -> None:
    token = seal(b"x", CBC)
    keys = EncryptionKeySet([key(CBC)])
    assert refusal(token, keys, "A128CBC-HS256") == "accepted"
    assert refusal(token, keys, "A256GCM") == "algorithm_not_allowed"


def test_headers_with_an_ephemeral_key_are_not_remembered() -> None:
    keys = EncryptionKeySet([key("ECDH-ES X25519")])
    assert refusal(seal(b"x", "ECDH-ES X25519"), keys) == "accepted"
    assert not keys.opened_headers


# --- anything

_TOKENS = {kind: seal(b"some text", kind).encode() for kind in KINDS}


@given(kind=st.sampled_from(KINDS), data=st.data())
def test_a_token_mixed_with_anything_is_opened_or_a_token_error(kind: str, data: st.DataObject) -> None:
    parts = _parts(_TOKENS[kind])
    position = data.draw(st.integers(0, 4))
    parts[position] = data.draw(
        st.binary(max_size=60) | st.binary(max_size=60).map(b64.encode) | st.sampled_from(_parts(_TOKENS[kind]))
    )
    assert refusal(b".".join(parts), key(kind)) in {*TOKEN_CODES, "accepted"}


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from([*KINDS, *CONTENTS]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=6,
)
_NAMES = st.sampled_from(["alg", "enc", "kid", "epk", "apu", "apv", "typ", "zip", "crit", "p2c", "p2s", "iv", "tag"])
_EPK = st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d"]), st.text(max_size=44) | _JSON, max_size=5)


@given(kind=st.sampled_from(KINDS), changes=st.dictionaries(_NAMES, _JSON | _EPK, max_size=4))
def test_a_header_with_anything_in_it_is_refused_with_a_code(kind: str, changes: dict[str, Any]) -> None:
    parts = _parts(_TOKENS[kind])
    head = b64.encode(json.dumps({**_header(_TOKENS[kind]), **changes}).encode())
    same = head == parts[0]
    parts[0] = head
    assert (refusal(b".".join(parts), lambda _: key(kind)) in TOKEN_CODES) or same


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_input_is_refused_with_a_code(token: bytes | str) -> None:
    assert refusal(token, key(GCM)) in TOKEN_CODES


@given(plaintext=st.binary(max_size=300), pair=st.sampled_from(PAIRS))
def test_any_plaintext_comes_back(plaintext: bytes, pair: tuple[str, str]) -> None:
    kind, enc = pair
    assert jwe.decrypt(seal(plaintext, kind, enc), key(kind), enc=enc).plaintext == plaintext


def test_the_orders_of_the_curves_are_right() -> None:
    from frontdesk.jose.encryption_keys import _ORDERS
    from frontdesk.jose.members import CURVES

    for curve in CURVES.values():
        order = _ORDERS[curve.name]
        assert ec.derive_private_key(order - 1, curve).curve.name == curve.name
        with pytest.raises(ValueError):
            ec.derive_private_key(order, curve)
