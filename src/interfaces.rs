//! The addresses of this machine, as the kernel lists them.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses under which a listener on all of them can be reached, loopback first.
pub fn local_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    addresses.extend(ipv4_addresses(&routes).into_iter().map(IpAddr::V4));
    let interfaces = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    addresses.extend(ipv6_addresses(&interfaces).into_iter().map(IpAddr::V6));
    if addresses.is_empty() {
        addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    addresses.sort_by_key(|address| (!address.is_loopback(), *address));
    addresses.dedup();
    addresses
}

/// Those that other machines may use.
pub fn reachable_addresses() -> Vec<IpAddr> {
    local_addresses().into_iter().filter(is_global_unicast).collect()
}

/// Not of this machine, its link or a group.
fn is_global_unicast(address: &IpAddr) -> bool {
    let only_here = address.is_unspecified() || address.is_loopback() || address.is_multicast();
    let only_on_the_link = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !only_here && !only_on_the_link
}

/// Own addresses in the kernel's routing table: an address line, and below it `/32 host LOCAL`.
fn ipv4_addresses(routes: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = routes.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter_map(|pair| match pair {
            [address, "/32 host LOCAL"] => address.strip_prefix("|-- ")?.parse().ok(),
            _ => None,
        })
        .collect()
}

/// Own addresses in the kernel's list: 32 hexadecimal digits at the beginning of a line.
fn ipv6_addresses(interfaces: &str) -> Vec<Ipv6Addr> {
    interfaces
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from_bits))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_tables() {
        let routes = "Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        \
                      /32 host LOCAL\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        \
                      /32 link BROADCAST\n";
        assert_eq!(ipv4_addresses(routes), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
        let interfaces = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                          00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(ipv6_addresses(interfaces).len(), 2);
        assert_eq!(ipv6_addresses(interfaces)[1], Ipv6Addr::LOCALHOST);
    }

    #[test]
    fn tells_who_can_be_reached_from_outside() {
        let reachable = |text: &str| is_global_unicast(&text.parse().unwrap());
        for address in ["192.0.2.2", "10.0.0.1", "2001:db8::1", "fd00::2"] {
            assert!(reachable(address), "{address}");
        }
        for address in ["0.0.0.0", "127.0.0.1", "169.254.1.1", "224.0.0.1", "255.255.255.255", "::", "::1", "fe80::1"] {
            assert!(!reachable(address), "{address}");
        }
    }
}
