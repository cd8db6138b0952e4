from __future__ import annotations

from pathlib import Path

import pytest

from paddock.drivers.resolv_conf import Resolvers, read_resolvers

CASES = [
    ("nameserver 9.9.9.9\nnameserver 1.1.1.1\n", ("9.9.9.9", "1.1.1.1")),
    ("# nameserver 1.2.3.4\nsearch lan\nnameserver\nnameserver nonsense\n", ()),
    ("nameserver 127.0.0.53\nnameserver ::1\nnameserver 10.0.0.1", ("10.0.0.1",)),
    ("nameserver fe80::1%eth0\nnameserver 2001:db8::1\n", ("2001:db8::1",)),
    ("nameserver 1.1.1.1\nnameserver 1.1.1.1\nnameserver 0.0.0.0", ("1.1.1.1",)),
    ("\n".join(f"nameserver 10.0.0.{one}" for one in range(9)), ("10.0.0.0", "10.0.0.1", "10.0.0.2")),
]


@pytest.mark.parametrize(("text", "resolvers"), CASES)
def test_nameserver_lines(text: str, resolvers: tuple[str, ...]) -> None:
    assert read_resolvers(text) == resolvers


def test_the_stubs_own_file_is_read_where_only_the_stub_is_named(tmp_path: Path) -> None:
    stub, real = tmp_path / "etc", tmp_path / "run"
    stub.write_text("nameserver 127.0.0.53\n")
    assert Resolvers(stub, real).current(0.0) == ()
    real.write_text("nameserver 10.0.0.9\n")
    assert Resolvers(stub, real).current(0.0) == ("10.0.0.9",)


def test_a_changed_file_is_read_again_but_not_looked_at_all_the_time(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    resolvers = Resolvers(file, tmp_path / "none")
    assert resolvers.current(100.0) == ()
    file.write_text("nameserver 10.0.0.1\n")
    assert resolvers.current(101.0) == ()
    assert resolvers.current(102.5) == ("10.0.0.1",)
    file.unlink()
    assert resolvers.current(105.0) == ()
