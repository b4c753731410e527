//! Sound sources: speech, files, built-in tones and web URLs.

use std::{path::Path, sync::Arc};

use crate::{audio::clip::SoundError, base::ids::AccountId, speech::Utterance};

/// Origin of a sound. Equal sources sound equal until the file changes.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum SoundSource {
    /// A text to synthesize.
    Speech(Utterance),
    /// A file in a flows folder.
    File {
        /// The folder of the account.
        folder: Arc<Path>,
        /// File name without a path.
        name: Arc<str>,
    },
    /// A built-in sound: `hold`, `ring` or `beep`.
    BuiltIn(Arc<str>),
    /// A file on a web server.
    Web {
        /// Account that fetches it; accounts do not share web files.
        account: AccountId,
        /// `http(s)://…`, as written in the flow.
        url: Arc<str>,
    },
}

impl SoundSource {
    /// Parses a URL: `flow:FILE` in the folder `flows`, `sound:NAME`, or `http(s)://…` of the
    /// account.
    ///
    /// # Errors
    ///
    /// The URL has none of these forms.
    pub fn from_url(url: &str, account: &AccountId, flows: &Arc<Path>) -> Result<Self, SoundError> {
        match url.split_once(':') {
            Some(("flow", name)) => Ok(Self::File { folder: Arc::clone(flows), name: name.into() }),
            Some(("sound", name)) => Ok(Self::BuiltIn(name.into())),
            Some((scheme, _))
                if ["http", "https"].iter().any(|s| s.eq_ignore_ascii_case(scheme)) =>
            {
                Ok(Self::Web { account: account.clone(), url: url.into() })
            }
            Some(_) | None => {
                let url: String = url.chars().take(200).collect();
                Err(SoundError::permanent(format!(
                    "{url:?}: a sound is http(s)://…, flow:FILE.wav, flow:FILE.mp3, sound:hold, \
                     sound:ring or sound:beep"
                )))
            }
        }
    }

    /// Bytes of its name.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Speech(utterance) => utterance.text.len(),
            Self::File { name, .. } | Self::BuiltIn(name) => name.len(),
            Self::Web { url, .. } => url.len(),
        }
    }

    /// Account whose share of the cache it uses; None for sounds that are not limited.
    pub(super) fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Web { account, .. } => Some(account),
            Self::Speech(_) | Self::File { .. } | Self::BuiltIn(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_sources() {
        let flows: Arc<Path> = Path::new("flows").into();
        let account: AccountId = "MA1".parse().unwrap();
        let check = |url: &str, expected: Option<SoundSource>| {
            assert_eq!(SoundSource::from_url(url, &account, &flows).ok(), expected, "{url}");
        };
        let web = |url: &str| SoundSource::Web { account: account.clone(), url: url.into() };
        let file = |name: &str| SoundSource::File { folder: Arc::clone(&flows), name: name.into() };
        check("flow:a.wav", Some(file("a.wav")));
        check("flow:a:b.wav", Some(file("a:b.wav")));
        check("sound:hold", Some(SoundSource::BuiltIn("hold".into())));
        check("https://x.example/a.mp3", Some(web("https://x.example/a.mp3")));
        check("HTTP://x.example/a.mp3", Some(web("HTTP://x.example/a.mp3")));
        for url in ["", "a.wav", "file:///etc/passwd", "ftp://x.example/a.mp3", "/etc/passwd"] {
            check(url, None);
        }
    }
}
