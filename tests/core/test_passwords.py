from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frontdesk.core.passwords import (
    DEFAULT_PARAMETERS,
    PROFILES,
    SMALL_PARAMETERS,
    HashCost,
    HashParameters,
    PasswordContext,
    PasswordPolicy,
    check,
    folded,
    needs_rehash,
    parse_phc,
    password_bytes,
)
from frontdesk.errors import Refusal

POLICY = PasswordPolicy()
WITH_SECOND_FACTOR = PasswordPolicy(min_length=8, second_factor=True)
NOBODY = PasswordContext()
SALT = "c2FsdHNhbHRzYWx0c2FsdA"
TAG = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
PHC = f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${TAG}"


def code_of(
    password: str,
    policy: PasswordPolicy = POLICY,
    context: PasswordContext = NOBODY,
    common: frozenset[str] = frozenset(),
) -> str | None:
    refusal = check(password, policy, context, common=common)
    return None if refusal is None else refusal.code


# --- length ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "length", "code"),
    [
        (POLICY, 0, "password_too_short"),
        (POLICY, 14, "password_too_short"),
        (POLICY, 15, None),
        (POLICY, 64, None),
        (POLICY, 128, None),
        (POLICY, 1024, None),
        (POLICY, 1025, "password_too_long"),
        (WITH_SECOND_FACTOR, 7, "password_too_short"),
        (WITH_SECOND_FACTOR, 8, None),
        (PasswordPolicy(min_length=20), 19, "password_too_short"),
        (PasswordPolicy(min_length=20), 20, None),
        (PasswordPolicy(max_length=64), 64, None),
        (PasswordPolicy(max_length=64), 65, "password_too_long"),
    ],
)
def test_the_length_is_counted_in_code_points(policy: PasswordPolicy, length: int, code: str | None) -> None:
    assert code_of("q" * length, policy) == code
    assert code_of("🐦" * length, policy) == code


def test_a_composed_and_a_decomposed_letter_are_both_one_character() -> None:
    assert code_of("e\u0301" * 14) == "password_too_short"
    assert code_of("e\u0301" * 15) is None


@pytest.mark.parametrize(
    "text",
    [
        "🐦" * 1024 + "q",
        "q" * 65536,
        # 1500 characters that become 500: what was sent counts too, or normalising it could be made expensive.
        "\u1112\u1161\u11ab" * 500,
        "a" + "\u0316\u0301" * 30_000,
        # 400 characters that become 1200.
        "\U0001d160" * 400,
    ],
)
def test_more_than_4096_octets_or_1024_characters_are_too_long(text: str) -> None:
    outcome = password_bytes(text)
    assert isinstance(outcome, Refusal)
    assert outcome.code == "password_too_long"


def test_4096_octets_in_1024_characters_are_taken_whole() -> None:
    text = "🐦" * 1024
    assert password_bytes(text) == text.encode()
    assert len(text.encode()) == 4096


def test_a_refusal_for_length_says_what_is_needed() -> None:
    short = check("q", POLICY, NOBODY, common=())
    long = check("q" * 1025, POLICY, NOBODY, common=())
    assert short is not None
    assert long is not None
    assert short.members == {"min_length": 15}
    assert long.members == {"max_length": 1024}


@pytest.mark.parametrize("text", ["\ud800", "correct horse \udfff battery", "\udcff" * 15])
def test_a_lone_surrogate_is_a_malformed_body(text: str) -> None:
    assert code_of(text) == "body_invalid"


# --- what a password is made of -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        "a " * 15,
        "🐦🦆🦢🦉🦚" * 3,
        "730194826650173",
        "               ",
        "пароль из слов",
        "q\x00" * 8,
        "Ⅷ ﬁ ½ ™ ㎏ ㌔ Å",
    ],
)
def test_no_character_is_demanded_and_none_is_refused(password: str) -> None:
    assert code_of(password.ljust(15, "ж")) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=300))
@example("\u212b\u0958\U0001d160")
def test_the_octets_are_the_nfc_form_and_nothing_else(text: str) -> None:
    assert password_bytes(text) == unicodedata.normalize("NFC", text).encode()
    assert password_bytes(unicodedata.normalize("NFD", text)) == password_bytes(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("q" * 199 + "a", "q" * 199 + "b"),
        ("q" * 72 + "a", "q" * 72 + "b"),
        ("a trailing space ", "a trailing space"),
        (" a leading space", "a leading space"),
        ("UPPER and lower", "upper and lower"),
        ("\uff41 full width letter", "a full width letter"),
        ("ends here\x00 or not", "ends here\x00 or so"),
    ],
)
def test_passwords_that_differ_anywhere_have_different_octets(one: str, other: str) -> None:
    assert password_bytes(one) != password_bytes(other)


# --- the block-list -------------------------------------------------------------------------------------------------

LISTED = frozenset({"passwordpassword", "straßenbahnstrasse".casefold(), folded("ÀÀÀÀÀÀÀÀÀÀÀÀÀÀÀ")})


@pytest.mark.parametrize(
    "password",
    ["passwordpassword", "PasswordPassword", "PASSWORDPASSWORD", "Straßenbahnstrasse", "À" * 15, "a\u0300" * 15],
)
def test_a_listed_password_is_refused_whatever_its_case_and_composition(password: str) -> None:
    assert code_of(password, common=LISTED) == "password_common"


@pytest.mark.parametrize(
    "password", ["passwordpassword1", " passwordpassword", "passwordpassword ", "\uff50asswordpassword"]
)
def test_the_list_is_compared_with_the_whole_password(password: str) -> None:
    assert code_of(password, common=LISTED) is None


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
@example("\u0345\u0391")
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert folded(folded(text)) == folded(text)


# --- context words --------------------------------------------------------------------------------------------------

HOTEL = PasswordPolicy(words=("Grand Hotel", "roomkey"))
ALICE = PasswordContext(address="alice.liddell+desk@wonderland.example", words=("Cheshire",))


@pytest.mark.parametrize(
    "password",
    [
        "grand hotel 2026",
        "GRAND HOTEL-grand hotel",
        "roomkeyroomkeyroomkey",
        "roomkey grand hotel",
        "alice.liddell+desk@wonderland.example",
        "Alice.Liddell+Desk@Wonderland.Example!",
        "alice.liddell+desk",
        "alice liddell 1",
        "wonderland.example",
        "wonderland-alice",
        "cheshirecheshire",
        "liddellalice1234567",
    ],
)
def test_a_password_of_nothing_but_context_words_is_refused(password: str) -> None:
    assert code_of(password, HOTEL, ALICE) == "password_context"


@pytest.mark.parametrize(
    "password",
    ["my grand hotel has 7 floors", "roomkey 8301749274917", "alice draws maps of rivers", "alicelidde11@example"],
)
def test_a_password_that_only_contains_a_context_word_is_accepted(password: str) -> None:
    assert code_of(password, HOTEL, ALICE) is None


@pytest.mark.parametrize(("rest", "code"), [("1234567", "password_context"), ("12345678", None)])
def test_half_of_the_required_length_must_be_left_without_the_words(rest: str, code: str | None) -> None:
    assert code_of("grand hotel" + rest, HOTEL) == code


def test_what_stands_around_a_word_does_not_make_a_new_one() -> None:
    assert code_of("roomroomkeykey" + "x", HOTEL) is None


def test_the_words_of_another_account_do_not_matter() -> None:
    assert code_of("alice.liddell+desk@wonderland.example", HOTEL, PasswordContext(address="bob@x.example")) is None


def test_words_too_short_to_mean_anything_are_left_alone() -> None:
    assert code_of("abababababababa", context=PasswordContext(address="ab@b.example")) is None


# --- policies -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "weak",
    [
        {"min_length": 14},
        {"min_length": 7, "second_factor": True},
        {"max_length": 63},
        {"max_length": 1025},
        {"min_length": 100, "max_length": 99},
        {"words": ("ab",)},
    ],
)
def test_a_policy_weaker_than_the_standard_cannot_be_built(weak: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        PasswordPolicy(**weak)  # type: ignore[arg-type]


# --- the cost of a hash ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("memory", "passes", "accepted"),
    [
        (47104, 1, True),
        (47103, 1, False),
        (19456, 2, True),
        (19455, 2, False),
        (12288, 3, True),
        (12287, 3, False),
        (12287, 64, False),
        (65536, 3, True),
        (2097152, 64, True),
        (2097153, 3, False),
        (65536, 65, False),
        (65536, 0, False),
        (-65536, 3, False),
    ],
)
def test_parameters_under_the_floor_or_over_the_ceiling_are_refused(memory: int, passes: int, accepted: bool) -> None:
    if accepted:
        assert HashParameters(memory_kib=memory, passes=passes, lanes=1).memory_kib == memory
    else:
        with pytest.raises(ValueError):
            HashParameters(memory_kib=memory, passes=passes, lanes=1)


@pytest.mark.parametrize("lanes", [0, -1, 65])
def test_impossible_lanes_are_refused(lanes: int) -> None:
    with pytest.raises(ValueError):
        HashParameters(lanes=lanes)


def test_the_profiles_are_the_documented_ones() -> None:
    assert HashParameters(memory_kib=65536, passes=3, lanes=4) == PROFILES["default"]
    assert HashParameters(memory_kib=19456, passes=2, lanes=1) == PROFILES["small"]


def test_a_phc_string_tells_its_cost() -> None:
    assert parse_phc(PHC) == HashCost(65536, 3, 4, 16, 32)


def test_a_weak_hash_can_be_read_so_that_it_can_be_replaced() -> None:
    assert parse_phc(f"$argon2id$v=19$m=8,t=1,p=1${SALT}${TAG}") == HashCost(8, 1, 1, 16, 32)


@pytest.mark.parametrize(
    "phc",
    [
        "",
        "x",
        PHC + "\n",
        " " + PHC,
        PHC[1:],
        PHC + "=",
        PHC + "$",
        PHC.replace("argon2id", "argon2i"),
        PHC.replace("argon2id", "ARGON2ID"),
        PHC.replace("v=19", "v=16"),
        PHC.replace("$v=19", ""),
        PHC.replace("m=65536,t=3", "t=3,m=65536"),
        PHC.replace("m=65536", "m=065536"),
        PHC.replace("m=65536", "m=+65536"),
        PHC.replace("m=65536", "m=６5536"),
        PHC.replace("m=65536", "m=2097153"),
        PHC.replace("m=65536", "m=99999999999"),
        PHC.replace("m=65536", "m=31"),
        PHC.replace("t=3", "t=0"),
        PHC.replace("t=3", "t=65"),
        PHC.replace("p=4", "p=0"),
        PHC.replace("p=4", "p=4,keyid=AA"),
        PHC.replace(SALT, ""),
        PHC.replace(SALT, SALT[:-1] + "B"),
        PHC.replace(SALT, SALT + "AAA"),
        PHC.replace(TAG, TAG[:-1] + "9"),
        PHC.replace(TAG, TAG.replace("A", "-")),
        PHC.replace(TAG, "A" * 5000),
    ],
)
def test_anything_but_a_whole_canonical_phc_string_is_refused(phc: str) -> None:
    with pytest.raises(ValueError):
        parse_phc(phc)


@given(st.text(max_size=120))
def test_no_text_makes_the_reader_of_phc_strings_fail_otherwise(text: str) -> None:
    with pytest.raises(ValueError):
        parse_phc(text)


@pytest.mark.parametrize(
    ("phc", "needed"),
    [
        (PHC, False),
        (PHC.replace("65536", "65537"), True),
        (PHC.replace("t=3", "t=4"), True),
        (PHC.replace("p=4", "p=1"), True),
        (PHC.replace(SALT, SALT[:10] + "A"), True),
        (PHC.replace(TAG, TAG[:21] + "A"), True),
    ],
)
def test_a_hash_is_made_anew_when_anything_about_it_would_be_different_now(phc: str, needed: bool) -> None:
    assert needs_rehash(phc, DEFAULT_PARAMETERS) is needed
    assert needs_rehash(PHC, SMALL_PARAMETERS)
