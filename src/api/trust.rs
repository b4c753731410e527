//! Trust: which proxies may name clients, and which web origins may ask.
//!
//! A browser says from which page a request comes (`Origin`, RFC 6454). Pages of listed origins may
//! read every answer (the Fetch standard's CORS protocol); others get no permission. A cookie comes by
//! itself, whichever page asks, so the dialect that has one refuses all other pages.

use std::net::IpAddr;

use axum::{
    http::{
        HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
        header::{
            ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS,
            ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
            ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
            ACCESS_CONTROL_REQUEST_METHOD, HOST, ORIGIN, VARY,
        },
    },
    response::Response,
};

use super::{
    console_gate,
    context::{RequestContext, RequestOrigin},
    dialect::ApiDialect,
    reply,
};
use crate::base::network::IpNetwork;

/// Whom the edge believes. It may be replaced while it serves.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// Proxies whose `X-Forwarded-For` names the client.
    pub proxies: Vec<IpNetwork>,
    /// Origins of web pages, as browsers send them: `https://app.example`.
    pub origins: Vec<String>,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How long a browser keeps the answer to a preflight, in seconds.
const PREFLIGHT_SECONDS: u64 = 600;

/// Methods of a path that is unknown.
const METHODS: &str = "GET, HEAD, POST, DELETE";

/// Headers that a page may read beside those that it always may.
const EXPOSED: &str = "Allow, Conflow-Remark, Conflow-Warning, Retry-After, WWW-Authenticate, \
    X-RateLimit-Limit, X-RateLimit-Remaining, X-RateLimit-Reset";

impl Trust {
    /// The address of the client: the peer's, or, if that is a trusted proxy, the right-most one of
    /// `X-Forwarded-For` that is not. What a client writes itself is further to the left.
    pub(super) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        if !self.is_proxy(client) {
            return client;
        }
        let values = headers.get_all(X_FORWARDED_FOR).iter().rev();
        // An unreadable value is one bad entry.
        let entries = values.flat_map(|it| it.to_str().unwrap_or("?").rsplit(','));
        let mut entries = entries.map(str::trim).filter(|it| !it.is_empty());
        while self.is_proxy(client) {
            // After a bad entry nothing can be believed: the proxy that wrote it is what is known.
            let Some(next) = entries.next().and_then(address) else { break };
            client = next;
        }
        client
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        let mapped = match address {
            IpAddr::V4(it) => IpAddr::V6(it.to_ipv6_mapped()),
            IpAddr::V6(_) => address,
        };
        self.proxies.iter().any(|it| it.contains(address) || it.contains(mapped))
    }

    /// RFC 6455, section 10.2, and the Fetch standard, section 3.2.
    pub(super) fn origin(&self, headers: &HeaderMap) -> RequestOrigin {
        let mut given = headers.get_all(ORIGIN).iter();
        let Some(origin) = given.next() else { return RequestOrigin::Own };
        let (Ok(origin), None) = (origin.to_str(), given.next()) else {
            return RequestOrigin::Foreign;
        };
        if self.origins.iter().any(|it| it == origin) {
            return RequestOrigin::Listed;
        }
        let host = headers.get(HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
        match is_origin_of(origin, host) {
            true => RequestOrigin::Own,
            false => RequestOrigin::Foreign,
        }
    }

    /// Adds the permissions of a listed origin to a response, and answers its preflights.
    pub(super) fn share(&self, context: &RequestContext, allow: &str, response: &mut Response) {
        if self.origins.is_empty() || console_gate::is_of_console(context) {
            return;
        }
        let is_listed = context.origin == RequestOrigin::Listed;
        if is_listed && is_preflight(context) {
            *response = preflight(context, allow);
        }
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = context.headers.get(ORIGIN).filter(|_| is_listed) {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
            // The credential of this dialect is a cookie.
            if context.dialect == ApiDialect::Kirimin {
                let yes = HeaderValue::from_static("true");
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
        }
    }

    /// The status with which Rocket.Chat's server refuses a preflight; None if it does not.
    pub(super) fn refused_preflight(&self, context: &RequestContext) -> Option<StatusCode> {
        if !is_preflight(context) || context.origin == RequestOrigin::Listed {
            return None;
        }
        Some(match self.origins.is_empty() {
            true => StatusCode::METHOD_NOT_ALLOWED,
            false => StatusCode::FORBIDDEN,
        })
    }
}

/// An address as proxies write it, with or without a port: `192.0.2.1`, `192.0.2.1:80`,
/// `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    let address = match bare {
        Some(bare) => bare.parse().map(IpAddr::V6).ok()?,
        None => {
            text.parse().or_else(|_| text.parse().map(|it: std::net::SocketAddr| it.ip())).ok()?
        }
    };
    Some(address.to_canonical())
}

/// Whether a page of this origin and this host are one. A TLS proxy may be between them, so the scheme
/// of this server does not count.
fn is_origin_of(origin: &str, host: &str) -> bool {
    let (origin, host) = (origin.to_ascii_lowercase(), host.to_ascii_lowercase());
    let Some((scheme, authority)) = origin.split_once("://") else { return false };
    let port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    let bare = |it: &str| it.strip_suffix(port).unwrap_or(it).to_owned();
    !host.is_empty() && bare(authority) == bare(&host)
}

fn is_preflight(context: &RequestContext) -> bool {
    context.method == Method::OPTIONS
        && context.headers.contains_key(ORIGIN)
        && context.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer to a preflight of a listed origin. A page may send whatever headers it names: none of
/// them means more to us than it does from another client.
fn preflight(context: &RequestContext, allow: &str) -> Response {
    let is_rocket_chat = context.dialect == ApiDialect::RocketChat;
    let status = if is_rocket_chat { StatusCode::OK } else { StatusCode::NO_CONTENT };
    let mut response = reply::empty(status);
    let headers = response.headers_mut();
    let methods = if allow.is_empty() { METHODS } else { allow };
    let methods = HeaderValue::from_str(methods).expect("methods are words");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    if let Some(asked) = context.headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
        headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(PREFLIGHT_SECONDS));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, it)| (name.clone(), HeaderValue::from_static(it))).collect()
    }

    #[test]
    fn a_client_is_the_last_one_that_no_trusted_proxy_names_itself() {
        let networks = ["10.0.0.0/8", "2001:db8:a::/48", "::ffff:192.0.2.0/120"];
        let proxies = networks.iter().map(|it| it.parse().unwrap()).collect();
        let trust = Trust { proxies, origins: Vec::new() };
        let check = |peer: &str, values: &[&'static str], expected: &str| {
            let pairs: Vec<_> = values.iter().map(|it| (X_FORWARDED_FOR, *it)).collect();
            let client = trust.client(peer.parse().unwrap(), &headers(&pairs));
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{peer} {values:?}");
        };
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("10.0.0.1", &[], "10.0.0.1");
        check("10.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1, 198.51.100.1, 10.0.0.2,10.0.0.3"], "198.51.100.1");
        check("10.0.0.1", &["1.1.1.1", "198.51.100.1", " 10.0.0.2 ,"], "198.51.100.1");
        check("10.0.0.1", &["10.0.0.9, 10.0.0.2"], "10.0.0.9");
        check("::ffff:10.0.0.1", &["::ffff:198.51.100.1"], "198.51.100.1");
        check("192.0.2.7", &["198.51.100.1"], "198.51.100.1");
        check("2001:db8:a::1", &["2001:db8:b::1"], "2001:db8:b::1");
        check("2001:db8:a::1", &["[2001:db8:b::1]:4711"], "2001:db8:b::1");
        check("10.0.0.1", &["[2001:db8:b::1]"], "2001:db8:b::1");
        check("10.0.0.1", &["198.51.100.1:80"], "198.51.100.1");
        check("::ffff:203.0.113.9", &[], "203.0.113.9");
        // What cannot be read stops the search.
        for junk in ["unknown", "_hidden", "for=198.51.100.1", "198.51.100", "[::1", "fe80::1%eth0"]
        {
            check("10.0.0.1", &["198.51.100.1", junk, "10.0.0.2"], "10.0.0.2");
        }
    }

    #[test]
    fn an_origin_is_our_own_or_listed_or_foreign() {
        let origins = vec!["https://app.example".to_owned()];
        let trust = Trust { proxies: Vec::new(), origins };
        let check = |host: &'static str, origin: &[&'static str], expected| {
            let mut pairs = vec![(HOST, host)];
            pairs.extend(origin.iter().map(|it| (ORIGIN, *it)));
            let mut all = HeaderMap::new();
            pairs.into_iter().for_each(|(name, it)| {
                all.append(name, HeaderValue::from_static(it));
            });
            assert_eq!(trust.origin(&all), expected, "{host} {origin:?}");
        };
        let (own, listed, foreign) =
            (RequestOrigin::Own, RequestOrigin::Listed, RequestOrigin::Foreign);
        check("a.example", &[], own);
        check("a.example", &["https://a.example"], own);
        check("A.example:443", &["https://a.EXAMPLE"], own);
        check("127.0.0.1:8080", &["http://127.0.0.1:8080"], own);
        check("[::1]:8080", &["http://[::1]:8080"], own);
        check("a.example", &["https://app.example"], listed);
        for origin in [
            "https://app.example.evil",
            "http://app.example",
            "https://app.example:8443",
            "https://b.a.example",
            "https://a.example:8443",
            "null",
            "",
            "a.example",
            "file://a.example",
        ] {
            check("a.example", &[origin], foreign);
        }
        check("a.example", &["https://a.example", "https://evil.example"], foreign);
        check("", &["https://"], foreign);
    }
}
