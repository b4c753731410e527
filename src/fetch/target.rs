//! Target URL: a URL that may be requested, with the delivery options in its fragment (contract
//! 4.7).

use std::{fmt, net::IpAddr, sync::Arc, time::Duration};

use http::Uri;
use url::{Host, Url};

/// An http or https URL without user and password. Its address is checked later, when the host is
/// resolved.
///
/// Its text forms leave out what may be secret: the query and the fragment.
#[derive(Clone, Eq, PartialEq)]
pub struct TargetUrl {
    url: Url,
    origin: Arc<str>,
    options: Options,
    warnings: Vec<String>,
}

impl TargetUrl {
    /// Parses a URL as its author wrote it; surrounding blanks are ignored.
    ///
    /// # Errors
    ///
    /// [`BadUrl`]: conflow does not request such a URL.
    pub fn parse(text: &str) -> Result<Self, BadUrl> {
        let text = text.trim();
        if URL_BYTES_MAX < text.len() {
            return Err(BadUrl::Long);
        }
        // The parser would ignore tabs and line ends, and tolerate a wrong number of slashes.
        if text.chars().any(char::is_control) {
            return Err(BadUrl::Control);
        }
        let rest = strip_scheme(text).ok_or(BadUrl::Scheme)?;
        if rest.starts_with(['/', '\\']) {
            return Err(BadUrl::Malformed("there is no host after ://"));
        }

        Self::of(Url::parse(text).map_err(BadUrl::of)?)
    }

    /// Target of a redirect. The options stay as they are: they are the author's.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, BadUrl> {
        let next = Self::of(self.url.join(location).map_err(BadUrl::of)?)?;
        Ok(Self { options: self.options, warnings: Vec::new(), ..next })
    }

    /// The URL as it is sent and signed: normalized, without the fragment.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Scheme, host and port, which identify the receiver.
    pub fn origin(&self) -> &Arc<str> {
        &self.origin
    }

    /// The IP address, if the URL has one instead of a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.url.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(v4) => Some(v4.into()),
            Host::Ipv6(v6) => Some(v6.into()),
        }
    }

    /// Budget of a request: the fragment's values, or else those of `usual`.
    pub fn budget(&self, usual: Budget) -> Budget {
        let Options { connect, read, total, retries, retry_on, .. } = self.options;
        Budget {
            connect: connect.unwrap_or(usual.connect),
            read: read.unwrap_or(usual.read),
            total: total.unwrap_or(usual.total),
            retries: retries.unwrap_or(usual.retries),
            retry_on: retry_on.unwrap_or(usual.retry_on),
        }
    }

    /// Delivery options of the fragment.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Warnings about the fragment, for the URL's author.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Adds fields to the query.
    pub(super) fn with_query(mut self, fields: &[crate::fetch::signature::FormField]) -> Self {
        if !fields.is_empty() {
            self.url.query_pairs_mut().extend_pairs(fields);
        }
        self
    }

    fn of(mut url: Url) -> Result<Self, BadUrl> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BadUrl::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BadUrl::UserInfo);
        }
        if url.host().is_none_or(|host| host == Host::Domain("")) || url.port() == Some(0) {
            return Err(BadUrl::Malformed("there is no host, or its port is 0"));
        }

        let (options, warnings) = Options::parse(url.fragment().unwrap_or_default());
        url.set_fragment(None);
        // hyper connects to the host that its own parser sees, so both parsers must agree.
        let uri: Option<Uri> = url.as_str().parse().ok();
        let agrees = |uri: Uri| uri.host() == url.host_str() && uri.port_u16() == url.port();
        if !uri.is_some_and(agrees) {
            return Err(BadUrl::Malformed("it has a character that no URL has"));
        }

        let origin = url.origin().ascii_serialization().into();
        Ok(Self { url, origin, options, warnings })
    }
}

/// Writes scheme, host and path.
impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.url.as_str();
        f.write_str(text.split('?').next().unwrap_or(text))
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reason why conflow does not request a URL. Never contains the text, which may hold a secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BadUrl {
    /// A control character, such as a line end or tab.
    #[error("the URL has a control character in it: take out line ends and tabs")]
    Control,
    /// The text is longer than [`URL_BYTES_MAX`].
    #[error("the URL is longer than {URL_BYTES_MAX} bytes: shorten it")]
    Long,
    /// The URL parser's error, in our words.
    #[error("the URL cannot be read: {0}")]
    Malformed(&'static str),
    /// Neither http nor https, or no scheme.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// A user or password in the URL, `user:password@`.
    #[error("the URL must not name a user or a password: callbacks are signed instead")]
    UserInfo,
}

impl BadUrl {
    fn of(error: url::ParseError) -> Self {
        use url::ParseError as E;
        Self::Malformed(match error {
            E::EmptyHost => "there is no host after ://",
            E::IdnaError | E::InvalidDomainCharacter => "the host has a character that none has",
            E::InvalidPort => "the port is no number from 1 to 65535",
            E::InvalidIpv4Address | E::InvalidIpv6Address => "the host is no address",
            E::Overflow => "it is too long",
            E::RelativeUrlWithCannotBeABaseBase | E::RelativeUrlWithoutBase => "it is relative",
            E::SetHostOnCannotBeABaseUrl | _ => "it is no URL",
        })
    }
}

/// Delivery options of a URL's fragment; None where an option is missing or invalid.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Options {
    /// `ct`: timeout of the connection.
    pub connect: Option<Duration>,
    /// `rt`: timeout from the connection to the end of the response.
    pub read: Option<Duration>,
    /// `tt`: timeout from the first attempt to the last response.
    pub total: Option<Duration>,
    /// `rc`: number of retries.
    pub retries: Option<u8>,
    /// `rp`: failures that are retried.
    pub retry_on: Option<RetryOn>,
    /// `er`: region. Accepted, but conflow requests from where it runs.
    pub region: Option<Region>,
}

impl Options {
    /// Parses `ct=2000&rt=40000&…`. Invalid options are ignored, with a warning.
    pub fn parse(fragment: &str) -> (Self, Vec<String>) {
        let mut options = Self::default();
        let mut warnings = Vec::new();
        for part in fragment.split('&').filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            if let Err(range) = options.set(key, value) {
                warnings.push(format!("#{part} is ignored: {range}"));
            }
        }
        (options, warnings)
    }

    /// Sets an option; the error states the valid values.
    fn set(&mut self, key: &str, value: &str) -> Result<(), &'static str> {
        match key {
            "ct" => self.connect = Some(millis(value, 10_000).ok_or("ct is 100 to 10000 ms")?),
            "rt" => self.read = Some(millis(value, 40_000).ok_or("rt is 100 to 40000 ms")?),
            "tt" => self.total = Some(millis(value, 55_000).ok_or("tt is 100 to 55000 ms")?),
            "rc" => {
                let retries = value.parse().ok().filter(|it| *it <= RETRIES_MAX);
                self.retries = Some(retries.ok_or("rc is 0 to 5")?);
            }
            "rp" => {
                let retry_on = RetryOn::parse(value);
                self.retry_on = Some(retry_on.ok_or("rp is of 4xx,5xx,ct,rt,all")?);
            }
            "er" => self.region = Some(Region::parse(value).ok_or("er is no known region")?),
            _ => return Err("the options are ct, rt, tt, rc, rp and er"),
        }
        Ok(())
    }
}

/// Timeouts and retries of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Budget {
    /// Time to resolve the host, connect, and negotiate TLS.
    pub connect: Duration,
    /// Time from the connection to the end of the response; restarts at each redirect.
    pub read: Duration,
    /// Time for everything, including redirects and retries.
    pub total: Duration,
    /// Attempts after the first.
    pub retries: u8,
    /// Failures that are retried.
    pub retry_on: RetryOn,
}

/// Defaults of contract 4.7.
impl Default for Budget {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(2_000),
            read: Duration::from_millis(40_000),
            total: Duration::from_millis(55_000),
            retries: 1,
            retry_on: RetryOn { connect: true, read: true, ..RetryOn::default() },
        }
    }
}

/// `rp`: failures that are retried.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RetryOn {
    /// `ct`: there was no connection.
    pub connect: bool,
    /// `rt`: there was a connection, but no response.
    pub read: bool,
    /// `4xx`: the response blames the request.
    pub client_error: bool,
    /// `5xx`: the response blames the receiver.
    pub server_error: bool,
}

impl RetryOn {
    /// `all`: every failure is retried.
    pub const ALL: Self =
        Self { connect: true, read: true, client_error: true, server_error: true };

    fn parse(list: &str) -> Option<Self> {
        let mut on = Self::default();
        for word in list.split(',') {
            match word.trim() {
                "4xx" => on.client_error = true,
                "5xx" => on.server_error = true,
                "all" => on = Self::ALL,
                "ct" => on.connect = true,
                "rt" => on.read = true,
                _ => return None,
            }
        }
        Some(on)
    }
}

/// `er`: regions of the vendor.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Region {
    /// Written `er=nearest` in the fragment.
    Nearest,
    /// Written `er=local` in the fragment.
    Local,
    /// Written `er=n_california` in the fragment.
    NorthCalifornia,
    /// Written `er=n_virginia` in the fragment.
    NorthVirginia,
    /// Written `er=frankfurt` in the fragment.
    Frankfurt,
    /// Written `er=singapore` in the fragment.
    Singapore,
    /// Written `er=mumbai` in the fragment.
    Mumbai,
}

impl Region {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "nearest" => Self::Nearest,
            "local" => Self::Local,
            "n_california" => Self::NorthCalifornia,
            "n_virginia" => Self::NorthVirginia,
            "frankfurt" => Self::Frankfurt,
            "singapore" => Self::Singapore,
            "mumbai" => Self::Mumbai,
            _ => return None,
        })
    }
}

/// Servers and proxies commonly accept as much in a request line.
pub const URL_BYTES_MAX: usize = 8_000;

/// Contract 4.7: the minimum of each timeout.
const MILLIS_MIN: u64 = 100;

/// Contract 4.7: the maximum of `rc`.
const RETRIES_MAX: u8 = 5;

fn millis(value: &str, max: u64) -> Option<Duration> {
    let millis = value.parse().ok().filter(|it| (MILLIS_MIN..=max).contains(it))?;
    Some(Duration::from_millis(millis))
}

/// The text after `http://` or `https://`, in any case.
fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    ["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_strictly_and_sent_in_its_normal_form() {
        let check = |text: &str, expected: Result<&str, BadUrl>| {
            let found = TargetUrl::parse(text).map(|it| it.url().to_string());
            assert_eq!(found, expected.map(str::to_owned), "{text}");
        };

        use BadUrl::{Control, Malformed, Scheme, UserInfo};
        let no_host = Malformed("there is no host after ://");
        check("https://example.com/cb?a=b%20c#rc=2", Ok("https://example.com/cb?a=b%20c"));
        check("  HTTP://Example.COM:80  ", Ok("http://example.com/"));
        check("https://example.com:8443/a b", Ok("https://example.com:8443/a%20b"));
        check("http://bücher.example/", Ok("http://xn--bcher-kva.example/"));
        check("http://127.1/", Ok("http://127.0.0.1/"));
        check("http://0x7f.0.0.1/", Ok("http://127.0.0.1/"));
        check("http://2130706433/", Ok("http://127.0.0.1/"));
        check("http://0177.0.0.01/", Ok("http://127.0.0.1/"));
        check("http://[::FFFF:7f00:1]/", Ok("http://[::ffff:7f00:1]/"));
        check("http://①②⑦.⓪.⓪.①/", Ok("http://127.0.0.1/"));
        check("ftp://example.com/", Err(Scheme));
        check("file:///etc/passwd", Err(Scheme));
        check("http:example.com", Err(Scheme));
        check("example.com/cb", Err(Scheme));
        check("flow:lobby", Err(Scheme));
        check("", Err(Scheme));
        check("http:///example.com/", Err(no_host));
        check("http://\\example.com/", Err(no_host));
        check("http://", Err(no_host));
        check("http://me@example.com/", Err(UserInfo));
        check("http://:secret@example.com/", Err(UserInfo));
        check("http://example.com\\@10.0.0.1/", Ok("http://example.com/@10.0.0.1/"));
        check("http://exam\nple.com/", Err(Control));
        check("http://example.com/a\tb", Err(Control));
        check("http://example.com:0/", Err(Malformed("there is no host, or its port is 0")));
        check("http://example.com:99999/", Err(Malformed("the port is no number from 1 to 65535")));
        check("http://256.256.256.256/", Err(Malformed("the host is no address")));
        check("http://[::1/", Err(Malformed("the host is no address")));
        check("http://exa mple.com/", Err(Malformed("the host has a character that none has")));
        check(&format!("http://example.com/{}", "a".repeat(URL_BYTES_MAX)), Err(BadUrl::Long));
    }

    /// hyper connects to the host that its own parser sees.
    #[test]
    fn two_parsers_agree_on_every_url_that_is_let_through() {
        let parts = "http https :// : / // \\ @ ? # & % %2f %00 [ ] ::1 ::ffff:1.2.3.4 127.0.0.1 0x7f.1 \
                     example.com a.b . .. ; | ^ { } \" < > ` ' ü ① \u{ad} \t \0 80 443 0 user ct=300";
        let mut parts: Vec<_> = parts.split(' ').collect();
        parts.push("a b");
        let mut rng = fastrand::Rng::with_seed(1);
        let mut read = 0;
        for _ in 0..200_000 {
            let mut text = "http://".to_owned();
            (0..rng.u8(0..8)).for_each(|_| text += rng.choice(&parts).unwrap());
            let Ok(target) = TargetUrl::parse(&text) else { continue };
            read += 1;
            let uri: Uri = target.url().as_str().parse().expect(&text);
            assert_eq!(uri.host(), target.url().host_str(), "{text:?}");
            assert_eq!(uri.port_u16(), target.url().port(), "{text:?}");
            assert_eq!(uri.scheme_str(), Some(target.url().scheme()), "{text:?}");
            assert!(uri.authority().is_some_and(|it| !it.as_str().contains('@')), "{text:?}");
        }
        assert!(10_000 < read, "{read}");
    }

    #[test]
    fn what_is_printed_holds_no_query() {
        let target = TargetUrl::parse("https://example.com/cb?key=SECRET#rc=1").unwrap();
        assert_eq!(target.to_string(), "https://example.com/cb");
        assert_eq!(format!("{target:?}"), "https://example.com/cb");
    }

    #[test]
    fn the_fragment_changes_the_budget_within_its_ranges() {
        let check = |fragment: &str, change: &dyn Fn(&mut Budget)| {
            let target = TargetUrl::parse(&format!("http://example.com/#{fragment}")).unwrap();
            let mut expected = Budget::default();
            change(&mut expected);
            assert_eq!(target.budget(Budget::default()), expected, "{fragment}");
            assert_eq!(target.warnings(), [""; 0], "{fragment}");
        };

        check("", &|_| ());
        check("ct=100", &|it| it.connect = Duration::from_millis(100));
        check("rt=40000&tt=100", &|it| it.total = Duration::from_millis(100));
        check("rc=0&er=mumbai", &|it| it.retries = 0);
        check("rc=5", &|it| it.retries = 5);
        check("rp=4xx", &|it| {
            it.retry_on = RetryOn { client_error: true, ..RetryOn::default() };
        });
        check("rp=5xx,ct", &|it| {
            it.retry_on = RetryOn { server_error: true, connect: true, ..RetryOn::default() };
        });
        check("rp=all", &|it| it.retry_on = RetryOn::ALL);
    }

    #[test]
    fn what_is_out_of_range_is_ignored_with_a_warning() {
        let check = |fragment: &str, expected: &str| {
            let (options, warnings) = Options::parse(fragment);
            assert_eq!(options, Options::default(), "{fragment}");
            assert_eq!(warnings, [format!("#{fragment} is ignored: {expected}")]);
        };

        check("ct=99", "ct is 100 to 10000 ms");
        check("ct=10001", "ct is 100 to 10000 ms");
        check("rt=x", "rt is 100 to 40000 ms");
        check("tt=55001", "tt is 100 to 55000 ms");
        check("rc=6", "rc is 0 to 5");
        check("rc=-1", "rc is 0 to 5");
        check("rp=3xx", "rp is of 4xx,5xx,ct,rt,all");
        check("rp=", "rp is of 4xx,5xx,ct,rt,all");
        check("er=moon", "er is no known region");
        check("section-2", "the options are ct, rt, tt, rc, rp and er");
    }
}
