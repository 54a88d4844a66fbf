import ipaddress

import pytest

from negset_jobs.adapters import addresses
from negset_jobs.adapters.access import Access

PUBLIC = """
8.8.8.8 1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 168.63.129.15 168.63.129.17 169.253.255.255 169.255.0.0
172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 192.88.98.255 192.88.100.0 192.167.255.255
192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 198.51.101.0 203.0.112.255 203.0.114.0 223.255.255.255 52.216.0.1 151.101.1.69
2606:4700::1 2606:4700:4700::1111 2a00:1450:4001:81b::200e 2001:4860:4860::8888 2001:200::1 2001:500:88:200::8 2001:67c:2e8::1 2003::1 2400:cb00::1
2600:9000::1 2620:fe::fe 2800:3f0::1 2a05:d014::1 2c0f:fb50::1 2001:db7:ffff::1 2001:db9::1 3fff:1000::1 ::ffff:8.8.8.8 ::ffff:808:808 64:ff9b::808:808 64:ff9b::8.8.8.8 2606:4700::5efe:808:809:0
"""

# By reason. Both ends of a block, and an address in its middle.
BLOCKED = {
    "relays and sinks, reachable, but no place of files": "192.0.0.9 192.0.0.10 192.31.196.1 192.52.193.1 192.175.48.1 2620:4f:8000::1 2001:1::1 2001:1::2 2001:1::3 2001:3::1 2001:4:112::1 2001:20::1 2001:30::1",
    "this network": "0.0.0.0 0.0.0.1 0.1.2.3 0.255.255.255",
    "private": "10.0.0.0 10.1.2.3 10.255.255.255 172.16.0.0 172.20.1.1 172.31.255.255 192.168.0.0 192.168.1.1 192.168.255.255",
    "carriers": "100.64.0.0 100.100.100.200 100.127.255.255",
    "loopback": "127.0.0.0 127.0.0.1 127.0.1.1 127.8.8.8 127.255.255.255",
    "link-local": "169.254.0.0 169.254.169.254 169.254.170.2 169.254.170.23 169.254.42.42 169.254.0.23 169.254.255.255",
    "clouds' metadata": "168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254 fe80::a9fe:a9fe fd00:a9fe:a9fe::1",
    "IETF protocols": "192.0.0.0 192.0.0.1 192.0.0.7 192.0.0.8 192.0.0.11 192.0.0.170 192.0.0.171 192.0.0.255",
    "documentation": "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255 2001:db8:: 2001:db8:ffff::1 3fff:: 3fff:fff::1",
    "6to4 relays": "192.88.99.0 192.88.99.1 192.88.99.2 192.88.99.255",
    "benchmarks": "198.18.0.0 198.18.0.1 198.19.255.255 2001:2::1 2001:2:0:ffff::1",
    "multicast": "224.0.0.0 224.0.0.1 232.1.1.1 239.255.255.255 ff00:: ff02::1 ff05::2 ff0e::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "reserved": "240.0.0.0 240.0.0.1 250.1.1.1 255.255.255.254 255.255.255.255",
    "unspecified and loopback": ":: ::1 0:0:0:0:0:0:0:1 ::2",
    "mapped": "::ffff:0.0.0.0 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:a9fe:a9fe ::ffff:168.63.129.16 ::ffff:192.0.0.192 0:0:0:0:0:ffff:7f00:1",
    "compatible": "::127.0.0.1 ::7f00:1 ::10.0.0.1 ::8.8.8.8 ::a9fe:a9fe",
    "translated (SIIT)": "::ffff:0:127.0.0.1 ::ffff:0:7f00:1 ::ffff:0:8.8.8.8 ::ffff:0:a9fe:a9fe",
    "NAT64": "64:ff9b::127.0.0.1 64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b::a83f:8110 64:ff9b::6464:64c8",
    "NAT64 for local use": "64:ff9b:1:: 64:ff9b:1::1 64:ff9b:1::808:808 64:ff9b:1:ffff:ffff:ffff:ffff:ffff 64:ff9b:1::a9fe:a9fe",
    "beside NAT64": "64:ff9b:0:1::808:808 64:ff9c::808:808",
    "discard-only and dummy": "100:: 100::1 100:0:0:1::1",
    "Teredo": "2001:: 2001::1 2001:0:53aa:64c:0:0:80ff:fffe 2001:0:808:808::1",
    "ORCHID of old": "2001:10:: 2001:1f:ffff::1",
    "other IETF protocols of IPv6": "2001:1::4 2001:4::1 2001:5:: 2001:40::1 2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
    "6to4": "2002:: 2002:7f00:1:: 2002:a00:1:: 2002:a9fe:a9fe::1 2002:808:808::1 2002:c0a8:101::c0a8:101",
    "ISATAP": "2606:4700::5efe:10.0.0.1 2606:4700::200:5efe:127.0.0.1 2606:4700::5efe:8.8.8.8 2606:4700:0:0:100:5efe:a00:1 2a00::300:5efe:a9fe:a9fe fe80::5efe:10.0.0.1 fe80::200:5efe:7f00:1",
    "6bone": "3ffe:: 3ffe:ffff::1",
    "segment routing": "5f00:: 5f00::1 5f00:ffff::1",
    "not handed out": "1::1 1fff:ffff::1 4000:: 4000::1 6000::1 8000::1 a000::1 c000::1 e000::1 f000::1 fb00::1 fe00::1 200::1 400::1",
    "unique local": "fc00:: fc00::1 fd00::1 fd12:3456:789a::1 fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    "link-local of IPv6": "fe80:: fe80::1 fe80::1%eth0 fe80::1%1 febf:ffff::1",
    "site-local": "fec0:: fec0::1 fec0:0:0:ffff::1 feff:ffff::1",
}  # fmt: skip
NAMES = "localhost example.org 127.1 127.0.1 2130706433 0x7f000001 0x7f.0.0.1 0177.0.0.1 010.0.0.1 127.0.0.01 \uff11\uff12\uff17.0.0.1 8.8.8.8. 8.8.8 [::1] ::ffff:127.1 1.2.3.4.5 <broadcast> 8.8.8.8/32"


@pytest.mark.parametrize("address", PUBLIC.split())
def test_public_addresses_may_be_reached(address):
    assert Access().permits(address)


@pytest.mark.parametrize(("reason", "address"), [(reason, address) for reason, those in BLOCKED.items() for address in those.split()])
def test_all_others_may_not(reason, address):
    assert not Access().permits(address)
    assert not Access(local_files=False, store_networks=("10.9.9.9/32",)).stores.permits(address)


@pytest.mark.parametrize("name", ["", *NAMES.split(), "127.0.0.1 ", " 8.8.8.8", "8.8.8.8\n", "8.8.8.8\0"])
def test_what_is_no_address_in_its_usual_form_may_not(name):
    assert not Access(allowed_networks=("0.0.0.0/0", "::/0")).permits(name)


def test_an_allowed_network_holds_for_the_addresses_that_lead_into_it():
    access = Access(allowed_networks=("10.0.0.0/8", "::1/128", "fd00::/8"))
    for address in ("10.255.0.1", "::1", "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "fd00:ec2::254", "8.8.8.8"):
        assert access.permits(address)
    for address in ("192.168.0.1", "::2", "::10.0.0.1", "2002:a00:1::", "64:ff9b:1::a00:1", "2606:4700::5efe:a00:1"):
        assert not access.permits(address)


def test_what_python_calls_not_public_is_not_public_here():
    """Python's own list is no stricter."""
    for network in (*ipaddress.IPv4Address._constants._private_networks, *ipaddress.IPv6Address._constants._private_networks):
        for address in (network[0], network[-1]):
            assert address.is_global or not addresses.is_public(address), address
