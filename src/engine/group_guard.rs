//! The guard of rooms: who comes into a room that a group guards, and who must leave it.
//!
//! # Why whoever is removed is in no guarded room when that is answered
//!
//! A removal goes: written for good → off the access list → the rooms are told → they have let go → the
//! answer. A join goes, all under the lock of the room's name: the access list is read → the call is in
//! the room's queue. Say that the removal of somebody has been answered, and look at a join of
//! his that began with a reading of the access list:
//!
//! - It has read the access list *before* his name was off. The rooms are told after that, one lock of
//!   names at a time; so when the lock of this name is taken, the join is over: the room is there
//!   and guarded, and what it is told queues behind the call. It takes the call out, with what
//!   follows for the others, and only then says that it has. If the room is over before it comes
//!   to the call, the call is handed on, which is a join of its own.
//! - It has read the access list *after*. Then he is on it again, in a later revision, or not let in.
//!
//! A room that is not there yet when the rooms are told is opened by a join of the second kind. A
//! room that has lost its name lets everybody go, and hands on who waits for it.
//!
//! The admission that a call carries has the revision at which the access list was read. With it a room spares
//! whoever has come back into the group before it was told (the admission is newer than the expulsion),
//! and takes in nobody whose admission is older than an expulsion that it knows of. By the above there
//! is no such call in this process; the room does not rely on that.
//!
//! Nobody waits for an actor here: the writer of the groups tells the rooms and goes on, and the
//! task that has its answers to give ([`super::group_writer`]) waits for what they say.

use tokio::sync::oneshot;

use super::registry::Registry;
use crate::{
    base::ids::{AccountId, RoomKey},
    call::Call,
    conference::{Ask, Outcome},
    flow::{Cause, JoinOptions},
    group::{Admission, Change, Expulsion, GroupId, access_list::AccessList},
};

impl Registry {
    /// From now on, the rooms of an account that its groups guard are open to these.
    pub fn set_access_list(&self, account: AccountId, access_list: AccessList) {
        self.access_lists.write().insert(account, access_list);
    }

    /// The same, by changes that are durable. Whom they put out, [`Self::expel`] takes out.
    pub fn apply_group_changes(&self, account: &AccountId, changes: &[Change]) {
        let mut access_lists = self.access_lists.write();
        let access_list = match access_lists.get_mut(account) {
            Some(access_list) => access_list,
            None => access_lists.entry(account.clone()).or_default(),
        };
        changes.iter().for_each(|it| access_list.apply(it));
    }

    /// Tells every room that the group guards to let people go who are off the access list. Each says
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
                room.ask_unlimited(Ask::Expel(expulsion.clone()), reply);
                leaving.push(answer);
            }
        }
        leaving
    }

    /// What lets a call into a room that `group` guards, if one does. Asked under the lock of the
    /// room's name, as the head of this file says.
    pub(super) fn admission_for(
        &self,
        key: &RoomKey,
        group: Option<GroupId>,
        call: &Call,
        entry: &JoinOptions,
    ) -> Result<Option<Box<Admission>>, Cause> {
        let stated = entry.guard.map(|it| it.group);
        if stated.is_some() && stated != group {
            let (call, name) = (call.id, &key.name);
            tracing::warn!(%call, %name, "not let in: the first call there has stated another group, or none");
            return Err(Cause::NotMember);
        }
        let Some(group) = group else { return Ok(None) };
        let access_lists = self.access_lists.read();
        let who = call.party.trusted.as_deref();
        let admission =
            who.zip(access_lists.get(&call.account)).and_then(|(who, it)| it.admit(group, who));
        admission.map(|it| Some(Box::new(it))).ok_or(Cause::NotMember)
    }
}
