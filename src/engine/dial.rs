//! Dial: makes the calls of a `<Dial>`, and moves the caller into a room of their own with them.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    conference, inbound,
    registry::{CallPlace, Registry},
    room_queue::DialMessage,
};
use crate::{
    base::ids::{AccountId, RoomKey},
    call::{Call, CallDirection, CallSession, Party, SessionDetails},
    conference::NewCallee,
    flow::{Cause, DialDestination, DialOptions, DialResult, Exit},
    media::{CannotDial, Ending, HangupCause, HangupSource},
};

impl Registry {
    /// Whether a backend can dial this number or URI on behalf of an account.
    ///
    /// # Errors
    ///
    /// No backend can reach it.
    pub fn can_dial(&self, account: &AccountId, to: &str) -> Result<(), CannotDial> {
        self.links.media.can_dial(account, to)
    }

    /// Moves a call into a room without a name, whose actor dials the destinations, or hands it
    /// back.
    pub(super) fn start_dial(
        self: &Arc<Self>,
        now: Instant,
        call: Box<Call>,
        options: Arc<DialOptions>,
    ) -> Result<(), (Box<Call>, Exit)> {
        if self.is_closing.load(Ordering::SeqCst) {
            return Err((call, not_begun(Cause::Drained)));
        }
        let Some(member) = self.links.member_ids.next(&call.account) else {
            return Err((call, not_begun(Cause::Fault)));
        };
        let destinations: Vec<_> = (0..options.destinations.len()).collect();
        let Some(callees) = self.callees(now, &call, &options, &destinations) else {
            return Err((call, not_begun(Cause::Fault)));
        };

        let id = (self.links.room_id)();
        let name = "dial".parse().expect("a name");
        let key = RoomKey { account: call.account.clone(), name };
        let settings = self.settings.read().clone();
        let (room, actor) = conference::open(now, id, key, (None, settings), self.clone());
        let places: Vec<_> = callees.iter().map(|it| (it.call.id, it.member)).collect();
        {
            // A hang-up of the caller from now on queues after the dial.
            let mut here = self.places.of_call(call.id);
            let place = CallPlace::Room { room: room.clone(), member };
            if let Err(cause) = here.move_to(call.id, place) {
                drop(here);
                for NewCallee { call, .. } in callees {
                    let source = HangupSource::Caller;
                    self.end(call, Ending { cause: HangupCause::Canceled, source });
                }
                return Err((call, not_begun(cause)));
            }
            room.dial(DialMessage { member, call, options, callees });
        }
        for (callee, member) in places {
            let place = CallPlace::Room { room: room.clone(), member };
            let moved = self.places.of_call(callee).move_to(callee, place);
            if let Err(cause) = moved {
                room.hang_up(member, cause);
            }
        }
        self.private_rooms.lock().insert(id, room);
        // Last: the callees must be found when the first of them rings.
        self.links.spawner.spawn_room(Box::new(actor));
        if self.is_closing.load(Ordering::SeqCst) {
            self.private_rooms.lock().values().for_each(|room| room.close());
        }
        Ok(())
    }

    /// The calls to the destinations with these numbers, which are registered; None if there are no
    /// member ids.
    pub(super) fn callees(
        &self,
        now: Instant,
        caller: &Call,
        options: &DialOptions,
        destinations: &[usize],
    ) -> Option<Vec<NewCallee>> {
        let next = || self.links.member_ids.next(&caller.account);
        let members = destinations.iter().map(|_| next()).collect::<Option<Vec<_>>>()?;
        let destinations = destinations.iter().filter_map(|it| options.destinations.get(*it));
        let callees = destinations.zip(members).map(|(destination, member)| {
            let party = party(caller, options, destination);
            let no_route = self.no_route(caller, &party);
            let (id, account) = ((self.links.call_id)(), caller.account.clone());
            let mut call = Call::new(now, id, account, Arc::new(party), CALLEE_TIME_MAX);
            self.register(&mut call, &mut Vec::new());
            let (digits, sends_early) = (destination.digits.clone(), destination.sends_early);
            NewCallee { member, call, digits, sends_early, no_route }
        });
        Some(callees.collect())
    }

    /// Why a destination cannot be called; None if it can.
    fn no_route(&self, caller: &Call, callee: &Party) -> Option<Ending> {
        let source = HangupSource::Platform(callee.dialect);
        let far_end = match caller.party.direction {
            CallDirection::Inbound => &caller.party.from,
            CallDirection::Outbound => &caller.party.to,
        };
        let cause = if callee.to == *far_end {
            HangupCause::LoopDetected
        } else {
            let error = self.can_dial(&caller.account, &callee.to).err()?;
            tracing::warn!(call = %caller.id, "<Dial>: {error}");
            error.cause
        };
        Some(Ending { cause, source })
    }
}

/// The exit of a caller for whom nobody was called.
fn not_begun(cause: Cause) -> Exit {
    Exit { dialled: Some(Box::new(DialResult::not_begun())), ..cause.into() }
}

/// A callee that is not connected is ended by the room long before.
const CALLEE_TIME_MAX: Duration = Duration::from_secs(86_400);

/// The parties of a callee's call.
fn party(caller: &Call, options: &DialOptions, destination: &DialDestination) -> Party {
    let of_session = &caller.party.session;
    let details = SessionDetails {
        is_private: options.caller_id.is_none() && of_session.is_private(),
        diversion: of_session
            .diversion()
            .filter(|_| caller.party.direction == CallDirection::Inbound),
        headers: destination.headers.clone().into(),
        parent: Some(caller.id),
        trace: Some(caller.party.session.trace(caller.id)),
        credentials: destination.credentials.clone(),
        ..SessionDetails::default()
    };
    let of_caller = &caller.party;
    Party {
        from: options.caller_id.clone().unwrap_or_else(|| of_caller.from.clone()),
        to: destination.to.clone(),
        caller_name: options.caller_name.clone().unwrap_or_else(|| of_caller.caller_name.clone()),
        direction: CallDirection::Outbound,
        dialect: of_caller.dialect,
        trusted: None,
        session: CallSession::new(inbound::wall_clock(), details),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test may ask what time it is")]
mod tests {
    use super::*;
    use crate::{
        base::ids::{CallId, Dialect},
        flow::{Flow, Verb},
        media::{DialOrigin, Diversion},
    };

    /// What is said of a caller whose call was forwarded to us, and who withholds their number.
    fn dialled(element: &str, direction: CallDirection) -> crate::media::Dialling {
        let diversion = Diversion {
            from: "4960".into(),
            reason: "user-busy".into(),
            counter: 1,
            is_private: false,
        };
        let details = SessionDetails {
            is_private: true,
            diversion: Some(Arc::new(diversion)),
            ..SessionDetails::default()
        };
        let party = Party {
            from: "4930".into(),
            to: "4950".into(),
            caller_name: "".into(),
            direction,
            dialect: Dialect::Plivo,
            trusted: None,
            session: CallSession::new(std::time::SystemTime::UNIX_EPOCH, details),
        };
        let now = Instant::now();
        let account = "MA1".parse().unwrap();
        let call = Call::new(now, CallId::of(1), account, Arc::new(party), CALLEE_TIME_MAX);
        let flow = Flow::parse(&format!("<Response>{element}</Response>"), Dialect::Plivo).unwrap();
        let Verb::Dial(verb) = &flow.steps[0].verb else { panic!("no dial") };
        let party = super::party(&call, &verb.options, &verb.options.destinations[0]);
        call.end();
        party.dialling(DialOrigin::Request)
    }

    #[test]
    fn a_withheld_number_and_a_forwarding_go_on_with_the_call() {
        let it = dialled("<Dial>4940</Dial>", CallDirection::Inbound);
        assert!(it.is_private && &*it.from == "4930");
        assert_eq!(it.diversion.unwrap().counter, 1);
        let it = dialled("<Dial callerId='4970'>4940</Dial>", CallDirection::Inbound);
        assert!(!it.is_private, "another number is shown");
        let it = dialled("<Dial>4940</Dial>", CallDirection::Outbound);
        assert_eq!(it.diversion, None, "nobody has forwarded a call of ours");
    }

    #[test]
    fn a_user_has_the_password_of_the_flow() {
        let element = "<Dial><User sipAuthUsername='anna' sipAuthPassword='correct horse'>sip:x@y</User></Dial>";
        let it = dialled(element, CallDirection::Inbound).credentials.unwrap();
        assert_eq!((&*it.username, &*it.password), ("anna", "correct horse"));
        assert!(!format!("{it:?}").contains("horse"));
    }
}
