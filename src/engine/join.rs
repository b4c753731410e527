//! Join: moves a call into a room under the registry's locks, or hands it back.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use super::{
    conference,
    registry::{CallPlace, Observed, Registry},
};
use crate::{
    base::ids::{ConferenceName, RoomKey},
    call::{Call, CallAct, Effect},
    flow::{Cause, Exit, JoinOptions},
};

impl Registry {
    /// Sets the largest number of members of the conferences that are opened from now on.
    pub fn set_members_max(&self, members_max: usize) {
        self.settings.write().members_max = members_max;
    }

    /// Ends every room; their calls continue their flows. From now on, no call can join a room.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::SeqCst);
        self.recordings().into_iter().for_each(|it| it.drain());
        for names in &self.names.0 {
            names.lock().rooms().for_each(|room| room.close());
        }
        self.private_rooms.lock().values().for_each(|room| room.close());
    }

    /// The number of rooms that have not let all their members out.
    pub fn room_count(&self) -> usize {
        self.rooms.load(Ordering::SeqCst)
    }

    /// Lets a call join again by name: the room that it queued for is over.
    pub(super) fn requeue(
        self: &Arc<Self>,
        now: Instant,
        call: Box<Call>,
        name: ConferenceName,
        entry: Arc<JoinOptions>,
        effects: &mut Vec<Effect>,
    ) {
        self.observe(Observed::Requeued { call: call.id });
        if let Err((mut call, exit)) = self.enter(now, call, name, entry) {
            let act = self.refused(now, &mut call, &exit, effects);
            self.go_on(now, call, act, effects);
        }
    }

    pub(super) fn refused(
        &self,
        now: Instant,
        call: &mut Call,
        exit: &Exit,
        effects: &mut Vec<Effect>,
    ) -> CallAct {
        self.observe(Observed::Refused { call: call.id, cause: exit.cause });
        call.left(now, exit, None, effects)
    }

    /// Moves a call into the room of that name, which is opened if needed, or hands it back.
    pub(super) fn enter(
        self: &Arc<Self>,
        now: Instant,
        mut call: Box<Call>,
        name: ConferenceName,
        entry: Arc<JoinOptions>,
    ) -> Result<(), (Box<Call>, Exit)> {
        let key = RoomKey { account: call.account.clone(), name };
        let who = call.party.trusted.as_deref();
        if who.is_some_and(|who| self.links.ban_list.is_banned(now, &key, who)) {
            return Err((call, Cause::Banned.into()));
        }
        let Some(member) = self.links.member_ids.next(&key.account) else {
            return Err((call, Cause::Fault.into()));
        };
        let mut names = self.names.of(&key);
        if self.is_closing.load(Ordering::SeqCst) {
            return Err((call, Cause::Drained.into()));
        }

        let found = names.find(&key).cloned();
        let group = match found {
            Some(_) => names.group_of(&key),
            None => entry.guard.map(|it| it.group),
        };
        call.admission = match self.admission_for(&key, group, &call, &entry) {
            Ok(admission) => admission,
            Err(cause) => return Err((call, cause.into())),
        };
        let (room, opened) = match found {
            Some(room) => (room, None),
            None => {
                let id = (self.links.room_id)();
                let settings = self.settings.read().clone();
                let (room, actor) =
                    conference::open(now, id, key.clone(), (group, settings), self.clone());
                (room, Some((id, actor)))
            }
        };
        let mut places = self.places.of_call(call.id);
        // A call that has hung up meanwhile opens no room: no member would ever leave it.
        if let Err(cause) = places.move_to(call.id, CallPlace::Room { room: room.clone(), member })
        {
            return Err((call, cause.into()));
        }
        if let Some((id, actor)) = opened {
            names.open(key, id, group, room.clone());
            self.links.spawner.spawn_room(Box::new(actor));
        }
        room.enter(member, call, entry).map_err(|call| (call, Cause::Fault.into()))
    }
}
