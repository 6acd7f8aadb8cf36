from __future__ import annotations

import gzip
import subprocess
import sys
from importlib.resources import files

import pytest

from frontdesk.core.passwords import PasswordContext, PasswordPolicy, check, folded
from frontdesk.service.common_passwords import common_passwords

WITH_SECOND_FACTOR = PasswordPolicy(min_length=8, second_factor=True, words=())


def code_of(password: str, policy: PasswordPolicy) -> str | None:
    refusal = check(password, policy, PasswordContext(), common=common_passwords())
    return refusal.code if refusal else None


@pytest.mark.parametrize(("policy", "shortest"), [(PasswordPolicy(words=()), 15), (WITH_SECOND_FACTOR, 8)])
def test_at_least_3000_passwords_that_fit_the_policy_are_refused(policy: PasswordPolicy, shortest: int) -> None:
    fitting = [entry for entry in common_passwords() if len(entry) >= shortest]
    assert len(fitting) >= 3000
    assert {code_of(entry, policy) for entry in fitting} == {"password_common"}


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "PasswordPassword",
        "qwertyqwertyqwerty",
        "123456789012345",
        "1234567890qwertyuiop",
        "qwertyuiopasdfghjkl",
        "1qaz2wsx3edc4rfv",
        "q1w2e3r4t5y6u7i8",
        "iloveyou1234567",
        "iloveyouiloveyou",
        "aaaaaaaaaaaaaaa",
        "000000000000000000",
        "zyxwvutsrqponml",
        "manchesterunited",
    ],
)
def test_what_is_tried_first_is_refused(password: str) -> None:
    assert code_of(password, PasswordPolicy()) == "password_common"


@pytest.mark.parametrize("password", ["password1", "12345678", "iloveyou", "Trustno1", "sunshine", "qwertyuiop"])
def test_short_ones_are_refused_where_eight_characters_suffice(password: str) -> None:
    assert code_of(password, WITH_SECOND_FACTOR) == "password_common"


@pytest.mark.parametrize(
    "password",
    ["a " * 15, "x" * 64, "730194826650173", "seven green kettles", "correct horse battery staple", "🐦" * 15],
)
def test_what_is_not_listed_is_accepted(password: str) -> None:
    assert code_of(password, PasswordPolicy()) is None


def test_every_entry_has_the_form_in_which_passwords_are_compared() -> None:
    octets = files("frontdesk").joinpath("data/common-passwords.txt.gz").read_bytes()
    entries = gzip.decompress(octets).decode().splitlines()
    assert entries == sorted(set(entries))
    assert [entry for entry in entries if folded(entry) != entry or len(entry) < 8] == []
    # RFC 1952: no file name and no time of making, so that making it again changes nothing.
    assert octets[3] == 0
    assert octets[4:8] == bytes(4)


def test_what_the_list_is_made_of_and_under_which_licences_stands_beside_it() -> None:
    text = files("frontdesk").joinpath("data/common-passwords.md").read_text(encoding="utf-8")
    count = len(common_passwords())
    long = sum(len(entry) >= 15 for entry in common_passwords())
    assert f"{count:,} entries of 8 or more characters; {long:,} of them have 15 or more." in text
    assert "MIT License" in text
    assert "Copyright (c) Django Software Foundation" in text


def test_the_list_and_argon2_are_not_read_by_importing() -> None:
    program = (
        "import sys\n"
        "import frontdesk.service.hashing, frontdesk.core.addresses\n"
        "from frontdesk.service.common_passwords import common_passwords\n"
        "assert common_passwords.cache_info().currsize == 0\n"
        "assert not {'argon2', 'idna'} & set(sys.modules), 'imported too early'\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True)
