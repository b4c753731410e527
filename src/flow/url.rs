//! URLs in flows: `http(s)://…`, `flow:NAME`, and the built-in `sound:…`.

/// Whether a document can be fetched from this URL: `http(s)://…` or `flow:NAME`.
pub fn is_target(text: &str) -> bool {
    is_web(text) || is_local(text)
}

/// Whether this is an `http://…` or `https://…` URL.
pub(super) fn is_web(text: &str) -> bool {
    let is_scheme =
        |scheme: &str| text.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
    let Some(scheme) = ["http://", "https://"].into_iter().find(|it| is_scheme(it)) else {
        return false;
    };
    let rest = &text[scheme.len()..];
    !rest.starts_with(['/', '?', '#', ':', '@']) && is_unbroken(rest)
}

/// Whether this is a playable sound: built-in (`sound:hold`), or a file (`http(s)://…`,
/// `flow:FILE`).
pub fn is_audio(text: &str) -> bool {
    is_target(text) || is_built_in(text)
}

/// Whether the path of this URL, or this file name, is that of a sound file by its extension.
pub fn is_audio_name(url: &str) -> bool {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let file = path.rsplit('/').next().unwrap_or_default();
    let extension = file.rsplit_once('.').map(|(_, it)| it.to_ascii_lowercase());
    extension.is_some_and(|it| AUDIO_EXTENSIONS.contains(&&*it))
}

const AUDIO_EXTENSIONS: &[&str] =
    &["mp3", "wav", "wave", "ogg", "oga", "opus", "flac", "m4a", "aac", "aif", "aiff", "au"];

pub(super) fn is_built_in(text: &str) -> bool {
    matches!(text, "sound:hold" | "sound:ring" | "sound:beep")
}

/// A document or file in the account's folder.
fn is_local(text: &str) -> bool {
    text.strip_prefix("flow:").is_some_and(is_unbroken)
}

fn is_unbroken(text: &str) -> bool {
    !text.is_empty() && !text.contains(|char: char| char.is_whitespace() || char.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_http_or_local() {
        for text in ["http://a", "https://a.example/b?c=d#e", "HTTP://a", "flow:menu", "flow:ü"] {
            assert!(is_target(text), "{text}");
        }
        for text in ["", "http://", "http:///b", "http://?a", "https//a", "ftp://a", "a.example"] {
            assert!(!is_target(text), "{text}");
        }
        for text in
            ["flow:", "flow:a b", "http://a b", "http://a\u{7}", "sound:hold", "é", "http:/é"]
        {
            assert!(!is_target(text), "{text}");
        }
    }

    #[test]
    fn a_sound_file_has_the_extension_of_one() {
        for url in ["http://a/b.mp3", "http://a/b.WAV?c=d.xml#e", "flow:hold.wav", "hold.ogg"] {
            assert!(is_audio_name(url), "{url}");
        }
        for url in ["http://a.mp3/b", "http://a/b?c=d.mp3", "flow:hold", "wav", "flow:a.xml", ""] {
            assert!(!is_audio_name(url), "{url}");
        }
    }

    #[test]
    fn a_sound_may_be_built_in() {
        assert!(is_audio("sound:ring") && is_audio("https://a/b.mp3") && is_audio("flow:b.wav"));
        assert!(!is_audio("sound:bell") && !is_audio("b.wav"));
    }
}
