//! Members of a conference: one, a list, or all of them.

use std::sync::Arc;

use axum::{
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Deserialize;
use tokio::time::Instant;

use super::{
    ApiClient, SuccessReply, bans,
    bodies::{MemberIdList, MembersDone},
    endpoints::MemberAction,
    kick,
    params::RequestParams,
    plivo, vobiz,
    warnings::Warnings,
};
use crate::{
    api::{body, failure::Failure, path, reply},
    base::ids::{Dialect, MemberId},
    conference::{Ask, ConferenceAnswer, MemberSelector},
    flow::is_audio,
    media::{AnnouncementKind, Sound, SoundKind},
};

/// Longer than any URL that browsers and proxies let through.
const URL_BYTES_MAX: usize = 2_048;

/// Longer than any language tag that is in use (RFC 5646, 4.4.1).
const LANGUAGE_BYTES_MAX: usize = 35;

/// `POST` and `DELETE Conference/{name}/Member/{members}/…`
pub(super) async fn serve(
    client: &ApiClient<'_>,
    (name, segment): (&str, &str),
    action: MemberAction,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Response, Failure> {
    let who = who(segment);
    let is_all = who == MemberSelector::All;
    let (ask, warnings) = ask(client, who, action, query, headers, body)?;
    let key = client.key(name)?;
    let (members, unknown) = match client.state.ask(client.api_id, &key, ask).await? {
        ConferenceAnswer::Departures(departures) => {
            return Ok(warnings.add_to(client, kick::departures(&departures, client.api_id)));
        }
        ConferenceAnswer::Members(members) => (members, None),
        ConferenceAnswer::Banned { members, unknown } => {
            let ban_list = client.state.registry.ban_list();
            bans::wait(ban_list.persisted(Instant::now().into_std(), &key, &members)).await?;
            (members, Some(unknown))
        }
        ConferenceAnswer::Roster(_) => unreachable!("no roster was asked for"),
    };
    let response = match client.success_reply(action) {
        SuccessReply::NoContent => reply::empty(StatusCode::NO_CONTENT),
        SuccessReply::Body { status, message, form } => {
            // `all` comes back as it went in.
            let all = members;
            let members = (!is_all).then_some(all.as_slice());
            let member_id = MemberIdList { form, members };
            let done = MembersDone { message, member_id, api_id: client.api_id };
            match unknown {
                Some(unknown) => kick::banned(status, done, &all, &unknown),
                None => reply::json(status, &done),
            }
        }
    };
    Ok(warnings.add_to(client, response))
}

/// What a conference is asked, and what of that is in vain. Only Kick, Play and Speak look into the
/// body.
fn ask(
    client: &ApiClient<'_>,
    who: MemberSelector,
    action: MemberAction,
    query: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<(Ask, Warnings), Failure> {
    let warnings = |known: &[&str]| {
        RequestParams::of_body(headers, body).map(|it| Warnings::of(client, &it, known))
    };
    let ask = match action {
        MemberAction::Deafen => Ask::Deafen { who, on: true },
        MemberAction::HangUp => Ask::HangUp { who },
        MemberAction::Kick => {
            let (kick, warnings) = kick::read(client, query, headers, body)?;
            return Ok((Ask::Kick { who, kick }, warnings));
        }
        MemberAction::Mute => Ask::Mute { who, on: true },
        MemberAction::Play => {
            let sound = body::parse::<PlayParams>(headers, body)?.sound()?;
            let ask = Ask::Announce { who, kind: AnnouncementKind::Play, sound };
            return Ok((ask, warnings(&["url"])?));
        }
        MemberAction::Speak => {
            let sound = body::parse::<SpeakParams>(headers, body)?.sound(client.dialect)?;
            let ask = Ask::Announce { who, kind: AnnouncementKind::Speak, sound };
            return Ok((ask, warnings(&["text", "voice", "language"])?));
        }
        MemberAction::StopPlay => Ask::Hush { who, kind: AnnouncementKind::Play },
        MemberAction::StopSpeak => Ask::Hush { who, kind: AnnouncementKind::Speak },
        MemberAction::Undeafen => Ask::Deafen { who, on: false },
        MemberAction::Unmute => Ask::Mute { who, on: false },
    };
    Ok((ask, Warnings::default()))
}

/// `10`, `10,15,22` or `all`. What is no member id is nobody's.
fn who(segment: &str) -> MemberSelector {
    let text = path::decode(segment).unwrap_or_default();
    match text.as_ref() {
        "all" => MemberSelector::All,
        list => MemberSelector::These(list.split(',').filter_map(member_id).collect()),
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
struct PlayParams {
    url: Option<Arc<str>>,
}

impl PlayParams {
    fn sound(self) -> Result<Sound, Failure> {
        let url = self.url.unwrap_or_default();
        let problem = match () {
            () if url.is_empty() => "missing",
            () if URL_BYTES_MAX < url.len() => "too long",
            () if !is_audio(&url) => "not a sound",
            () => return Ok(SoundKind::Url(url).into()),
        };
        Err(Failure::Bad(format!(
            "url: {problem}: give http://… or https://… ({URL_BYTES_MAX} bytes at most), flow:NAME, or \
             one of sound:hold, sound:ring and sound:beep"
        )))
    }
}

/// The body of `POST Speak/` (contract 2.8).
#[derive(Deserialize)]
pub(super) struct SpeakParams {
    text: Option<Arc<str>>,
    voice: Option<Arc<str>>,
    language: Option<Arc<str>>,
}

impl SpeakParams {
    pub(super) fn sound(self, dialect: Dialect) -> Result<Sound, Failure> {
        let chars_max = match dialect {
            Dialect::Plivo => plivo::SPEAK_CHARS_MAX,
            Dialect::Vobiz => vobiz::SPEAK_CHARS_MAX,
        };
        let bad = |problem: String| Err(Failure::Bad(problem));
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
        Ok(SoundKind::Speech { text, voice, language }.into())
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
        let these =
            |ids: &[u64]| MemberSelector::These(ids.iter().copied().map(MemberId).collect());
        let check = |segment, expected| assert_eq!(who(segment), expected, "{segment}");
        check("all", MemberSelector::All);
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
