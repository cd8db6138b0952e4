from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from paddock.drivers import rtnetlink


@given(st.binary(max_size=300))
def test_no_bytes_make_the_readers_fail(data: bytes) -> None:
    for _, _, _, body in rtnetlink.messages(data):
        rtnetlink.attributes(body)
    rtnetlink.attributes(data)


@given(st.ip_addresses())
def test_addresses_survive_packing(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    assert rtnetlink.pack_address(str(address)) == address.packed
    assert ipaddress.ip_address(rtnetlink.text_address(address.packed)) == address


def test_an_entry_reads_back_as_written() -> None:
    change = rtnetlink.forward(7, "02:42:0a:5a:00:07", "10.77.0.12", present=True)
    assert rtnetlink.neighbour_header(change.body) == (7, rtnetlink.NUD_PERMANENT, rtnetlink.NTF_SELF)
    found = rtnetlink.attributes(change.body, rtnetlink.NEIGHBOUR_BYTES)
    assert rtnetlink.text_mac(found[rtnetlink.NDA_LLADDR]) == "02:42:0a:5a:00:07"
    assert rtnetlink.text_address(found[rtnetlink.NDA_DST]) == "10.77.0.12"
