"""Names, addresses and archives of a playground: what can be told without root."""

from __future__ import annotations

import io
import ipaddress
import itertools
import tarfile
from pathlib import Path

import msgspec
import pytest

from paddock.model.errors import UserError
from paddock.playground import archive, elf, plan
from paddock.playground.archive import Directory, Entry
from paddock.playground.state import HostRecord, Process, Status, read, write

IFNAMSIZ = 16
ALL = tuple(f"h{number}" for number in range(1, plan.HOSTS_MAX + 1))


@pytest.mark.parametrize("name", ["paddock", "a", "ninechars", "tencharacter", "Two.Words-1", "9lives", "x" * 63])
def test_every_link_fits_its_name(name: str) -> None:
    assert len(f"{plan.prefix(name)}-h{plan.HOSTS_MAX}") < IFNAMSIZ
    assert len(f"{plan.prefix(name)}-lan") < IFNAMSIZ


def test_different_names_have_different_prefixes() -> None:
    names = [f"test-{number}" for number in range(500)]
    assert len({plan.prefix(name) for name in names}) == len(names)


@pytest.mark.parametrize("name", ["", "-x", "a/b", "a b", "x" * 64])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot name a playground"):
        plan.prefix(name)


@pytest.mark.parametrize("host", ["", "1", "h0", "h32", "h01", "h1 ", "H1"])
def test_a_host_that_cannot_be_is_refused(host: str) -> None:
    with pytest.raises(UserError, match="is not a host"):
        plan.number(host)


@pytest.mark.parametrize("subnet", ["10.77.0.0/24", "10.77.1.0/16", "here", "fd00::/16"])
def test_a_range_that_cannot_be_is_refused(subnet: str) -> None:
    with pytest.raises(UserError, match="/16"):
        plan.lan(subnet)


def test_no_two_hosts_share_an_address_or_overlap() -> None:
    subnet = "10.77.0.0/16"
    ranges = [plan.lan(subnet)]
    for host in ALL:
        ranges.append(ipaddress.IPv4Interface(plan.docker0(subnet, host)).network)
        ranges += [ipaddress.IPv4Network(pool) for pool in plan.pools(subnet, host)]
    assert not [pair for pair in itertools.combinations(ranges, 2) if pair[0].overlaps(pair[1])]
    assert all(part.subnet_of(plan.network(subnet)) for part in ranges)
    addresses = {plan.host_address(subnet, host) for host in ALL} | {plan.machine_address(subnet)}
    assert len(addresses) == len(ALL) + 1
    assert len({plan.host_mac(subnet, host) for host in ALL}) == len(ALL)


def test_status_is_the_json_that_was_promised() -> None:
    told = Status(server=None, api_key_file=None, environment="default", docker_host=None, hosts=())
    assert msgspec.json.decode(msgspec.json.encode(told)) == {
        "server": None,
        "api_key_file": None,
        "environment": "default",
        "docker_host": None,
        "hosts": [],
    }


def test_a_record_comes_back_as_it_was_and_for_root_only(tmp_path: Path) -> None:
    process = Process(label="agent", argv=("sleep", "1"), env={"KEY": "secret"}, log="/log")
    record = HostRecord(boot=(1, 2), cut=True, processes=(process,))
    write(tmp_path / "host.json", record)
    assert read(tmp_path / "host.json", HostRecord) == record
    assert (tmp_path / "host.json").stat().st_mode & 0o777 == 0o600
    assert read(tmp_path / "none.json", HostRecord) is None


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "host.json").write_text('{"boot": [1')
    with pytest.raises(UserError, match=r"host\.json is damaged"):
        read(tmp_path / "host.json", HostRecord)


def test_a_layer_is_the_same_whatever_the_order_and_names_its_parents() -> None:
    tree: dict[str, Entry | Directory] = {
        "usr/bin/a": Entry(data=b"a", mode=0o755),
        "bin": Entry(link="usr/bin"),
        "tmp": Directory(mode=0o1777),
    }
    first = archive.layer(tree)
    assert first == archive.layer(dict(reversed(tree.items())))
    with tarfile.open(fileobj=io.BytesIO(first)) as tar:
        assert tar.getnames() == ["bin", "tmp", "usr", "usr/bin", "usr/bin/a"]
        assert {member.mtime for member in tar} == {archive.FILE_TIME_S}
        assert tar.getmember("usr/bin/a").mode == 0o755
        assert tar.getmember("tmp").mode == 0o1777


@pytest.mark.parametrize(
    ("path", "expected"),
    [("./bin/sh", "usr/bin/sh"), ("/lib/x/y.so", "usr/lib/x/y.so"), ("lib64/ld.so", "usr/lib64/ld.so"), ("./", "")],
)
def test_paths_of_packages_have_one_spelling(path: str, expected: str) -> None:
    assert archive.place(path) == expected


def test_a_program_names_its_loader_and_libraries() -> None:
    needed = elf.needed(Path("/bin/ls").read_bytes())
    assert needed[0].startswith("/lib")
    assert "libc.so.6" in needed
    assert elf.needed(b"#!/bin/sh\n") == ()
