"""Keys: what is taken, what is refused, and that nothing is lost on the way to JSON and back."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from frontdesk.errors import TokenError
from frontdesk.jose import b64, jwk, jws
from tests.jose.minting import ALGORITHMS, ASYMMETRIC, NOW, SECRET, SYMMETRIC, attempted, key, key_refusal, verifying


def _document(name: str, /, *, private: bool = True, **changed: Any) -> dict[str, Any]:
    members = {**key(name).to_jwk(private=private), **changed}
    return {member: value for member, value in members.items() if value is not None}


def _number(value: int) -> str:
    return b64.encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).decode()


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("form", [dict, json.dumps, lambda members: json.dumps(members).encode()])
def test_a_private_key_survives_json(alg: str, form: Callable[[dict[str, Any]], Any]) -> None:
    again = jwk.from_jwk(form(_document(alg)))
    assert again.is_private
    assert (again.alg, again.kid, again.kty) == (alg, alg, key(alg).kty)
    assert again.to_jwk(private=True) == key(alg).to_jwk(private=True)
    assert jws.verify(jws.sign(b"x", again), verifying(alg)).payload == b"x"


@pytest.mark.parametrize("alg", ASYMMETRIC)
def test_a_public_key_holds_nothing_private_and_cannot_sign(alg: str) -> None:
    public = key(alg).public()
    assert not public.is_private
    assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & set(public.to_jwk())
    assert key(alg).to_jwk() == public.to_jwk()
    assert jwk.from_jwk(public.to_jwk()).to_jwk() == public.to_jwk()
    for misuse in (lambda: jws.sign(b"x", public), lambda: public.to_jwk(private=True)):
        with pytest.raises(TokenError) as caught:
            misuse()
        assert caught.value.code == "key_invalid"


def test_a_symmetric_key_has_no_public_form() -> None:
    for misuse in (key("HS256").public, key("HS256").to_jwk, jwk.KeySet([key("HS256")]).to_jwks):
        with pytest.raises(ValueError, match="no public part"):
            misuse()


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_key_never_changes_and_never_shows_its_secret(alg: str) -> None:
    subject = key(alg)
    for name in ("alg", "kid", "operations", "_private", "anything"):
        with pytest.raises(AttributeError):
            setattr(subject, name, "x")
    with pytest.raises(AttributeError):
        del subject.alg
    private = subject.to_jwk(private=True)
    assert not any(private[name] in repr(subject) for name in ("k", "d", "p", "q") if name in private)


def test_a_key_without_key_id_derives_one_that_says_nothing_about_a_secret() -> None:
    public = key("ES256").public()
    unnamed = jwk.from_jwk(_document("ES256", private=False, kid=None))
    assert unnamed.kid == public.thumbprint()
    secret = jwk.OctKey(SECRET)
    assert secret.kid == jwk.OctKey(SECRET).kid != jwk.OctKey(SECRET[::-1]).kid
    assert secret.kid != secret.thumbprint()
    assert jwk.from_jwk(_document("ES256", kid=None), kid="mine").kid == "mine"


@pytest.mark.parametrize("generate", [jwk.EcKey.generate, jwk.OkpKey.generate])
def test_generated_keys_differ(generate: Callable[[], jwk.Key]) -> None:
    first, second = generate(), generate()
    assert first.is_private
    assert first.kid != second.kid


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "use for encryption": {"use": "enc"},
    "use of another type": {"use": ["sig"]},
    "use null": {"use": ()},
    "operations for encryption": {"key_ops": ["encrypt"]},
    "operations mixed": {"key_ops": ["sign", "verify", "encrypt"]},
    "operations twice": {"key_ops": ["verify", "verify"]},
    "no operation": {"key_ops": []},
    "operations in one string": {"key_ops": ["sign, verify"]},
    "operations a string": {"key_ops": "verify"},
    "operations of numbers": {"key_ops": [1]},
    "algorithm a number": {"alg": 1},
    "key id a number": {"kid": 1},
    "key id empty": {"kid": ""},
    "key id too long": {"kid": "k" * 257},
    "key id with a control character": {"kid": "a\nb"},
    "no type": {"kty": None},
    "type a list": {"kty": ["EC"]},
}


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS.keys())
def test_a_jwk_that_contradicts_itself_is_refused(alg: str, change: dict[str, Any]) -> None:
    assert key_refusal(_document(alg, **change)) == "key_invalid"


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_a_jwk_for_another_algorithm_is_refused(alg: str) -> None:
    for other in ("none", "HS1", "ES512", "RSA-OAEP-256", "dir", *(name for name in ALGORITHMS if name != alg)):
        if {alg, other} != {"RS256", "PS256"} and not {alg, other} <= set(SYMMETRIC):
            assert key_refusal(_document(alg, alg=other)) == "algorithm_not_allowed"
        assert key_refusal(_document(alg), alg=other) == "key_invalid"


@pytest.mark.parametrize(("alg", "size"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_symmetric_key_is_at_least_as_long_as_the_hash(alg: str, size: int) -> None:
    assert attempted(lambda: jwk.OctKey(b"\x01" * size, alg=alg))[1] == "accepted"
    assert attempted(lambda: jwk.OctKey(b"\x01" * (size - 1), alg=alg))[1] == "key_invalid"
    short = {"kty": "oct", "alg": alg, "k": b64.encode(b"\x01" * (size - 1)).decode()}
    assert key_refusal(short) == "key_invalid"


def test_a_key_is_not_made_for_an_algorithm_of_another_class() -> None:
    for build in (
        lambda: jwk.OctKey(SECRET, alg="ES256"),
        lambda: jwk.OctKey(SECRET, alg="none"),
        lambda: jwk.EcKey.generate(alg="ES512"),
        lambda: jwk.EcKey(ec.generate_private_key(ec.SECP384R1()), alg="ES256"),
        lambda: jwk.EcKey(ec.generate_private_key(ec.SECP256R1()), alg="ES384"),
        lambda: jwk.EcKey(ec.generate_private_key(ec.SECP521R1())),
    ):
        assert attempted(build)[1] == "algorithm_not_allowed"
    assert jwk.EcKey(ec.generate_private_key(ec.SECP384R1())).alg == "ES384"


def test_a_jwk_takes_its_algorithm_from_itself_its_curve_or_the_argument() -> None:
    assert jwk.from_jwk(_document("ES256", alg=None)).alg == "ES256"
    assert jwk.from_jwk(_document("ES384", alg=None)).alg == "ES384"
    assert jwk.from_jwk(_document("EdDSA", alg=None)).alg == "EdDSA"
    assert jwk.from_jwk(_document("EdDSA", alg="Ed25519")).alg == "Ed25519"
    assert jwk.from_jwk(_document("RS256", alg=None), alg="PS256").alg == "PS256"
    assert jwk.from_jwk(_document("HS256", alg=None), alg="HS256").alg == "HS256"
    assert key_refusal(_document("RS256", alg=None)) == "key_invalid"
    assert key_refusal(_document("HS256", alg=None)) == "key_invalid"
    assert key_refusal(_document("ES256", alg=None), alg="HS256") == "algorithm_not_allowed"
    assert key_refusal({"kty": "AKP", "alg": "ML-DSA-44"}) == "algorithm_not_allowed"


def test_operations_bound_the_use_of_a_key() -> None:
    signs = jwk.from_jwk(_document("ES256", key_ops=["sign"]))
    verifies = jwk.from_jwk(_document("ES256", key_ops=["verify"]))
    token = jws.sign(b"x", signs)
    assert jws.verify(token, verifies).payload == b"x"
    for misuse in (lambda: jws.verify(token, signs), lambda: jws.sign(b"x", verifies)):
        with pytest.raises(TokenError) as caught:
            misuse()
        assert caught.value.code == "key_invalid"


_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
BROKEN: dict[str, tuple[str, dict[str, Any]]] = {
    "a point off the curve": ("ES256", {"y": b64.encode(b"\x01" * 32).decode()}),
    "the point (0, 0)": ("ES256", {"x": "A" * 43, "y": "A" * 43}),
    "a short coordinate": ("ES256", {"x": b64.encode(b"\x01" * 31).decode()}),
    "a long coordinate": ("ES256", {"x": b64.encode(b"\x00" + b"\x01" * 32).decode()}),
    "no coordinate": ("ES256", {"y": None}),
    "a private part of zero": ("ES256", {"d": "A" * 43}),
    "a private part of the group order": ("ES256", {"d": b64.encode(_P256_ORDER.to_bytes(32, "big")).decode()}),
    "a private part of another key": ("ES256", {"d": b64.encode(b"\x01" * 32).decode()}),
    "a coordinate with padding": ("ES256", {"x": "A" * 43 + "="}),
    "a coordinate that is not ASCII": ("ES256", {"x": "é" * 43}),
    "a coordinate that is a list": ("ES256", {"x": [1]}),
    "an Ed25519 key of another pair": ("EdDSA", {"d": b64.encode(b"\x01" * 32).decode()}),
    "a short Ed25519 key": ("EdDSA", {"x": b64.encode(b"\x01" * 31).decode(), "d": None}),
    "a long Ed25519 secret": ("EdDSA", {"d": b64.encode(b"\x01" * 33).decode()}),
    "an even modulus": ("RS256", {"n": _number((1 << 2047) + 2)}),
    "an RSA exponent of 1": ("RS256", {"e": "AQ"}),
    "an even RSA exponent": ("RS256", {"e": _number(65536)}),
    "a huge RSA exponent": ("RS256", {"e": _number(2**32 + 1)}),
    "a huge RSA modulus": ("RS256", {"n": _number((1 << 8200) + 1)}),
    "a leading zero": ("RS256", {"e": b64.encode(b"\x00\x01\x00\x01").decode()}),
    "an empty number": ("RS256", {"e": ""}),
    "only some of the primes": ("RS256", {"p": None}),
    "more than two primes": ("RS256", {"oth": []}),
    "a wrong private exponent": ("RS256", {"d": "Aw"}),
    "primes that do not fit": ("RS256", {"p": "Aw", "q": "BQ"}),
    "a number larger than the modulus": ("RS256", {"qi": _number(1 << 2100)}),
    "an empty secret": ("HS256", {"k": ""}),
    "a secret of 31 bytes": ("HS256", {"k": b64.encode(b"\x01" * 31).decode()}),
    "a secret with padding": ("HS256", {"k": b64.encode(SECRET).decode() + "="}),
    "no secret": ("HS256", {"k": None}),
}


@pytest.mark.parametrize(("alg", "change"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_key_is_refused(alg: str, change: dict[str, Any]) -> None:
    assert key_refusal(_document(alg, **change)) == "key_invalid"


def test_another_curve_is_refused() -> None:
    assert key_refusal(_document("ES256", crv="P-384")) == "algorithm_not_allowed"
    assert key_refusal(_document("ES256", crv="secp256k1")) == "algorithm_not_allowed"
    assert key_refusal(_document("EdDSA", crv="X25519")) == "algorithm_not_allowed"
    with pytest.raises(TokenError):
        jwk.EcKey(ec.generate_private_key(ec.SECP256K1()))


_ED_P = 2**255 - 19
_ORDER_8 = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
SMALL = {
    "the neutral element": 1,
    "order 2": _ED_P - 1,
    "order 4": 0,
    "order 4, negative": 1 << 255,
    "order 8": _ORDER_8,
    "order 8, negative": _ORDER_8 | 1 << 255,
    "not canonical": _ED_P + 3,
    "the neutral element, not canonical": _ED_P + 1,
    "minus zero": 1 | 1 << 255,
    "no point": 2,
}


@pytest.mark.parametrize("encoded", SMALL.values(), ids=SMALL.keys())
def test_an_ed25519_key_that_is_no_sound_point_is_refused(encoded: int) -> None:
    x = b64.encode(encoded.to_bytes(32, "little")).decode()
    assert key_refusal({"kty": "OKP", "crv": "Ed25519", "x": x}) == "key_invalid"


@given(st.binary(min_size=32, max_size=32))
def test_every_honest_ed25519_key_is_taken(seed: bytes) -> None:
    public = ed25519.Ed25519PrivateKey.from_private_bytes(seed).public_key()
    assert jwk.OkpKey(public).thumbprint()


def test_rsa_keys_below_2048_bits_are_refused() -> None:
    small = rsa.generate_private_key(65537, 1024)
    for candidate in (small, small.public_key()):
        with pytest.raises(TokenError) as caught:
            jwk.RsaKey(candidate, alg="RS256")
        assert caught.value.code == "key_invalid"
    n = small.public_key().public_numbers().n
    assert key_refusal({"kty": "RSA", "alg": "RS256", "n": _number(n), "e": "AQAB"}) == "key_invalid"
    with pytest.raises(ValueError, match="2048"):
        jwk.RsaKey.generate(alg="RS256", bits=2047)


def _roca_factor(k: int, exponent: int) -> int:
    product = 1
    for candidate in range(2, 702):  # the first 126 primes, as the chips did for 2048 bits
        if all(candidate % divisor for divisor in range(2, candidate)):
            product *= candidate
    return k * product + pow(65537, exponent, product)


def test_a_modulus_of_the_broken_generator_is_refused() -> None:
    factor = _roca_factor(3 << 50, 12345)
    modulus = factor * _roca_factor(5 << 49, 54321)
    assert modulus.bit_length() >= 2000
    while modulus.bit_length() < 2048:
        modulus *= 65537
    assert key_refusal({"kty": "RSA", "alg": "RS256", "n": _number(modulus), "e": "AQAB"}) == "key_invalid"


def _public_forms() -> dict[str, bytes]:
    forms: dict[str, bytes] = {}
    private: dict[str, Any] = {
        "rsa": rsa.generate_private_key(65537, 2048),
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "ed25519": ed25519.Ed25519PrivateKey.generate(),
    }
    for name, owner in private.items():
        public = owner.public_key()
        for form, encoding in (("PEM", Encoding.PEM), ("DER", Encoding.DER)):
            forms[f"{name} {form}"] = public.public_bytes(encoding, PublicFormat.SubjectPublicKeyInfo)
            forms[f"{name} private {form}"] = owner.private_bytes(encoding, PrivateFormat.PKCS8, NoEncryption())
        forms[f"{name} ssh"] = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        forms[f"{name} ssh blob"] = base64.b64decode(forms[f"{name} ssh"].split()[1])
        forms[f"{name} inside of PEM"] = b"".join(forms[f"{name} PEM"].splitlines()[1:-1])
        forms[f"{name} spaced PEM"] = b"\n\n" + forms[f"{name} PEM"]
    forms["rsa PKCS#1"] = private["rsa"].public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    forms["ec point"] = private["ec"].public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    forms["jwk"] = json.dumps(key("ES256").public().to_jwk()).encode()
    forms["jwks"] = json.dumps(jwk.KeySet([key("ES256")]).to_jwks()).encode()
    nobody = x509.Name([])
    builder = x509.CertificateBuilder(nobody, nobody, private["ec"].public_key(), 1, NOW, NOW)
    certificate = builder.sign(private["ec"], SHA256())
    forms["certificate DER"] = certificate.public_bytes(Encoding.DER)
    forms["certificate PEM"] = certificate.public_bytes(Encoding.PEM)
    return forms


_FORMS = _public_forms()


@pytest.mark.parametrize("secret", _FORMS.values(), ids=_FORMS.keys())
def test_a_public_key_is_no_secret_in_any_form(secret: bytes) -> None:
    with pytest.raises(TokenError) as caught:
        jwk.OctKey(secret)
    assert caught.value.code == "key_invalid"


@given(st.binary(min_size=32, max_size=140))
def test_other_secrets_are_taken(secret: bytes) -> None:
    assert jwk.OctKey(secret).sign(b"x")


@pytest.mark.parametrize("first", [0x30, 0x04, ord("M"), ord("{"), 0])
def test_a_secret_that_only_begins_like_a_key_is_taken(first: int) -> None:
    for size in (32, 65, 97, 133):
        assert jwk.OctKey(bytes([first]) + b"\x1f" * (size - 1)).sign(b"x")


def test_a_wrong_python_type_is_a_type_error() -> None:
    misuses: list[Callable[[], object]] = [
        lambda: jwk.OctKey("a text of thirty-two characters!!"),  # type: ignore[arg-type]
        lambda: jwk.EcKey(SECRET),  # type: ignore[arg-type]
        lambda: jwk.OkpKey(None),  # type: ignore[arg-type]
        lambda: jwk.RsaKey(ed25519.Ed25519PrivateKey.generate(), alg="RS256"),  # type: ignore[arg-type]
        lambda: jwk.OctKey(SECRET, kid=1),  # type: ignore[arg-type]
        lambda: jwk.from_jwk(None),  # type: ignore[arg-type]
        lambda: jwk.KeySet([None]),  # type: ignore[list-item]
    ]
    for misuse in misuses:
        with pytest.raises(TypeError):
            misuse()


# --- sets


def test_a_set_finds_keys_by_id_and_an_unnamed_token_only_without_a_choice() -> None:
    es, ed, rs = (key(alg).public() for alg in ("ES256", "EdDSA", "RS256"))
    keys = jwk.KeySet([es, ed, rs])
    assert len(keys) == 3
    assert keys.find("EdDSA", "EdDSA") is ed
    assert keys.find("nobody", "ES256") is None
    assert keys.find(None, "ES256") is es
    assert jwk.KeySet([es, jwk.EcKey.generate()]).find(None, "ES256") is None
    assert jwk.KeySet([]).find(None, "ES256") is None


@pytest.mark.parametrize("keys", [["HS256", "ES256"], ["ES256", "HS256", "RS256"], ["ES256", "ES256"]])
def test_a_set_of_two_kinds_or_with_one_id_twice_is_refused(keys: list[str]) -> None:
    document = {"keys": [key(alg).to_jwk(private=True) for alg in keys]}
    assert attempted(lambda: jwk.KeySet(key(alg) for alg in keys)) == (None, "key_invalid")
    assert attempted(lambda: jwk.KeySet.from_jwks(document)) == (None, "key_invalid")


def test_a_set_of_more_than_a_hundred_keys_and_a_key_of_more_than_32_kib_are_refused() -> None:
    secrets = [jwk.OctKey(bytes([number]) * 32) for number in range(101)]
    assert len(jwk.KeySet(secrets[:100])) == 100
    assert attempted(lambda: jwk.KeySet(secrets)) == (None, "key_invalid")
    document = json.dumps(_document("ES256"))
    assert jwk.from_jwk(document + " " * (32 * 1024 - len(document))).kid == "ES256"
    assert key_refusal(document + " " * (32 * 1024 - len(document) + 1)) == "key_invalid"


def test_a_mixture_is_refused_even_when_one_kind_would_have_been_left_out() -> None:
    document = {"keys": [key("ES256").to_jwk(), {"kty": "oct", "k": "AAAA", "alg": "HS256"}]}
    with pytest.raises(TokenError):
        jwk.KeySet.from_jwks(document)


def test_a_published_set_is_read_without_the_keys_that_cannot_be_used() -> None:
    published = jwk.KeySet([key("ES256"), key("RS256")]).to_jwks()
    useless: list[Any] = [{"kty": "AKP"}, {"kty": "EC"}, _document("EdDSA", use="enc"), 3, None, {}]
    keys = jwk.KeySet.from_jwks(json.dumps({"keys": useless + published["keys"], "more": 1}))
    assert [found.kid for found in keys] == ["ES256", "RS256"]
    assert not any(found.is_private for found in keys)


def test_an_rsa_key_without_algorithm_in_a_set_takes_the_one_of_the_call() -> None:
    document = {"keys": [_document("RS256", private=False, alg=None), key("ES256").to_jwk()]}
    assert [found.alg for found in jwk.KeySet.from_jwks(document)] == ["ES256"]
    assert [found.alg for found in jwk.KeySet.from_jwks(document, alg="PS256")] == ["PS256", "ES256"]


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b'{"keys":{}}',
        b"{}",
        b'{"keys":null}',
        b'{"keys":[],"keys":[]}',
        '{"keys":"\ud800"}',
        b'{"keys":[' + b",".join([b"1"] * 101) + b"]}",
        b" " * (512 * 1024 + 1),
    ],
)
def test_what_is_no_key_set_is_refused(document: Any) -> None:
    with pytest.raises(TokenError) as caught:
        jwk.KeySet.from_jwks(document)
    assert caught.value.code == "key_invalid"


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(
    alg=st.sampled_from(ALGORITHMS),
    member=st.sampled_from(["kty", "alg", "use", "key_ops", "kid", "crv", "x", "y", "d", "n", "e", "k", "p", "qi"]),
    value=_JSON | st.text("AQgw019-_=", max_size=45),
)
def test_a_jwk_with_anything_in_one_member_is_a_key_or_a_token_error(alg: str, member: str, value: Any) -> None:
    document = copy.deepcopy(_document(alg))
    document[member] = value
    taken, code = attempted(lambda: jwk.from_jwk(document))
    assert isinstance(taken, jwk.Key) or code in {"key_invalid", "algorithm_not_allowed"}


@given(_JSON | st.binary(max_size=30))
def test_any_document_is_a_key_a_token_error_or_misuse(document: Any) -> None:
    if not isinstance(document, dict | str | bytes):
        with pytest.raises(TypeError):
            jwk.from_jwk(document)
    else:
        assert key_refusal(document) in {"key_invalid", "algorithm_not_allowed"}
