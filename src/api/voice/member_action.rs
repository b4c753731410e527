//! Actions on members of a conference.

/// An action on members, below `Conference/{name}/Member/{members}/`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum MemberAction {
    Deafen,
    HangUp,
    Hold,
    Kick,
    Mute,
    Play,
    Speak,
    StopPlay,
    StopSpeak,
    Undeafen,
    Unhold,
    Unmute,
}
