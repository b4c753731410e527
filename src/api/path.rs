//! Canonical paths: the one form of a request path that the routers match.
//!
//! Clients double slashes, leave out the last one, escape letters that need no escape, and put the
//! name of a conference into a path as it is, slashes included. [`Path::canonical`] undoes all of
//! that, once for each request, before anything looks at the path. Nobody is redirected. Case
//! matters.

use std::{borrow::Cow, ops::Range};

use percent_encoding::percent_decode_str;

/// The segments of a request path, still percent-encoded. Empty ones are left out.
#[derive(Debug)]
pub(super) struct Path<'a> {
    text: &'a str,
    segments: [&'a str; SEGMENTS_MAX],
    count: usize,
    has_escape: bool,
}

/// The longest path of the table has nine; the slashes of a conference's name may add some.
pub(super) const SEGMENTS_MAX: usize = 16;

/// Stands for a segment that is not UTF-8: no name and no id has a control character.
const NO_NAME: &str = "%00";

/// What may follow a conference's name: the words of a row, with an empty one for each parameter.
/// The longest comes first. A test compares them with the table.
pub(super) const TAILS: [&[&str]; 13] = [
    &["Member", "", "Deaf"],
    &["Member", "", "Hold"],
    &["Member", "", "Kick"],
    &["Member", "", "Mute"],
    &["Member", "", "Play"],
    &["Member", "", "Speak"],
    &["Record", "Pause"],
    &["Record", "Resume"],
    &["Member", ""],
    &["Ban", ""],
    &["Ban"],
    &["Member"],
    &["Record"],
];

impl<'a> Path<'a> {
    /// None if there are more than [`SEGMENTS_MAX`] segments.
    pub(super) fn split(text: &'a str) -> Option<Self> {
        let segments = [""; SEGMENTS_MAX];
        let mut path = Self { text, segments, count: 0, has_escape: false };
        let mut begin = 0;
        // Byte by byte: `str::split` takes longer for a text this short.
        for (at, byte) in text.bytes().enumerate() {
            match byte {
                b'/' => {
                    path.add(&text[begin..at])?;
                    begin = at + 1;
                }
                b'%' => path.has_escape = true,
                _ => (),
            }
        }
        path.add(&text[begin..])?;
        Some(path)
    }

    fn add(&mut self, segment: &'a str) -> Option<()> {
        if !segment.is_empty() {
            *self.segments.get_mut(self.count)? = segment;
            self.count += 1;
        }
        Some(())
    }

    pub(super) fn segments(&self) -> &[&'a str] {
        &self.segments[..self.count]
    }

    /// The range of a segment in the text; empty if the path has fewer segments.
    pub(super) fn range(&self, index: usize) -> Range<usize> {
        let Some(segment) = self.segments().get(index) else { return 0..0 };
        let begin = segment.as_ptr().addr() - self.text.as_ptr().addr();
        begin..begin + segment.len()
    }

    /// The path with one slash before each segment and one at the end. Only characters that need an
    /// escape have one. A segment that is not UTF-8 becomes one that names nothing.
    ///
    /// `names_at` is the index at which the name of a conference begins, if this is such a path:
    /// slashes in the name are escaped. The name ends where the longest known tail begins. `Member` at
    /// the end of the path is one if `calls_member`: other methods are about a conference of that name.
    pub(super) fn canonical(&self, names_at: Option<usize>, calls_member: bool) -> Cow<'a, str> {
        let segments = self.segments();
        let joined = names_at.map_or(0..0, |at| {
            let rest = segments.get(at..).unwrap_or_default();
            at..at + name_length(rest, calls_member)
        });
        let length: usize = segments.iter().map(|it| 1 + it.len()).sum();
        let is_plain = !self.has_escape && joined.len() <= 1;
        let has_ends = self.text.starts_with('/') && self.text.ends_with('/');
        if is_plain && has_ends && length + 1 == self.text.len() {
            return Cow::Borrowed(self.text);
        }

        let mut text = String::with_capacity(self.text.len() + 8);
        for (index, segment) in segments.iter().enumerate() {
            let is_inside = joined.start < index && index < joined.end;
            text += if is_inside { "%2F" } else { "/" };
            text += &normal(segment);
        }
        text.push('/');
        Cow::Owned(text)
    }
}

/// The number of segments that form the name of a conference, at the start of `rest`. No member and no
/// ban is called `Ban` or `Record`.
fn name_length(rest: &[&str], calls_member: bool) -> usize {
    let fits = |tail: &[&str], given: &[&str]| {
        let is_parameter = |it: &str| !["Ban", "Record"].contains(&it);
        tail.iter().zip(given).all(|(word, it)| word == it || word.is_empty() && is_parameter(it))
    };
    let tails = TAILS.iter().filter(|it| calls_member || **it != ["Member"]);
    let found = tails.into_iter().find_map(|tail| {
        let name = rest.len().checked_sub(tail.len()).filter(|it| *it != 0)?;
        fits(tail, &rest[name..]).then_some(name)
    });
    // Without a known tail, all of it is the name.
    found.unwrap_or(rest.len())
}

/// RFC 3986, 6.2.2.2: an escape of a letter, a digit or `-._~` is the letter itself.
fn normal(segment: &str) -> Cow<'_, str> {
    if !segment.contains('%') {
        return segment.into();
    }
    if decode(segment).is_none() {
        return NO_NAME.into();
    }
    let mut parts = segment.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|it| u8::from_str_radix(it, 16).ok());
        match byte.map(char::from) {
            Some(it) if it.is_ascii_alphanumeric() || "-._~".contains(it) => {
                text.push(it);
                text += &part[2..];
            }
            Some(_) | None => {
                text.push('%');
                text += part;
            }
        }
    }
    text.into()
}

/// The extensions of files, which [`with_extension`] knows.
pub(super) const EXTENSIONS: [&str; 2] = ["wav", "mp3"];

/// The path of a file with its extension as a segment of its own, since the router has no patterns
/// within a segment: `/Recording/{id}.wav/` is matched as `/Recording/{id}/ wav/`. No URI has a blank, so
/// nobody writes it that way.
pub(super) fn with_extension(canonical: Cow<'_, str>) -> Cow<'_, str> {
    let bare = canonical.trim_end_matches('/');
    match bare.rsplit_once('.') {
        Some((stem, extension)) if EXTENSIONS.contains(&extension) => {
            format!("{stem}/ {extension}/").into()
        }
        Some(_) | None => canonical,
    }
}

/// The path of a file as clients write it: the inverse of [`with_extension`], without the last slash.
pub(super) fn of_file(canonical: &str) -> String {
    canonical.trim_end_matches('/').replace("/ ", ".")
}

/// The text that a segment stands for; None if it is not UTF-8.
pub(super) fn decode(segment: &str) -> Option<Cow<'_, str>> {
    match segment.contains('%') {
        true => percent_decode_str(segment).decode_utf8().ok(),
        false => Some(segment.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str, names_at: Option<usize>) -> String {
        Path::split(text).unwrap().canonical(names_at, false).into_owned()
    }

    #[test]
    fn slashes_and_needless_escapes_are_made_canonical() {
        let check = |text, expected: &str| assert_eq!(canonical(text, None), expected, "{text}");
        check("/", "/");
        check("", "/");
        check("/v1/Account", "/v1/Account/");
        check("/v1/Account/", "/v1/Account/");
        check("//v1///Account//", "/v1/Account/");
        check("/v1//Account", "/v1/Account/");
        check("v1//", "/v1/");
        check("v1", "/v1/");
        check("/a%2Fb/c/", "/a%2Fb/c/");
        check("/a%2fb%20%C3%BC/", "/a%2fb%20%C3%BC/");
        check("/%4Bick%2D1%7E%2541/", "/Kick-1~%2541/");
        check("/ü/%FF/100%/%zz/", "/ü/%00/100%/%zz/");
    }

    #[test]
    fn a_canonical_path_is_not_copied_and_stays_as_it_is() {
        for text in ["/", "/healthz/", "/v1/Account/MA1/Conference/weekly/Member/1,4/Kick/"] {
            let path = Path::split(text).unwrap();
            assert!(matches!(path.canonical(Some(4), false), Cow::Borrowed(_)), "{text}");
        }
        for text in ["//a//", "/x/%41/b%2Fc", "/v1/Account/M/Conference/a/b/Member/1", "/%FF"] {
            let once = canonical(text, Some(4));
            assert_eq!(canonical(&once, Some(4)), once, "{text}");
        }
    }

    #[test]
    fn a_name_may_have_slashes_if_a_known_tail_follows() {
        let check = |text: &str, expected: &str| {
            let [text, expected] = [text, expected].map(|it| format!("/v1/Account/M/Room/{it}"));
            assert_eq!(canonical(&text, Some(4)), expected);
        };
        check("a/b/Member/1/Kick/", "a%2Fb/Member/1/Kick/");
        check("a//b/c/Member/all", "a%2Fb%2Fc/Member/all/");
        check("a%2Fb/c/Ban/5/", "a%2Fb%2Fc/Ban/5/");
        check("Member/1/Kick/Record/", "Member%2F1%2FKick/Record/");
        check("Member/1/Kick/", "Member%2F1%2FKick/");
        check("Ban/Ban/Ban/", "Ban%2FBan/Ban/");
        check("team/Member/Record/", "team%2FMember/Record/");
        check("team/Member/Member/all/Mute/", "team%2FMember/Member/all/Mute/");
        // No known tail: all of it is the name.
        check("weekly/Play/", "weekly%2FPlay/");
        check("weekly/Member/", "weekly%2FMember/");
        check("weekly/Member/1/Kick/x/", "weekly%2FMember%2F1%2FKick%2Fx/");
        check("weekly/Member/1/kick/", "weekly%2FMember%2F1%2Fkick/");
        check("a/b/", "a%2Fb/");
        check("weekly/", "weekly/");
        check("", "");
        let post = Path::split("/v1/Account/M/Room/a/b/Member/").unwrap();
        assert_eq!(post.canonical(Some(4), true), "/v1/Account/M/Room/a%2Fb/Member/");
    }

    #[test]
    fn a_segment_is_found_in_the_text() {
        let text = "//v1///Account/MA1";
        let path = Path::split(text).unwrap();
        assert_eq!(path.segments(), ["v1", "Account", "MA1"]);
        assert_eq!(
            [&text[path.range(0)], &text[path.range(2)], &text[path.range(3)]],
            ["v1", "MA1", ""]
        );
    }

    #[test]
    fn a_path_that_is_longer_than_any_names_nothing() {
        assert!(Path::split(&"/a".repeat(SEGMENTS_MAX)).is_some());
        assert!(Path::split(&"/a".repeat(SEGMENTS_MAX + 1)).is_none());
    }

    #[test]
    fn the_extension_of_a_file_is_a_segment_and_back() {
        let check = |text: &str, expected: &str, file: &str| {
            let found = with_extension(canonical(text, None).into());
            assert_eq!((&*found, &*of_file(&found)), (expected, file), "{text}");
        };
        check("/Recording/7.wav", "/Recording/7/ wav/", "/Recording/7.wav");
        check("//Recording/7%2Ewav/", "/Recording/7/ wav/", "/Recording/7.wav");
        check("/Recording/7.ogg", "/Recording/7.ogg/", "/Recording/7.ogg");
        check("/Recording/7/wav", "/Recording/7/wav/", "/Recording/7/wav");
        check("/Recording/7/%20wav", "/Recording/7/%20wav/", "/Recording/7/%20wav");
    }

    #[test]
    fn a_segment_is_decoded_once() {
        let check = |text, expected: Option<&str>| {
            assert_eq!(decode(text).as_deref(), expected, "{text}");
        };
        check("a%20b%2Fc", Some("a b/c"));
        check("a%2520b", Some("a%20b"));
        check("a+b", Some("a+b"));
        check("%C3%BC", Some("ü"));
        check("ü", Some("ü"));
        check("100%", Some("100%"));
        check("%FF", None);
    }
}
