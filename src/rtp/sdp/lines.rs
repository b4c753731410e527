//! SDP lines: what a description says, as far as a call needs it (RFC 8866).
//!
//! A line that cannot be read costs what it says, and no more: other lines stay, and a media line is
//! declined in its place (RFC 3264, section 6).

use std::net::IpAddr;

/// A description. It borrows from its text.
#[derive(Debug, Default)]
pub(super) struct Description<'a> {
    session: Part<'a>,
    pub(super) medias: Vec<MediaLine<'a>>,
}

/// A media line, with the lines that follow it.
#[derive(Debug)]
pub(super) struct MediaLine<'a> {
    /// Such as `audio`; empty if the line is empty.
    kind: &'a str,
    /// 0 if the line is declined or cannot be read.
    pub(super) port: u16,
    pub(super) profile: &'a str,
    formats: Vec<&'a str>,
    part: Part<'a>,
}

/// The lines of the session, or of one media line.
#[derive(Debug, Default)]
struct Part<'a> {
    /// The first address that can be read.
    address: Option<IpAddr>,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Description<'a> {
    /// Reads a text. None if it is no description: it has neither a version nor a media line.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let (mut it, mut is_description) = (Self::default(), false);
        for line in text.split(['\r', '\n']) {
            let Some((kind, value)) = line.trim().split_once('=') else { continue };
            let value = value.trim();
            match kind.trim_end() {
                "v" => is_description = true,
                "m" => it.medias.push(MediaLine::parse(value)),
                "c" => {
                    let part = it.part();
                    part.address = part.address.or_else(|| address(value));
                }
                "a" => {
                    let (name, value) = value.split_once(':').unwrap_or((value, ""));
                    it.part().attributes.push((name.trim_end(), value.trim_start()));
                }
                _ => {}
            }
        }
        (is_description || !it.medias.is_empty()).then_some(it)
    }

    /// Returns the address of a media line: its own, or that of the session.
    pub(super) fn address(&self, media: &MediaLine<'_>) -> Option<IpAddr> {
        media.part.address.or(self.session.address)
    }

    /// Returns the value of an attribute of a media line or else of the session: empty if it has
    /// none.
    pub(super) fn attribute(&self, media: &MediaLine<'a>, name: &str) -> Option<&'a str> {
        media.attribute(name).or_else(|| self.session.attributes(name).next())
    }

    fn part(&mut self) -> &mut Part<'a> {
        match self.medias.last_mut() {
            Some(media) => &mut media.part,
            None => &mut self.session,
        }
    }
}

impl<'a> MediaLine<'a> {
    fn parse(text: &'a str) -> Self {
        let mut words = text.split_whitespace();
        let kind = words.next().unwrap_or_default();
        // `4000/2` are two ports; we use the first.
        let port = words.next().and_then(|it| it.split('/').next()?.parse().ok());
        let profile = words.next().unwrap_or_default();
        let part = Part::default();
        Self { kind, port: port.unwrap_or(0), profile, formats: words.collect(), part }
    }

    pub(super) fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    /// Returns the payload types, in order. What is no number is left out.
    pub(super) fn payload_types(&self) -> impl Iterator<Item = u8> {
        self.formats.iter().filter_map(|it| it.parse().ok())
    }

    pub(super) fn attribute(&self, name: &str) -> Option<&'a str> {
        self.attributes(name).next()
    }

    pub(super) fn attributes(&self, name: &str) -> impl Iterator<Item = &'a str> {
        self.part.attributes(name)
    }

    /// Writes the line that declines this one: with port 0, and with a format even if it has none,
    /// as the grammar wants.
    pub(super) fn declined(&self) -> String {
        let kind = if is_plain(self.kind) { self.kind } else { "application" };
        let profile = if is_plain(self.profile) { self.profile } else { "RTP/AVP" };
        let formats: Vec<_> = self.formats.iter().copied().filter(|it| is_plain(it)).collect();
        let formats = match (formats.is_empty(), profile.to_ascii_uppercase().contains("RTP/")) {
            (false, _) => formats.join(" "),
            (true, true) => "0".to_owned(),
            (true, false) => "*".to_owned(),
        };
        format!("m={kind} 0 {profile} {formats}\r\n")
    }
}

impl<'a> Part<'a> {
    fn attributes(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let is_named = move |it: &&(&str, &str)| it.0.eq_ignore_ascii_case(name);
        self.attributes.iter().filter(is_named).map(|it| it.1)
    }
}

/// Reads `IN IP4 192.0.2.7`. None for a host name, which nobody resolves here, and for an address of
/// many hosts.
fn address(text: &str) -> Option<IpAddr> {
    // `239.1.2.3/127` has a time to live.
    let host = text.split_whitespace().last()?.split('/').next()?;
    let ip: IpAddr = host.parse().ok()?;
    let is_broadcast = matches!(ip, IpAddr::V4(it) if it.is_broadcast());
    (!ip.is_multicast() && !is_broadcast).then_some(ip)
}

/// Whether a word may be repeated in our answer.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|it| it.is_ascii_graphic())
}
