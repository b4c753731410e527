//! Hidden names: the query parameters whose values neither traces nor the log show.

use url::form_urlencoded;

/// Words that mark a query parameter as secret (`log.hide`): a parameter whose name contains one of
/// them, whatever its case, hyphens and underscores. `*` stands for every name.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct HiddenNames(Vec<String>);

/// The words of `log.hide` unless the operator chooses others: those of common secrets.
pub const HIDE_DEFAULT: &[&str] =
    &["token", "secret", "pass", "pwd", "key", "auth", "sig", "session", "credential", "jwt"];

/// Stands for a secret value.
const MASK: &str = "***";

/// Characters of a URL that are shown. A longer one is cut off.
const URL_CHARS_MAX: usize = 500;

impl HiddenNames {
    /// These words; empty ones are ignored.
    pub fn new(words: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let words = words.into_iter().map(|it| plain(it.as_ref()));
        Self(words.filter(|it| !it.is_empty()).collect())
    }

    fn has(&self, name: &str) -> bool {
        let name = plain(name);
        self.0.iter().any(|word| word == "*" || name.contains(word))
    }

    /// A URL as its author wrote it, in one line: without fragment, user and password, and with
    /// the values of secret parameters masked.
    pub fn shown(&self, url: &str) -> String {
        let url = url.trim().split('#').next().unwrap_or_default();
        let (address, query) = url.split_once('?').map_or((url, None), |(it, q)| (it, Some(q)));
        let mut shown = match address.split_once("://") {
            Some((scheme, rest)) => {
                let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                let masked = host.rsplit_once('@').map(|(_, it)| format!("{MASK}@{it}"));
                let host = masked.unwrap_or_else(|| host.to_owned());
                format!("{scheme}://{host}{path}")
            }
            None => address.to_owned(),
        };
        for (n, part) in query.into_iter().flat_map(|it| it.split('&')).enumerate() {
            shown.push(if n == 0 { '?' } else { '&' });
            match part.split_once('=') {
                Some((name, _)) if self.has(&decoded(name)) => shown += &format!("{name}={MASK}"),
                Some(_) | None => shown += part,
            }
        }
        let visible = |char: char| if char.is_control() { ' ' } else { char };
        let mut chars = shown.chars().map(visible);
        let mut text: String = chars.by_ref().take(URL_CHARS_MAX).collect();
        if chars.next().is_some() {
            text.push('…');
        }
        text
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|it| !matches!(it, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// The name of a parameter, whose percent signs would otherwise hide it from the list.
fn decoded(name: &str) -> String {
    form_urlencoded::parse(name.as_bytes())
        .next()
        .map(|(it, _)| it.into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_values_of_a_url_are_masked() {
        let check = |words: &[&str], url: &str, expected: &str| {
            assert_eq!(HiddenNames::new(words).shown(url), expected, "{words:?} {url}");
        };
        let usual = HIDE_DEFAULT;
        check(usual, "http://a/b?room=1&token=T#rt=9", "http://a/b?room=1&token=***");
        check(
            usual,
            "http://a/?Access_Token=T&API-Key=K&x",
            "http://a/?Access_Token=***&API-Key=***&x",
        );
        check(usual, "http://a/?t%6Fken=T&n=1", "http://a/?t%6Fken=***&n=1");
        check(usual, "http://u:p@a:8/b@c?n=1", "http://***@a:8/b@c?n=1");
        check(usual, "flow:b", "flow:b");
        check(usual, "www.example.com/?key=K\nX", "www.example.com/?key=***");
        check(&["room"], "http://a/b?room=1&token=T", "http://a/b?room=***&token=T");
        check(&["*"], "http://a/b?room=1&n=", "http://a/b?room=***&n=***");
        check(&["", "-"], "http://a/b?token=T", "http://a/b?token=T");
        check(usual, "http://a/\n\u{1b}[2J", "http://a/  [2J");
        let long = format!("http://a/{}", "x".repeat(URL_CHARS_MAX));
        assert_eq!(HiddenNames::default().shown(&long).chars().count(), URL_CHARS_MAX + 1);
    }
}
