"""`--link` read and put into words."""

from __future__ import annotations

import pytest

from paddock.gateway.links import Link, environment, link_of, shown


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("db", Link("db", "db")),
        ("/db:store", Link("db", "store")),
        ("/db:/web/store", Link("db", "store")),
    ],
)
def test_links_in_every_spelling(text: str, link: Link) -> None:
    assert link_of(text) == link


def test_what_an_engine_says_of_a_link() -> None:
    config = {"ExposedPorts": {"6379/udp": {}, "6379/tcp": {}, "80/tcp": {}}, "Env": ["PATH=/bin", "A=b=c", "flag"]}
    assert environment("/web/my-db", "10.128.8.1", config) == [
        "MY_DB_PORT=tcp://10.128.8.1:80",
        "MY_DB_PORT_80_TCP=tcp://10.128.8.1:80",
        "MY_DB_PORT_80_TCP_ADDR=10.128.8.1",
        "MY_DB_PORT_80_TCP_PORT=80",
        "MY_DB_PORT_80_TCP_PROTO=tcp",
        "MY_DB_PORT_6379_TCP=tcp://10.128.8.1:6379",
        "MY_DB_PORT_6379_TCP_ADDR=10.128.8.1",
        "MY_DB_PORT_6379_TCP_PORT=6379",
        "MY_DB_PORT_6379_TCP_PROTO=tcp",
        "MY_DB_PORT_6379_UDP=udp://10.128.8.1:6379",
        "MY_DB_PORT_6379_UDP_ADDR=10.128.8.1",
        "MY_DB_PORT_6379_UDP_PORT=6379",
        "MY_DB_PORT_6379_UDP_PROTO=udp",
        "MY_DB_NAME=/web/my-db",
        "MY_DB_ENV_A=b=c",
    ]


def test_what_is_left_of_the_links_asked_for_is_shown() -> None:
    assert shown(("db:store", "far:near"), ["0123456789ab:store", "db:gone"], "web") == ["/db:/web/store"]
    assert shown((), ["db:gone"], "web") is None
