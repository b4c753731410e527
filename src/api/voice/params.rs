//! Request parameters: typed values from a body or a query, with readable errors.

use std::{
    ops::RangeInclusive,
    sync::Arc,
    time::{Duration, SystemTime},
};

use axum::http::HeaderMap;
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::{
    api::{body, failure::Failure},
    base::utc,
    call::Hook,
    fetch::TargetUrl,
    flow::RequestMethod,
};

/// The first and the last time; None: any.
pub(super) type TimeRange = (Option<SystemTime>, Option<SystemTime>);

/// Parameters by name, as they were sent.
pub(super) struct RequestParams(Map<String, Value>);

impl RequestParams {
    pub(super) fn of_body(headers: &HeaderMap, bytes: &[u8]) -> Result<Self, Failure> {
        body::parse(headers, bytes).map(Self)
    }

    pub(super) fn of(values: Map<String, Value>) -> Self {
        Self(values)
    }

    pub(super) fn of_query(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into(), Value::String(value.into()))).collect())
    }

    /// A text. Numbers are accepted; an empty text is None.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Failure> {
        let text = match self.0.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.trim().to_owned(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Array(_) | Value::Bool(_) | Value::Object(_)) => {
                return Err(Failure::Bad(format!("{name}: give a text")));
            }
        };
        Ok(Some(text).filter(|it| !it.is_empty()))
    }

    /// A text as it was sent, with its blanks: a password. An empty text is None.
    pub(super) fn verbatim(&self, name: &str) -> Result<Option<String>, Failure> {
        match self.0.get(name) {
            Some(Value::String(text)) => Ok(Some(text.clone()).filter(|it| !it.is_empty())),
            Some(_) | None => self.text(name),
        }
    }

    /// A text that may also be taken away: Some(None) is an empty one, or null.
    pub(super) fn change(&self, name: &str) -> Result<Option<Option<String>>, Failure> {
        let is_sent = self.0.contains_key(name);
        is_sent.then(|| self.text(name)).transpose()
    }

    /// These parameters; where one is missing, that of `others`.
    pub(super) fn or(self, others: Self) -> Self {
        let mut all = others.0;
        all.extend(self.0);
        Self(all)
    }

    /// A list: a text with commas, or an array, as some clients send it.
    pub(super) fn list(&self, name: &str) -> Result<Vec<String>, Failure> {
        let text = match self.0.get(name) {
            Some(Value::Array(items)) => {
                let texts: Option<Vec<_>> = items.iter().map(Value::as_str).collect();
                let bad = || Failure::Bad(format!("{name}: give texts"));
                texts.ok_or_else(bad)?.join(",")
            }
            Some(_) | None => self.required(name)?,
        };
        let parts = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        Ok(parts.map(str::to_owned).collect())
    }

    pub(super) fn required(&self, name: &str) -> Result<String, Failure> {
        self.text(name)?.ok_or_else(|| Failure::Bad(format!("{name}: missing")))
    }

    /// A whole number, or a text that is one.
    pub(super) fn number(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, Failure> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        // 5.0 is a whole number in JSON.
        let is_number = self.0.get(name).is_some_and(Value::is_number);
        let text = if is_number { text.trim_end_matches(".0") } else { &text };
        let number = text.parse().ok().filter(|it| range.contains(it));
        let (min, max) = range.into_inner();
        let bad = || Failure::Bad(format!("{name}: give a whole number from {min} to {max}"));
        number.map(Some).ok_or_else(bad)
    }

    /// The range of a time: `NAME`, `NAME__gte`, `NAME__gt`, `NAME__lte` and `NAME__lt`.
    pub(super) fn time_range(&self, name: &str) -> Result<TimeRange, Failure> {
        let time = |end: &str| self.time(&format!("{name}{end}"));
        let (exactly, from, after) = (time("")?, time("__gte")?, time("__gt")?);
        let (until, before) = (time("__lte")?, time("__lt")?);
        // Times are given in seconds, so the whole of the last second counts; unless there is a fraction.
        let has_fraction = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).is_ok_and(|it| 0 < it.subsec_micros())
        };
        let whole = |at: SystemTime| match has_fraction(at) {
            true => at,
            false => at + Duration::from_micros(999_999),
        };
        let after = after.map(|at| whole(at) + Duration::from_micros(1));
        let before = before.map(|at| at - Duration::from_micros(1));
        Ok((
            [from, after, exactly].into_iter().flatten().max(),
            [until.map(whole), before, exactly.map(whole)].into_iter().flatten().min(),
        ))
    }

    fn time(&self, name: &str) -> Result<Option<SystemTime>, Failure> {
        let Some(given) = self.text(name)? else { return Ok(None) };
        let text = given.as_str();
        let bad =
            || Failure::Bad(format!("{name}: give a time in UTC such as 2026-08-31 20:08:21"));
        // As `add_time` has it. A plus that is not escaped is a blank.
        let text = text.strip_suffix("+00:00").or_else(|| text.strip_suffix(" 00:00"));
        utc::parse(text.unwrap_or(&given)).map(Some).ok_or_else(bad)
    }

    /// `true` or `false`, as such or as a text.
    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, Failure> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Bool(on)) => Ok(*on),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(_) => Err(Failure::Bad(format!("{name}: give true or false"))),
        }
    }

    /// One of some words, in any case; the first one by default.
    pub(super) fn choice<'a>(&self, name: &str, words: &[&'a str]) -> Result<&'a str, Failure> {
        let Some(text) = self.text(name)? else { return Ok(words[0]) };
        let found = words.iter().find(|it| it.eq_ignore_ascii_case(&text)).copied();
        found.ok_or_else(|| Failure::Bad(format!("{name}: give {}", words.join(" or "))))
    }

    /// `{name}_url` and `{name}_method`: the URL of a document, or a local flow.
    pub(super) fn document(&self, name: &str) -> Result<Option<Hook>, Failure> {
        let url = self.text(&format!("{name}_url"))?;
        let is_local = url.as_ref().is_some_and(|it| it.starts_with("flow:"));
        self.hook_unless(name, url, is_local)
    }

    /// `{name}_url` and `{name}_method`: a webhook.
    pub(super) fn hook(&self, name: &str) -> Result<Option<Hook>, Failure> {
        let url = self.text(&format!("{name}_url"))?;
        self.hook_unless(name, url, false)
    }

    fn hook_unless(
        &self,
        name: &str,
        url: Option<String>,
        is_good: bool,
    ) -> Result<Option<Hook>, Failure> {
        let method = self.method(&format!("{name}_method"))?;
        let Some(url) = url else { return Ok(None) };
        if !is_good {
            check_url(&format!("{name}_url"), &url)?;
        }
        Ok(Some(Hook { url: Arc::from(url), method }))
    }

    /// The method of a request: POST by default.
    pub(super) fn method(&self, name: &str) -> Result<RequestMethod, Failure> {
        Ok(match self.choice(name, &["POST", "GET"])? {
            "GET" => RequestMethod::Get,
            _ => RequestMethod::Post,
        })
    }

    /// Whether a parameter was sent.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some_and(|it| !it.is_null())
    }

    /// The names of all parameters that were sent.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Checks that a URL can be requested; `name` is the parameter that has it.
pub(super) fn check_url(name: &str, url: &str) -> Result<(), Failure> {
    TargetUrl::parse(url).map(drop).map_err(|error| Failure::Bad(format!("{name}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_whole_however_it_is_written() {
        let check = |json: &str, expected: Option<u32>| {
            let params = RequestParams::of_body(&HeaderMap::new(), json.as_bytes()).unwrap();
            assert_eq!(params.number("n", 1..=600).ok().flatten(), expected, "{json}");
        };
        check(r#"{"n":48}"#, Some(48));
        check(r#"{"n":48.0}"#, Some(48));
        check(r#"{"n":"48"}"#, Some(48));
        check(r#"{"n":48.5}"#, None);
        check(r#"{"n":601.0}"#, None);
        check(r#"{"n":-1}"#, None);
        check(r#"{"n":"48.0"}"#, None);
    }
}
