//! What a path and a method name: the endpoints of contract 2.1.

use axum::http::Method;

/// What a path names, below `Account/{auth_id}/`. Names and ids are still percent-encoded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place<'a> {
    /// `Conference/{name}/Ban/[{id}/]`
    Bans { name: &'a str, id: Option<&'a str> },
    /// `Call/{call_uuid}/…`
    Call { id: &'a str, control: CallControl },
    /// `Call/`
    Calls,
    /// `Events/`
    Events,
    /// `Conference/{name}/Member/{members}/…`
    Members { name: &'a str, who: &'a str, control: Control },
    /// `Conference/{name}/Record/`
    Recording,
    /// `Request/{request_uuid}/`
    Request { id: &'a str },
    /// `Conference/{name}/`
    Room { name: &'a str },
    /// `Conference/`
    Rooms,
}

/// What follows the members in a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Control {
    Deaf,
    /// Nothing.
    Itself,
    Kick,
    Mute,
    Play,
    Speak,
}

/// What follows a call in a path.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallControl {
    Dtmf,
    /// Nothing.
    Itself,
    Play,
    Record,
    Speak,
    Stream,
    Trace,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Endpoint<'a> {
    /// `GET Conference/{name}/Ban/[{id}/]`
    Bans { name: &'a str, id: Option<&'a str> },
    /// See [`CallWish`].
    Call { id: &'a str, wish: CallWish },
    /// `DELETE Request/{request_uuid}/`
    Cancel { id: &'a str },
    /// `GET Events/`
    Events,
    /// `DELETE Conference/`
    HangUpAll,
    /// `DELETE Conference/{name}/`
    HangUpRoom { name: &'a str },
    /// `DELETE Conference/{name}/Ban/[{id}/]`
    LiftBans { name: &'a str, id: Option<&'a str> },
    /// `GET Conference/`
    List,
    /// `GET Call/`
    ListCalls,
    /// `POST Call/`
    MakeCall,
    /// See [`Wish`].
    Members { name: &'a str, who: &'a str, wish: Wish },
    /// `POST` and `DELETE Conference/{name}/Record/`
    Record,
    /// `GET Conference/{name}/`
    Show { name: &'a str },
}

/// What is to be done to a call, below `Call/{call_uuid}/`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum CallWish {
    /// `DELETE` of the call itself
    HangUp,
    /// `POST Play/`
    Play,
    /// `POST` and `DELETE Record/`
    Record,
    /// `POST DTMF/`
    SendDigits,
    /// `GET` of the call itself
    Show,
    /// `POST Speak/`
    Speak,
    /// `DELETE Play/`
    StopPlay,
    /// `DELETE Speak/`
    StopSpeak,
    /// Anything about `Stream/`
    Stream,
    /// `GET Trace/`
    Trace,
    /// `POST` to the call itself
    Transfer,
}

/// What is to be done to members, below `Conference/{name}/Member/{members}/`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// `POST Deaf/`
    Deafen,
    /// `DELETE` of the members themselves
    HangUp,
    /// `POST Kick/`
    Kick,
    /// `POST Mute/`
    Mute,
    /// `POST Play/`
    Play,
    /// `POST Speak/`
    Speak,
    /// `DELETE Play/`
    StopPlay,
    /// `DELETE Speak/`
    StopSpeak,
    /// `DELETE Deaf/`
    Undeafen,
    /// `DELETE Mute/`
    Unmute,
}

/// Every path, with what stands for names and ids in braces. What is described is read from here;
/// that [`Place::find`] finds these and no others is tested.
pub(super) const PATHS: [&str; 22] = [
    "Conference/",
    "Conference/{conference_name}/",
    "Conference/{conference_name}/Record/",
    "Conference/{conference_name}/Ban/",
    "Conference/{conference_name}/Ban/{ban_id}/",
    "Conference/{conference_name}/Member/{member_id}/",
    "Conference/{conference_name}/Member/{member_id}/Deaf/",
    "Conference/{conference_name}/Member/{member_id}/Kick/",
    "Conference/{conference_name}/Member/{member_id}/Mute/",
    "Conference/{conference_name}/Member/{member_id}/Play/",
    "Conference/{conference_name}/Member/{member_id}/Speak/",
    "Call/",
    "Call/{call_uuid}/",
    "Call/{call_uuid}/DTMF/",
    "Call/{call_uuid}/Play/",
    "Call/{call_uuid}/Record/",
    "Call/{call_uuid}/Speak/",
    "Call/{call_uuid}/Stream/",
    "Call/{call_uuid}/Stream/{stream_id}/",
    "Call/{call_uuid}/Trace/",
    "Request/{request_uuid}/",
    "Events/",
];

impl<'a> Place<'a> {
    pub(super) fn find(below: &[&'a str]) -> Option<Self> {
        Some(match *below {
            ["Call"] => Self::Calls,
            ["Call", id] => Self::Call { id, control: CallControl::Itself },
            ["Call", id, control] => Self::Call { id, control: CallControl::find(control)? },
            ["Call", id, "Stream", _] => Self::Call { id, control: CallControl::Stream },
            ["Events"] => Self::Events,
            ["Request", id] => Self::Request { id },
            ["Conference"] => Self::Rooms,
            ["Conference", name] => Self::Room { name },
            ["Conference", name, "Ban"] => Self::Bans { name, id: None },
            ["Conference", name, "Ban", id] => Self::Bans { name, id: Some(id) },
            ["Conference", _, "Record"] => Self::Recording,
            ["Conference", name, "Member", who] => {
                Self::Members { name, who, control: Control::Itself }
            }
            ["Conference", name, "Member", who, control] => {
                Self::Members { name, who, control: Control::find(control)? }
            }
            _ => return None,
        })
    }

    /// The methods for which [`Self::endpoint`] has an answer.
    pub(super) fn allow(&self) -> &'static str {
        match self {
            Self::Bans { .. } | Self::Rooms | Self::Room { .. } => "GET, HEAD, DELETE",
            Self::Recording => "POST, DELETE",
            Self::Call { control, .. } => match control {
                CallControl::Dtmf => "POST",
                CallControl::Itself | CallControl::Stream => "GET, HEAD, POST, DELETE",
                CallControl::Play | CallControl::Record | CallControl::Speak => "POST, DELETE",
                CallControl::Trace => "GET, HEAD",
            },
            Self::Calls => "GET, HEAD, POST",
            Self::Events => "GET, HEAD",
            Self::Request { .. } => "DELETE",
            Self::Members { control, .. } => match control {
                Control::Itself => "DELETE",
                Control::Kick => "POST",
                Control::Deaf | Control::Mute | Control::Play | Control::Speak => "POST, DELETE",
            },
        }
    }

    /// None if the method is not good here.
    pub(super) fn endpoint(self, method: &Method) -> Option<Endpoint<'a>> {
        let is_get = *method == Method::GET || *method == Method::HEAD;
        let (is_post, is_delete) = (*method == Method::POST, *method == Method::DELETE);
        let endpoint = match self {
            Self::Bans { name, id } if is_get => Endpoint::Bans { name, id },
            Self::Bans { name, id } if is_delete => Endpoint::LiftBans { name, id },
            Self::Rooms if is_get => Endpoint::List,
            Self::Rooms if is_delete => Endpoint::HangUpAll,
            Self::Room { name } if is_get => Endpoint::Show { name },
            Self::Room { name } if is_delete => Endpoint::HangUpRoom { name },
            Self::Recording if is_post || is_delete => Endpoint::Record,
            Self::Call { id, control } if is_get => Endpoint::Call { id, wish: control.got()? },
            Self::Call { id, control } if is_post => Endpoint::Call { id, wish: control.posted()? },
            Self::Call { id, control } if is_delete => {
                Endpoint::Call { id, wish: control.deleted()? }
            }
            Self::Calls if is_get => Endpoint::ListCalls,
            Self::Calls if is_post => Endpoint::MakeCall,
            Self::Events if is_get => Endpoint::Events,
            Self::Request { id } if is_delete => Endpoint::Cancel { id },
            Self::Members { name, who, control } if is_post => {
                Endpoint::Members { name, who, wish: control.posted()? }
            }
            Self::Members { name, who, control } if is_delete => {
                Endpoint::Members { name, who, wish: control.deleted()? }
            }
            Self::Members { .. } | Self::Recording | Self::Room { .. } | Self::Rooms => {
                return None;
            }
            Self::Bans { .. } => return None,
            Self::Call { .. } | Self::Calls | Self::Events | Self::Request { .. } => return None,
        };
        Some(endpoint)
    }
}

impl CallControl {
    fn find(segment: &str) -> Option<Self> {
        Some(match segment {
            "DTMF" => Self::Dtmf,
            "Play" => Self::Play,
            "Record" => Self::Record,
            "Speak" => Self::Speak,
            "Stream" => Self::Stream,
            "Trace" => Self::Trace,
            _ => return None,
        })
    }

    fn got(self) -> Option<CallWish> {
        match self {
            Self::Dtmf | Self::Play | Self::Record | Self::Speak => None,
            Self::Itself => Some(CallWish::Show),
            Self::Stream => Some(CallWish::Stream),
            Self::Trace => Some(CallWish::Trace),
        }
    }

    fn posted(self) -> Option<CallWish> {
        match self {
            Self::Dtmf => Some(CallWish::SendDigits),
            Self::Itself => Some(CallWish::Transfer),
            Self::Play => Some(CallWish::Play),
            Self::Record => Some(CallWish::Record),
            Self::Speak => Some(CallWish::Speak),
            Self::Stream => Some(CallWish::Stream),
            Self::Trace => None,
        }
    }

    fn deleted(self) -> Option<CallWish> {
        match self {
            Self::Dtmf | Self::Trace => None,
            Self::Itself => Some(CallWish::HangUp),
            Self::Play => Some(CallWish::StopPlay),
            Self::Record => Some(CallWish::Record),
            Self::Speak => Some(CallWish::StopSpeak),
            Self::Stream => Some(CallWish::Stream),
        }
    }
}

impl Control {
    fn find(segment: &str) -> Option<Self> {
        Some(match segment {
            "Deaf" => Self::Deaf,
            "Kick" => Self::Kick,
            "Mute" => Self::Mute,
            "Play" => Self::Play,
            "Speak" => Self::Speak,
            _ => return None,
        })
    }

    fn posted(self) -> Option<Wish> {
        match self {
            Self::Deaf => Some(Wish::Deafen),
            Self::Itself => None,
            Self::Kick => Some(Wish::Kick),
            Self::Mute => Some(Wish::Mute),
            Self::Play => Some(Wish::Play),
            Self::Speak => Some(Wish::Speak),
        }
    }

    fn deleted(self) -> Option<Wish> {
        match self {
            Self::Deaf => Some(Wish::Undeafen),
            Self::Itself => Some(Wish::HangUp),
            Self::Kick => None,
            Self::Mute => Some(Wish::Unmute),
            Self::Play => Some(Wish::StopPlay),
            Self::Speak => Some(Wish::StopSpeak),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_allows_a_method_has_an_endpoint_for_it_and_for_no_other() {
        let methods = [Method::DELETE, Method::GET, Method::HEAD, Method::PATCH, Method::POST];
        let controls = ["Deaf", "Kick", "Mute", "Play", "Speak"];
        let members = controls.map(|it| vec!["Conference", "weekly", "Member", "1", it]);
        let mut paths = vec![
            vec!["Conference"],
            vec!["Conference", "weekly"],
            vec!["Conference", "weekly", "Record"],
            vec!["Conference", "weekly", "Ban"],
            vec!["Conference", "weekly", "Ban", "1"],
            vec!["Conference", "weekly", "Member", "1"],
        ];
        paths.extend(members);
        paths.extend([vec!["Call"], vec!["Call", "1"], vec!["Events"], vec!["Request", "1"]]);
        let controls = ["DTMF", "Play", "Record", "Speak", "Stream"];
        paths.extend(controls.map(|it| vec!["Call", "1", it]));
        paths.push(vec!["Call", "1", "Stream", "2"]);
        for path in &paths {
            let place = Place::find(path).unwrap();
            for method in &methods {
                let is_allowed = place.allow().split(", ").any(|it| it == method.as_str());
                let has_endpoint = place.endpoint(method).is_some();
                assert_eq!(is_allowed, has_endpoint, "{method} {path:?}");
            }
        }
    }

    #[test]
    fn case_matters_and_nothing_is_made_up() {
        let check = |path: &[&str]| assert_eq!(Place::find(path), None, "{path:?}");
        check(&[]);
        check(&["conference"]);
        check(&["Conferences"]);
        check(&["Conference", "weekly", "Play"]);
        check(&["Conference", "weekly", "Member"]);
        check(&["Conference", "weekly", "Member", "1", "kick"]);
        check(&["Conference", "weekly", "Member", "1", "Kick", "x"]);
    }
}
