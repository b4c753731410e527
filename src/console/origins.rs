//! Origins that the console may be opened at, and the cookie of each.
//!
//! A page of another site can make a browser send requests here, by a host name that leads here too
//! (DNS rebinding) or by a form. So the console lists its own origins, and trusts no `Host` of a
//! request.

use std::net::{IpAddr, SocketAddr};

/// The origins of a server's console, as browsers write them.
#[derive(Debug)]
pub struct ConsoleOrigins(Vec<String>);

impl ConsoleOrigins {
    /// The configured ones, or those by which this machine reaches its own HTTP server.
    pub fn new(configured: Vec<String>, http: SocketAddr, is_https: bool) -> Self {
        if !configured.is_empty() {
            return Self(configured);
        }
        let (scheme, default) = if is_https { ("https", 443) } else { ("http", 80) };
        let port = match http.port() {
            port if port == default => String::new(),
            port => format!(":{port}"),
        };
        let hosts = ["localhost", "127.0.0.1", "[::1]"];
        Self(hosts.iter().map(|host| format!("{scheme}://{host}{port}")).collect())
    }

    /// The origin that a request with this `Host` is for; None if it is not of the console.
    pub fn of_host(&self, host: &str) -> Option<&str> {
        let host = host.to_ascii_lowercase();
        let is_it = |origin: &&String| {
            let (scheme, authority) = origin.split_once("://").unwrap_or_default();
            let port = if scheme == "https" { ":443" } else { ":80" };
            authority == host.strip_suffix(port).unwrap_or(&host)
        };
        self.0.iter().find(is_it).map(String::as_str)
    }

    /// All of them, for a message.
    pub fn list(&self) -> String {
        self.0.join(", ")
    }
}

/// The name of the session's cookie at an origin. A browser takes `__Host-` only over HTTPS, only for
/// this host, and from no subdomain.
pub fn cookie_name(origin: &str) -> &'static str {
    if is_https(origin) { "__Host-conflow" } else { "conflow" }
}

/// `Set-Cookie` with the secret of a session, or, with an empty one, for the end of the session.
pub fn set_cookie(origin: &str, secret: &str, seconds: u64) -> String {
    let (name, secure) = (cookie_name(origin), if is_https(origin) { "; Secure" } else { "" });
    format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

/// Whether nobody on the way can read what a browser at this origin sends.
pub fn is_private(origin: &str) -> bool {
    let (_, authority) = origin.split_once("://").unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_loopback = host.parse::<IpAddr>().is_ok_and(|it| it.is_loopback());
    is_https(origin) || is_loopback || host == "localhost"
}

fn is_https(origin: &str) -> bool {
    origin.starts_with("https://")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_that_of_an_origin_or_none() {
        let http = "127.0.0.1:8080".parse().unwrap();
        let own = ConsoleOrigins::new(Vec::new(), http, false);
        assert_eq!(own.of_host("LOCALHOST:8080"), Some("http://localhost:8080"));
        assert_eq!(own.of_host("[::1]:8080"), Some("http://[::1]:8080"));
        for host in ["localhost", "localhost:8081", "evil.example:8080", "localhost:8080.evil", ""]
        {
            assert_eq!(own.of_host(host), None, "{host}");
        }
        let listed = vec!["https://ops.example.com".to_owned()];
        let listed = ConsoleOrigins::new(listed, http, false);
        assert_eq!(listed.of_host("ops.example.com:443"), Some("https://ops.example.com"));
        assert_eq!(listed.of_host("ops.example.com:80"), None);
        assert_eq!(listed.of_host("localhost:8080"), None, "the list replaces the default");
        let tls = ConsoleOrigins::new(Vec::new(), "0.0.0.0:443".parse().unwrap(), true);
        assert_eq!(tls.of_host("localhost"), Some("https://localhost"));
    }

    #[test]
    fn a_cookie_is_for_https_where_there_is_https() {
        let secure = "__Host-conflow=a; Path=/; Max-Age=9; HttpOnly; SameSite=Strict; Secure";
        assert_eq!(set_cookie("https://a.example", "a", 9), secure);
        let plain = "conflow=a; Path=/; Max-Age=9; HttpOnly; SameSite=Strict";
        assert_eq!(set_cookie("http://localhost:8080", "a", 9), plain);
    }

    #[test]
    fn plain_http_is_private_on_this_machine_only() {
        let check = |origin, expected| assert_eq!(is_private(origin), expected, "{origin}");
        check("http://localhost:8080", true);
        check("http://127.9.9.9", true);
        check("http://[::1]:80", true);
        check("https://ops.example.com", true);
        check("http://ops.example.com", false);
        check("http://192.0.2.1:8080", false);
        check("http://localhost.evil.example", false);
    }
}
