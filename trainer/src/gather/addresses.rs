//! Which addresses may be connected to.

use std::net::IpAddr;

use anyhow::{Context, Result};
use ipnet::IpNet;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Networks that are not the public internet: IANA's special-purpose registries of IPv4 and IPv6, with multicast. Of IPv6,
/// only 2000::/3 is given out at all, so what translates to IPv4 elsewhere (64:ff9b::/96) is no way around this list.
const SPECIAL: [&str; 22] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/3",
    // IPv6: what lies outside 2000::/3, and what is special inside (Teredo, documentation, 6to4).
    "::/3",
    "4000::/2",
    "8000::/1",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3ffe::/16",
    "3fff::/20",
];

/// Resolves names to public addresses only, and to those of the networks that the user allowed.
///
/// A connection is made to what this returns, never to another look-up's result, and each redirect comes through here, too:
/// a name that changes its address between check and use (DNS rebinding) gains nothing.
#[derive(Debug)]
pub struct PublicOnly {
    system: Box<dyn Resolver>,
    special: Vec<IpNet>,
    allowed: Vec<IpNet>,
}

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy)]
pub struct Refused(IpAddr);

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "leads to {}, which is no public address: if it is meant, add --allow {0}", self.0)
    }
}

impl std::error::Error for Refused {}

impl PublicOnly {
    /// Public addresses, and those of `allowed`.
    ///
    /// # Errors
    /// A network of this file is written wrongly.
    pub fn new(allowed: Vec<IpNet>) -> Result<Self> {
        let parse = |network: &&str| network.parse().with_context(|| format!("{network} is no network"));
        let special = SPECIAL.iter().map(parse).collect::<Result<_>>()?;
        Ok(Self { system: Box::new(DefaultResolver::default()), special, allowed })
    }

    fn check(&self, address: IpAddr) -> Result<(), Refused> {
        // ::ffff:10.0.0.1 is 10.0.0.1.
        let address = address.to_canonical();
        let lies_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&address));
        if lies_in(&self.special) && !lies_in(&self.allowed) { Err(Refused(address)) } else { Ok(()) }
    }
}

impl Resolver for PublicOnly {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err(Error::BadUri("only http and https are fetched".to_owned()));
        }
        let addresses = self.system.resolve(uri, config, timeout)?;
        for address in addresses.iter() {
            self.check(address.ip()).map_err(|refused| Error::Other(refused.into()))?;
        }
        Ok(addresses)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A name's server that says the one thing first and the other ever after.
    #[derive(Debug)]
    struct ChangesItsMind(AtomicUsize);

    impl Resolver for ChangesItsMind {
        fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
            let mut addresses = self.empty();
            let asked = self.0.fetch_add(1, Ordering::Relaxed);
            addresses.push(if asked == 0 { "1.1.1.1:80" } else { "127.0.0.1:80" }.parse().unwrap());
            Ok(addresses)
        }
    }

    #[test]
    fn a_name_that_changes_its_address_leads_nowhere() {
        let system = Box::new(ChangesItsMind(AtomicUsize::new(0)));
        let public = PublicOnly { system, ..PublicOnly::new(vec![]).unwrap() };
        let uri = "http://rebinding.example/a.jpg".parse().unwrap();
        let resolve = || public.resolve(&uri, &Config::default(), NextTimeout::default());
        // What is connected to is what was checked: the name is not asked for again in between.
        assert_eq!(resolve().unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), ["1.1.1.1:80"]);
        assert!(resolve().unwrap_err().to_string().contains("127.0.0.1, which is no public address"));
    }

    #[test]
    fn only_public_addresses_pass_unless_a_network_is_allowed() {
        let public = PublicOnly::new(vec![]).unwrap();
        let passes = |address: &str| public.check(address.parse().unwrap()).is_ok();
        for address in
            ["1.1.1.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2001:4860:4860::8888", "::ffff:1.1.1.1"]
        {
            assert!(passes(address), "{address}");
        }
        let private = "0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 169.254.169.254 172.31.255.255 192.168.0.1 224.0.0.1 255.255.255.255 \
                       :: ::1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 ::7f00:1 64:ff9b::a00:1 fc00::1 fd00:ec2::254 fe80::1 ff02::1 \
                       2001:0:4136:e378:8000:63bf:3fff:fdd2 2002:a00:1::1";
        for address in private.split_whitespace() {
            assert!(!passes(address), "{address}");
        }
        let home = PublicOnly::new(vec!["192.168.7.0/24".parse().unwrap()]).unwrap();
        assert!(home.check("192.168.7.9".parse().unwrap()).is_ok());
        assert!(home.check("192.168.8.9".parse().unwrap()).is_err());
    }
}
