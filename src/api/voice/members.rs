//! Endpoints of members: actions on one, a list, or all members of a conference.

use std::sync::Arc;

use axum::{http::StatusCode, response::Response};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    ApiClient, InConference, SuccessReply,
    bodies::{MemberIdList, MembersDone},
    kick,
    member_action::MemberAction,
    params::RequestParams,
    plivo, vobiz,
    warnings::Warnings,
};
use crate::{
    api::{
        body,
        context::{PathNames, RequestBody},
        failure::Failure,
        reply,
    },
    base::ids::{Dialect, MemberId},
    conference::{Ask, ConferenceAnswer, MemberSelector},
    flow::{ConferenceSound, is_audio, is_audio_name, is_target},
    media::{AnnouncementKind, Sound, SoundKind},
};

/// Longer than any URL that browsers and proxies let through.
const URL_BYTES_MAX: usize = 2_048;

const SOUND_URLS: &str = "give http://… or https://… (2048 bytes at most), flow:NAME, or one of \
                          sound:hold, sound:ring and sound:beep";

/// Longer than any language tag that is in use (RFC 5646, 4.4.1).
const LANGUAGE_BYTES_MAX: usize = 35;

/// A handler for each action.
macro_rules! handlers {
    ($($(#[$doc:meta])* $name:ident: $action:ident,)*) => {
        $($(#[$doc])*
        pub(super) async fn $name(
            client: ApiClient,
            at: InConference,
            body: RequestBody,
        ) -> Result<Response, Failure> {
            act(client, at, MemberAction::$action, body).await
        })*
    };
}

handlers! {
    /// `POST Conference/{name}/Member/{members}/Deaf/`
    deafen: Deafen,
    /// `DELETE Conference/{name}/Member/{members}/`
    hang_up: HangUp,
    /// `POST Conference/{name}/Member/{members}/Hold/`
    hold: Hold,
    /// `POST Conference/{name}/Member/{members}/Kick/`
    kick: Kick,
    /// `POST Conference/{name}/Member/{members}/Mute/`
    mute: Mute,
    /// `POST Conference/{name}/Member/{members}/Play/`
    play: Play,
    /// `POST Conference/{name}/Member/{members}/Speak/`
    speak: Speak,
    /// `DELETE Conference/{name}/Member/{members}/Play/`
    stop_play: StopPlay,
    /// `DELETE Conference/{name}/Member/{members}/Speak/`
    stop_speak: StopSpeak,
    /// `DELETE Conference/{name}/Member/{members}/Deaf/`
    undeafen: Undeafen,
    /// `DELETE Conference/{name}/Member/{members}/Hold/`
    unhold: Unhold,
    /// `DELETE Conference/{name}/Member/{members}/Mute/`
    unmute: Unmute,
}

async fn act(
    client: ApiClient,
    PathNames([name, members]): InConference,
    action: MemberAction,
    RequestBody(body): RequestBody,
) -> Result<Response, Failure> {
    let who = who(&members);
    let is_all = who == MemberSelector::All;
    let (ask, warnings) = ask(&client, who, action, &body)?;
    let key = client.key(&name)?;
    let reply = ActionReply { form: client.success_reply(action), is_all, api_id: client.api_id };
    let by = client.asks(|| {
        let warnings = warnings.clone();
        move |answer| warnings.in_headers(reply.to(answer))
    });
    let answer = client.state.ask(by, &key, ask).await?;
    Ok(warnings.add_to(&client, reply.to(&answer)))
}

/// How an action is answered.
#[derive(Clone, Copy)]
struct ActionReply {
    form: SuccessReply,
    /// `all` is answered as `all`.
    is_all: bool,
    api_id: Uuid,
}

impl ActionReply {
    fn to(self, answer: &ConferenceAnswer) -> Response {
        let Self { form, is_all, api_id } = self;
        let (all, unknown) = match answer {
            ConferenceAnswer::Departures(departures) => {
                return kick::departures(departures, api_id);
            }
            ConferenceAnswer::Members(members) => (members, None),
            ConferenceAnswer::Banned { members, unknown } => (members, Some(unknown)),
            ConferenceAnswer::Callee(_) | ConferenceAnswer::Roster(_) => {
                unreachable!("no roster was asked for")
            }
        };
        match form {
            SuccessReply::NoContent => reply::empty(StatusCode::NO_CONTENT),
            SuccessReply::Body { status, message, form } => {
                let members = (!is_all).then_some(all.as_slice());
                let done =
                    MembersDone { message, member_id: MemberIdList { form, members }, api_id };
                match unknown {
                    Some(unknown) => kick::banned(status, done, all, unknown),
                    None => reply::json(status, &done),
                }
            }
        }
    }
}

/// The ask of an action, and warnings about its parameters. Only Hold, Kick, Play and Speak read the
/// body.
fn ask(
    client: &ApiClient,
    who: MemberSelector,
    action: MemberAction,
    body: &[u8],
) -> Result<(Ask, Warnings), Failure> {
    let headers = &client.context.headers;
    let warnings = |known: &[&str]| {
        RequestParams::of_body(headers, body).map(|it| Warnings::of(client, &it, known))
    };
    let ask = match action {
        MemberAction::Deafen => Ask::Deafen { who, on: true },
        MemberAction::HangUp => Ask::HangUp { who },
        MemberAction::Hold => {
            let params = RequestParams::of(body::object(headers, body).unwrap_or_default());
            let sound = hold_sound(&params)?;
            let warnings = Warnings::of(client, &params, &["url"]);
            return Ok((Ask::Hold { who, on: true, sound }, warnings));
        }
        MemberAction::Kick => {
            let (kick, warnings) = kick::read(client, body)?;
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
        MemberAction::Unhold => Ask::Hold { who, on: false, sound: None },
        MemberAction::Unmute => Ask::Mute { who, on: false },
    };
    Ok((ask, Warnings::default()))
}

/// `url` of a hold: a sound by its name, else a document of Play, Speak and Wait.
fn hold_sound(params: &RequestParams) -> Result<Option<ConferenceSound>, Failure> {
    let Some(url) = params.text("url")? else { return Ok(None) };
    let problem = match () {
        () if URL_BYTES_MAX < url.len() => "too long",
        () if !is_audio(&url) => "neither a sound nor a document",
        () if is_target(&url) && !is_audio_name(&url) => {
            return Ok(Some(ConferenceSound::Document(url.into())));
        }
        () => return Ok(Some(ConferenceSound::BuiltIn(url.into()))),
    };
    Err(Failure::Bad(format!("url: {problem}: {SOUND_URLS}")))
}

/// Parses `10`, `10,15,22` or `all`. Texts that are not member ids are ignored.
fn who(members: &str) -> MemberSelector {
    match members {
        "all" => MemberSelector::All,
        list => MemberSelector::These(list.split(',').filter_map(member_id).collect()),
    }
}

/// Parses an id in the one form that conflow writes: neither `+1` nor `01`.
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
        Err(Failure::Bad(format!("url: {problem}: {SOUND_URLS}")))
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
        check(",10,,x,+5,05,-1,1.0, 11,15,", these(&[10, 15]));
        check("18446744073709551616", these(&[]));
        check("10,all", these(&[10]));
        check("All", these(&[]));
        check("\0", these(&[]));
    }
}
