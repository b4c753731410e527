//! The guard of rooms: who comes into a room that a group guards, and who must leave it.
//!
//! # Why whoever is removed is in no guarded room when that is answered
//!
//! A removal goes: written for good → off the roll → the rooms are told → they have let go → the
//! answer. A join goes, all under the lock of the room's name: the roll is read → the call is in
//! the room's queue. Say that the removal of somebody has been answered, and look at a join of
//! his that began with a reading of the roll:
//!
//! - It has read the roll *before* his name was off. The rooms are told after that, one lock of
//!   names at a time; so when the lock of this name is taken, the join is over: the room is there
//!   and guarded, and what it is told queues behind the call. It takes the call out, with what
//!   follows for the others, and only then says that it has. If the room is over before it comes
//!   to the call, the call is handed on, which is a join of its own.
//! - It has read the roll *after*. Then he is on it again, in a later revision, or not let in.
//!
//! A room that is not there yet when the rooms are told is opened by a join of the second kind. A
//! room that has lost its name lets everybody go, and hands on who waits for it.
//!
//! The pass that a call carries has the revision at which the roll was read. With it a room spares
//! whoever has come back into the group before it was told (the pass is newer than the expulsion),
//! and takes in nobody whose pass is older than an expulsion that it knows of. By the above there
//! is no such call in this process; the room does not rely on that.
//!
//! Nobody waits for an actor here: the writer of the groups tells the rooms and goes on, and the
//! task that has its answers to give ([`super::group_writer`]) waits for what they say.

use tokio::sync::oneshot;

use super::registry::House;
use crate::{
    base::ids::{AccountId, RoomKey},
    call::Call,
    conference::{Ask, Outcome},
    flow::{Cause, Entry},
    group::{Change, Expulsion, GroupId, Pass, access_list::Roll},
};

impl House {
    /// From now on, the rooms of an account that its groups guard are open to these.
    pub fn enrol(&self, account: AccountId, roll: Roll) {
        self.rolls.write().insert(account, roll);
    }

    /// The same, by changes that are durable. Whom they put out, [`Self::expel`] takes out.
    pub fn note_groups(&self, account: &AccountId, changes: &[Change]) {
        let mut rolls = self.rolls.write();
        let roll = match rolls.get_mut(account) {
            Some(roll) => roll,
            None => rolls.entry(account.clone()).or_default(),
        };
        changes.iter().for_each(|it| roll.apply(it));
    }

    /// Tells every room that the group guards to let people go who are off the roll. Each says
    /// when it has; one that is over meanwhile does so by silence.
    pub fn expel(
        &self,
        account: &AccountId,
        expulsion: &Expulsion,
    ) -> Vec<oneshot::Receiver<Outcome>> {
        let mut leaving = Vec::new();
        for names in &self.names.0 {
            let names = names.lock();
            for room in names.guarded_by(account, expulsion.group) {
                let (reply, answer) = oneshot::channel();
                room.tell(Ask::Expel(expulsion.clone()), reply);
                leaving.push(answer);
            }
        }
        leaving
    }

    /// What lets a call into a room that `group` guards, if one does. Asked under the lock of the
    /// room's name, as the head of this file says.
    pub(super) fn pass_for(
        &self,
        key: &RoomKey,
        group: Option<GroupId>,
        call: &Call,
        entry: &Entry,
    ) -> Result<Option<Box<Pass>>, Cause> {
        let stated = entry.guard.map(|it| it.group);
        if stated.is_some() && stated != group {
            let (call, name) = (call.id, &key.name);
            tracing::warn!(%call, %name, "not let in: the first call there has stated another group, or none");
            return Err(Cause::NotMember);
        }
        let Some(group) = group else { return Ok(None) };
        let rolls = self.rolls.read();
        let who = call.party.trusted.as_deref();
        let pass = who.zip(rolls.get(&call.account)).and_then(|(who, it)| it.admit(group, who));
        pass.map(|it| Some(Box::new(it))).ok_or(Cause::NotMember)
    }
}

/// The rolls of all accounts. Locked for a moment, inside the lock of a name or alone, and with
/// no lock taken inside.
pub(super) type Rolls = parking_lot::RwLock<std::collections::BTreeMap<AccountId, Roll>>;
