"""The URL of a Redis store: what it says, what is refused, and that no password ever shows."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from frontdesk.errors import ConfigurationError
from frontdesk.stores.redis import RedisStore
from frontdesk.stores.redis.address import parse
from frontdesk.wiring import open_store

PASSWORD = "hunter-2:@/?#%"
QUOTED = "hunter-2%3A%40%2F%3F%23%25"


@pytest.mark.parametrize(
    ("url", "text", "places"),
    [
        ("redis://", "redis://localhost:6379/0", (("localhost", 6379),)),
        ("redis://cache", "redis://cache:6379/0", (("cache", 6379),)),
        ("redis://10.0.0.1:7000/3", "redis://10.0.0.1:7000/3", (("10.0.0.1", 7000),)),
        ("redis://[2001:db8::1]:7000", "redis://[2001:db8::1]:7000/0", (("2001:db8::1", 7000),)),
        ("rediss://cache/", "rediss://cache:6379/0", (("cache", 6379),)),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2", ()),
        (
            "redis+sentinel://a,b:7000,[::1]:7001/desk/2",
            "redis+sentinel://a:26379,b:7000,[::1]:7001/desk/2",
            (("a", 26379), ("b", 7000), ("::1", 7001)),
        ),
        ("rediss+sentinel://a/desk", "rediss+sentinel://a:26379/desk/0", (("a", 26379),)),
    ],
)
def test_a_url_says_where_the_server_is(url: str, text: str, places: tuple[tuple[str, int], ...]) -> None:
    address = parse(url)
    assert (address.public, address.places) == (text, places)


@pytest.mark.parametrize(
    "place", ["redis://{}@cache", "rediss://{}@cache/1", "unix://{}@/run/s", "redis+sentinel://{}@a,b/s"]
)
def test_a_url_says_who_we_are(place: str) -> None:
    for who, username in ((f":{QUOTED}", ""), (f"desk:{QUOTED}", "desk")):
        address = parse(place.format(who))
        assert (address.username, address.password) == (username, PASSWORD)


def test_sentinels_may_have_credentials_of_their_own() -> None:
    address = parse(f"redis+sentinel://desk:one@a/s?sentinel_username=watch&sentinel_password={QUOTED}")
    assert (address.sentinel_username, address.sentinel_password, address.password) == ("watch", PASSWORD, "one")


def test_tls_takes_files() -> None:
    address = parse("rediss://cache?ssl_ca_certs=/etc/ca.pem&ssl_certfile=me.pem&ssl_keyfile=me.key")
    assert address.tls == {"ssl_ca_certs": "/etc/ca.pem", "ssl_certfile": "me.pem", "ssl_keyfile": "me.key"}
    assert parse("redis://cache").tls is None


@pytest.mark.parametrize(
    "url",
    [
        f"redis://:{QUOTED}@cache:0",
        f"redis://:{QUOTED}@cache:port",
        f"redis://:{QUOTED}@cache:70000",
        f"redis://:{QUOTED}@cache/zero",
        f"redis://:{QUOTED}@cache,other",
        f"redis://:{QUOTED}@[::1",
        f"redis://:{QUOTED}@cache#fragment",
        f"redis://:{QUOTED}@cache?timeout=1&timeout=2",
        f"redis://:{QUOTED}@cache?tiemout=1",
        f"redis://:{QUOTED}@cache?ssl_ca_certs=x",
        f"redis://:{QUOTED}@cache?sentinel_password=hunter-2",
        f"redis://:{QUOTED}%ff@cache",
        f"redis://:{QUOTED}@cache?timeout=soon",
        f"redis://:{QUOTED}@cache?timeout=0",
        f"redis://:{QUOTED}@cache?max_connections=0",
        f"redis://:{QUOTED}@cache?wait_replicas=-1",
        f"redis://:{QUOTED}@cache?prefix=%7B",
        "redis://hunter-2@cache",
        f"unix://:{QUOTED}@host/run/redis.sock",
        f"unix://:{QUOTED}@",
        f"unix+sentinel://:{QUOTED}@/a",
        f"redis+sentinel://:{QUOTED}@a,b",
        f"redis+sentinel://:{QUOTED}@/desk",
        f"redis+sentinel://:{QUOTED}@a,,b/desk",
        f"redis+cluster://:{QUOTED}@a/desk",
    ],
)
def test_a_url_that_names_no_store_is_refused_in_a_sentence_without_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        RedisStore(url)
    shown = f"{refused.value} {refused.value.detail} {refused.value.__cause__}"
    assert "hunter" not in shown
    assert len(str(refused.value)) > 20


def test_no_password_shows_in_a_store_or_its_address() -> None:
    for url in (f"redis://desk:{QUOTED}@cache", f"redis+sentinel://:{QUOTED}@a/s?sentinel_password={QUOTED}"):
        store = open_store(url)
        assert isinstance(store, RedisStore)
        for shown in (repr(store), str(store), repr(store._settings), repr(vars(store))):
            assert "hunter" not in shown
    assert repr(open_store("redis://:pw@cache:7000/1")) == "RedisStore('redis://cache:7000/1')"


def test_options_come_from_arguments_then_from_the_url_then_from_defaults() -> None:
    url = "redis://cache?timeout=0.5&max_connections=3&max_waiting=4&wait_replicas=1&prefix=desk"
    limits = RedisStore(url)._settings.limits
    assert (limits.seconds, limits.max_connections, limits.max_waiting, limits.wait_replicas) == (0.5, 3, 4, 1)
    assert RedisStore(url)._settings.names.meta == "{desk}:meta"
    argued = RedisStore(url, timeout=timedelta(seconds=9), max_connections=8, wait_replicas=0, prefix="mine")._settings
    limits = argued.limits
    assert (limits.seconds, limits.max_connections, limits.max_waiting, limits.wait_replicas) == (9, 8, 4, 0)
    assert argued.names.meta == "{mine}:meta"
    limits = RedisStore("redis://cache")._settings.limits
    assert (limits.seconds, limits.max_connections, limits.max_waiting, limits.wait_replicas) == (2, 10, 1024, 0)


@pytest.mark.parametrize(
    "arguments",
    [
        {"timeout": timedelta(0)},
        {"timeout": timedelta(hours=1)},
        {"max_connections": 0},
        {"max_waiting": 0},
        {"wait_replicas": -1},
        {"prefix": "a:b"},
        {"prefix": ""},
    ],
)
def test_an_argument_that_cannot_be_is_misuse(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        RedisStore("redis://cache", **arguments)


def test_without_its_driver_the_store_says_what_to_install() -> None:
    program = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'redis': raise ModuleNotFoundError(name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "from frontdesk.errors import ConfigurationError\n"
        "from frontdesk.wiring import open_store\n"
        "try: open_store('redis://:hunter-2@cache')\n"
        "except ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True)
    assert done.stdout == "this store needs its driver: install frontdesk[redis]\n"
