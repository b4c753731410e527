//! Group guard: admission to the rooms that a group guards, and expulsion from them.
//!
//! # Proof: when a removal is answered, the removed person is in no guarded room
//!
//! A removal goes: durable → off the access list → the rooms are told → the rooms have released
//! the person → the answer. A join goes, all under the lock of the room's name: the access list
//! is read → the call is in the room's queue. Take a removal that has been answered, and a join of
//! the removed person that began by reading the access list:
//!
//! - It read the list *before* the person was off it. The rooms are told after that, one lock of
//!   names at a time. So when the lock of this name is taken, the join is complete: the room exists
//!   and is guarded, and the expulsion queues after the call. The room takes the call out, with the
//!   consequences for the other members, and only then confirms. If the room ends before it
//!   reaches the call, the call is requeued, which is a join of its own.
//! - It read the list *after*. Then the person is on it again, in a later revision, or was refused.
//!
//! A room that does not exist yet when the rooms are told is opened by a join of the second kind.
//! A room that has lost its name releases its members and requeues the calls that wait for it.
//!
//! Somebody whom a room has dialled enters by a shorter way: the room's actor reads the list under the
//! lock of its name, and lets the call in before it takes the next message. An expulsion that was
//! told before that reading is on the list; one that is told later queues after the entry.
//!
//! The admission that a call carries has the revision at which the access list was read. By it a
//! room spares a member who rejoined the group before the room was told (the admission is newer
//! than the expulsion), and refuses a call whose admission is older than an expulsion that it
//! knows of. By the above no such call exists in this process; the room does not rely on that.
//!
//! Nobody waits for an actor here: the writer of the groups tells the rooms and continues. The task
//! that sends its answers ([`super::group_writer`]) waits for their confirmations.

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
    /// Replaces the access list of an account.
    pub fn set_access_list(&self, account: AccountId, access_list: AccessList) {
        self.access_lists.write().insert(account, access_list);
    }

    /// Applies durable changes to an account's access list. [`Self::expel`] takes the removed
    /// members out of the rooms.
    pub fn apply_group_changes(&self, account: &AccountId, changes: &[Change]) {
        let mut access_lists = self.access_lists.write();
        let access_list = match access_lists.get_mut(account) {
            Some(access_list) => access_list,
            None => access_lists.entry(account.clone()).or_default(),
        };
        changes.iter().for_each(|it| access_list.apply(it));
    }

    /// Tells every room that the group guards to release the people of an expulsion. Each room
    /// answers once it has; the channel of a room that ends first closes without a value.
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

    /// The admission of a call to a room that `group` guards; None if none does. Called under the
    /// lock of the room's name (see the proof above).
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
            tracing::warn!(%call, %name, "not let in: the room has another group or none");
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
