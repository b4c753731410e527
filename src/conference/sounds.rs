//! The sounds of a conference: for coming and going, and for those who wait.
//!
//! A sound that is a document is fetched off the actor. One for the room that comes too late is
//! dropped: at the door, a minute later is worse than never. A wait sound is always welcome.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Conference, Effect, Moment, state::Due};
use crate::{
    base::ids::{CallId, MemberId},
    call::{Call, Party},
    flow::Cue,
    media::{Hears, Order, Program, What},
};

/// The sound documents that are on their way.
#[derive(Debug, Default)]
pub(super) struct Sounds {
    number_last: u32,
    awaited: BTreeMap<u32, Awaited>,
}

#[derive(Debug)]
struct Awaited {
    place: Place,
    /// When it is no longer wanted.
    late_at: Option<Instant>,
}

/// On whose behalf a document is fetched.
#[derive(Clone, Debug)]
pub(super) struct Stater {
    call: CallId,
    party: Arc<Party>,
}

impl From<&Call> for Stater {
    fn from(call: &Call) -> Self {
        Self { call: call.id, party: call.party.clone() }
    }
}

/// Where a sound is heard.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// By all who are in the room when it comes.
    Room,
    /// By a member, while it waits.
    Waiting(MemberId),
}

/// Later than this, the moment of the sound has passed.
const SOUND_WAIT_MAX: Duration = Duration::from_secs(5);

impl Sounds {
    /// A document is too late: whoever brings it finds nobody who waits for it.
    pub(super) fn forget(&mut self, number: u32) {
        self.awaited.remove(&number);
    }
}

impl Conference {
    /// Plays sounds of coming or going to all who are in the room, but the deaf.
    pub(super) fn cue(
        &mut self,
        now: Instant,
        moment: Moment,
        cues: impl IntoIterator<Item = (Cue, Stater)>,
        effects: &mut VecDeque<Effect>,
    ) {
        for (cue, stater) in cues {
            match program(&cue) {
                Ok(program) => self.play_to_room(program, effects),
                Err(url) => {
                    let late_at = Some(now + SOUND_WAIT_MAX);
                    let awaited = Awaited { place: Place::Room, late_at };
                    self.fetch(url, moment, stater, awaited, effects);
                }
            }
        }
    }

    /// Seats a member with its wait sound; in silence, as long as that is on its way.
    pub(super) fn place_waiting(&mut self, id: MemberId, effects: &mut VecDeque<Effect>) {
        let member = self.members.get_mut(&id).expect("a member of this moment");
        let (stater, cue) = (Stater::from(&*member.call), member.entry.wait_sound.clone());
        let known = member.wait_sound.as_deref().cloned().map(Ok);
        let sound = known.or_else(|| Some(program(&cue?)));
        let program = sound.as_ref().and_then(|it| it.as_ref().ok().cloned());
        self.place(vec![stater.call], Hears::Wait(program), effects);
        if let Some(Err(url)) = sound {
            let awaited = Awaited { place: Place::Waiting(id), late_at: None };
            self.fetch(url, Moment::Wait, stater, awaited, effects);
        }
    }

    /// A document has come, or could not be had: then it is empty, and silence stays silence.
    pub(super) fn sounds_came(
        &mut self,
        number: u32,
        program: Program,
        effects: &mut VecDeque<Effect>,
    ) {
        let Some(Awaited { place, late_at }) = self.sounds.awaited.remove(&number) else { return };
        if let Some(at) = late_at {
            self.not_due(at, Due::Fetch(number));
        }
        if program.is_empty() {
            return;
        }
        match place {
            Place::Room => self.play_to_room(program, effects),
            Place::Waiting(id) => {
                let Some(member) = self.members.get_mut(&id) else { return };
                member.wait_sound = Some(Box::new(program.clone()));
                if member.is_waiting() {
                    let call = member.call.id;
                    self.place(vec![call], Hears::Wait(Some(program)), effects);
                }
            }
        }
    }

    fn play_to_room(&self, program: Program, effects: &mut VecDeque<Effect>) {
        let hearers = self.members.values().filter(|member| !member.deaf);
        let calls: Vec<_> = hearers.map(|member| member.call.id).collect();
        if self.is_live() && !calls.is_empty() {
            let (room, address) = (self.id(), None);
            effects.push_back(Order::Announce { room, calls, address, program }.into());
        }
    }

    fn fetch(
        &mut self,
        url: Arc<str>,
        moment: Moment,
        stater: Stater,
        awaited: Awaited,
        effects: &mut VecDeque<Effect>,
    ) {
        self.sounds.number_last += 1;
        let number = self.sounds.number_last;
        if let Some(at) = awaited.late_at {
            self.due(at, Due::Fetch(number));
        }
        self.sounds.awaited.insert(number, awaited);
        let Stater { call, party } = stater;
        effects.push_back(Effect::Fetch { number, url, call, party, moment });
    }
}

/// What a cue plays, or the URL of the document that says it.
fn program(cue: &Cue) -> Result<Program, Arc<str>> {
    match cue {
        Cue::Beep(number) => Ok([What::Beep(*number).into()].into()),
        Cue::BuiltIn(url) => Ok([What::Url(url.clone()).into()].into()),
        Cue::Document(url) => Err(url.clone()),
    }
}
