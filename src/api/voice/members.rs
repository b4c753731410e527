//! Members of a conference: one, a list, or all of them.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    Asker, Manner, bans,
    bodies::{Done, MemberIds},
    endpoints::Wish,
    kick,
    params::Params,
    plivo, vobiz,
    warnings::Remarks,
};
use crate::{
    api::{body, failure::Failure, path, reply},
    base::ids::{Dialect, MemberId},
    conference::{Answer, Ask, Who},
    flow::is_audio,
    media::{AnnouncementKind, Sound, What},
};

/// Longer than any URL that browsers and proxies let through.
const URL_BYTES_MAX: usize = 2_048;

/// Longer than any language tag that is in use (RFC 5646, 4.4.1).
const LANGUAGE_BYTES_MAX: usize = 35;

/// `POST` and `DELETE Conference/{name}/Member/{members}/…`
pub(super) async fn serve(
    asker: &Asker<'_>,
    (name, segment): (&str, &str),
    wish: Wish,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    let who = who(segment);
    let is_all = who == Who::All;
    let (ask, remarks) = ask(asker, who, wish, query, headers, body)?;
    let key = asker.key(name)?;
    let (members, unknown) = match asker.desk.ask(asker.api_id, &key, ask).await? {
        Answer::Departures(departures) => {
            return Ok(remarks.tell(asker, kick::departures(&departures, asker.api_id)));
        }
        Answer::Members(members) => (members, None),
        Answer::Banned { members, unknown } => {
            let doors = asker.desk.house.doors();
            bans::wait(doors.kept(Instant::now().into_std(), &key, &members)).await?;
            (members, Some(unknown))
        }
        Answer::Roster(_) => unreachable!("no roster was asked for"),
    };
    let response = match asker.manner(wish) {
        Manner::Silent => reply::empty(StatusCode::NO_CONTENT),
        Manner::Spoken { status, message, form } => {
            // `all` comes back as it went in.
            let all = members;
            let members = (!is_all).then_some(all.as_slice());
            let member_id = MemberIds { form, members };
            let done = Done { message, member_id, api_id: asker.api_id };
            match unknown {
                Some(unknown) => kick::banned(status, done, &all, &unknown),
                None => reply::json(status, &done),
            }
        }
    };
    Ok(remarks.tell(asker, response))
}

/// What a conference is asked, and what of that is in vain. Only Kick, Play and Speak look into the
/// body.
fn ask(
    asker: &Asker<'_>,
    who: Who,
    wish: Wish,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Ask, Remarks), Failure> {
    let remarks =
        |known: &[&str]| Params::of_body(headers, body).map(|it| Remarks::of(asker, &it, known));
    let ask = match wish {
        Wish::Deafen => Ask::Deafen { who, on: true },
        Wish::HangUp => Ask::HangUp { who },
        Wish::Kick => {
            let (kick, remarks) = kick::read(asker, query, headers, body)?;
            return Ok((Ask::Kick { who, kick }, remarks));
        }
        Wish::Mute => Ask::Mute { who, on: true },
        Wish::Play => {
            let sound = body::parse::<Play>(headers, body)?.sound()?;
            let ask = Ask::Announce { who, kind: AnnouncementKind::Play, sound };
            return Ok((ask, remarks(&["url"])?));
        }
        Wish::Speak => {
            let sound = body::parse::<Speak>(headers, body)?.sound(asker.dialect)?;
            let ask = Ask::Announce { who, kind: AnnouncementKind::Speak, sound };
            return Ok((ask, remarks(&["text", "voice", "language"])?));
        }
        Wish::StopPlay => Ask::Hush { who, kind: AnnouncementKind::Play },
        Wish::StopSpeak => Ask::Hush { who, kind: AnnouncementKind::Speak },
        Wish::Undeafen => Ask::Deafen { who, on: false },
        Wish::Unmute => Ask::Mute { who, on: false },
    };
    Ok((ask, Remarks::default()))
}

/// `10`, `10,15,22` or `all`. What is no member id is nobody's.
fn who(segment: &str) -> Who {
    let text = path::decode(segment).unwrap_or_default();
    match text.as_ref() {
        "all" => Who::All,
        list => Who::These(list.split(',').filter_map(member_id).collect()),
    }
}

/// Only as we write it ourselves: neither `+1` nor `01` was ever given out.
pub(super) fn member_id(text: &str) -> Option<MemberId> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let is_ours = is_number && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_ours)
}

/// The body of `POST Play/` (contract 2.7).
#[derive(Deserialize)]
struct Play {
    url: Option<Arc<str>>,
}

impl Play {
    fn sound(self) -> Result<Sound, Failure> {
        let url = self.url.unwrap_or_default();
        let fault = match () {
            () if url.is_empty() => "missing",
            () if URL_BYTES_MAX < url.len() => "too long",
            () if !is_audio(&url) => "not a sound",
            () => return Ok(What::Url(url).into()),
        };
        Err(Failure::Bad(format!(
            "url: {fault}: give http://… or https://… ({URL_BYTES_MAX} bytes at most), flow:NAME, or \
             one of sound:hold, sound:ring and sound:beep"
        )))
    }
}

/// The body of `POST Speak/` (contract 2.8).
#[derive(Deserialize)]
pub(super) struct Speak {
    text: Option<Arc<str>>,
    voice: Option<Arc<str>>,
    language: Option<Arc<str>>,
}

impl Speak {
    pub(super) fn sound(self, dialect: Dialect) -> Result<Sound, Failure> {
        let chars_max = match dialect {
            Dialect::Plivo => plivo::SPEAK_CHARS_MAX,
            Dialect::Vobiz => vobiz::SPEAK_CHARS_MAX,
        };
        let bad = |fault: String| Err(Failure::Bad(fault));
        let text = self.text.unwrap_or_default();
        if text.trim().is_empty() {
            return bad("text: missing: give the words to be spoken".to_owned());
        }
        let chars = text.chars().count();
        if chars_max < chars {
            return bad(format!("text: {chars} characters are too many: {chars_max} at most"));
        }
        let voice = self.voice.filter(|it| !it.is_empty()).unwrap_or_else(|| "WOMAN".into());
        if !matches!(voice.as_ref(), "MAN" | "WOMAN") {
            return bad(format!("voice: {voice:?} is no voice: give MAN or WOMAN"));
        }
        let language = self.language.filter(|it| !it.is_empty());
        let language = language.unwrap_or_else(|| "en-US".into());
        if !is_language(&language) {
            return bad(format!("language: {language:?} is no language: give a tag such as en-US"));
        }
        Ok(What::Speech { text, voice, language }.into())
    }
}

fn is_language(tag: &str) -> bool {
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    tag.len() <= LANGUAGE_BYTES_MAX && tag.split('-').all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_by_id_by_list_or_all_together() {
        let these = |ids: &[u64]| Who::These(ids.iter().copied().map(MemberId).collect());
        let check = |segment, expected| assert_eq!(who(segment), expected, "{segment}");
        check("all", Who::All);
        check("10", these(&[10]));
        check("10,15,22", these(&[10, 15, 22]));
        check("10%2C15", these(&[10, 15]));
        check(",10,,x,+5,05,-1,1.0,%2011,15,", these(&[10, 15]));
        check("18446744073709551616", these(&[]));
        check("10,all", these(&[10]));
        check("All", these(&[]));
        check("%FF", these(&[]));
    }
}
