//! `cargo xtask serve`: the site on a port of this machine.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context, Result};

use crate::{
    dist,
    server::{Server, check_prefix},
};

/// Where the search for a free port begins.
const FIRST_PORT: u16 = 8000;
/// How many ports are tried.
const PORTS: u16 = 100;

/// Builds the site, serves it to this machine alone and prints its address.
///
/// # Errors
/// The build fails, or there is no port.
pub fn serve(port: Option<u16>, prefix: &str) -> Result<()> {
    // First what can go wrong at once: a build is too long a wait for bad news.
    check_prefix(prefix)?;
    let listener = listen(port)?;
    let folder = dist::default_folder();
    dist::build(&folder)?;
    let server = Server::start(&folder, prefix, listener)?;
    println!("Husky AI is at {} (Ctrl-C stops it)", server.url());
    server.wait()
}

/// Takes the port that is asked for, or the first free one.
fn listen(port: Option<u16>) -> Result<TcpListener> {
    let bind = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    match port {
        Some(port) => bind(port).with_context(|| format!("port {port} cannot be used: choose another with --port")),
        None => (FIRST_PORT..FIRST_PORT + PORTS)
            .find_map(|port| bind(port).ok())
            .with_context(|| format!("no port from {FIRST_PORT} on is free: choose one with --port")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_taken_port_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen(Some(port)).unwrap_err().to_string();
        assert!(error.contains(&format!("port {port} cannot be used")), "{error}");
    }

    #[test]
    fn without_a_wish_the_next_free_port_is_taken() {
        let first = listen(None).unwrap().local_addr().unwrap().port();
        let _held = listen(Some(first)).unwrap();
        assert!(listen(None).unwrap().local_addr().unwrap().port() > first);
    }

    #[test]
    fn only_this_machine_is_served() {
        assert!(listen(None).unwrap().local_addr().unwrap().ip().is_loopback());
    }
}
