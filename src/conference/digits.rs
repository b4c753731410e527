//! Key presses inside a conference: `hangupOnStar`, `digitsMatch`, `relayDTMF`.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Conference, ConferenceEvent, Effect, member::Member, state::DueItem};
use crate::{base::ids::MemberId, flow::Cause, media::AudioOrder};

/// What a member has typed, and no pattern has taken yet.
#[derive(Clone, Debug)]
pub(super) struct TypedKeys {
    keys: String,
    pub(super) ends_at: Instant,
}

/// Who pauses longer has begun anew.
const TYPED_KEYS_TIMEOUT: Duration = Duration::from_secs(3);

impl Conference {
    /// The keys of the muted and of those who wait count as well.
    pub(super) fn digit(
        &mut self,
        now: Instant,
        id: MemberId,
        digit: char,
        effects: &mut VecDeque<Effect>,
    ) {
        let member = &self.members[&id];
        let entry = member.entry.clone();
        let mut keys = match self.typed.remove(&id) {
            Some(typed) => {
                self.remove_deadline(typed.ends_at, DueItem::Digits(id));
                typed.keys
            }
            None => String::new(),
        };
        let is_first = keys.is_empty();
        keys.push(digit);
        let patterns = &entry.digits_match;
        // A star inside a pattern that has been begun belongs to it.
        let belongs = !is_first && patterns.iter().any(|pattern| pattern.starts_with(&keys));
        if digit == '*' && entry.leaves_on_star && !belongs {
            return self.take_out(id, &Cause::Starred.into());
        }

        if entry.relays_digits {
            self.relay(id, digit, effects);
        }
        if let Some(pattern) = longest_match(patterns, &keys) {
            let (who, digits) = (self.members[&id].info(id), pattern.clone());
            return self.publish(ConferenceEvent::DigitsMatched { who, digits }, effects);
        }
        self.keep_typed(now, id, keys, patterns);
    }

    fn keep_typed(&mut self, now: Instant, id: MemberId, mut keys: String, patterns: &[Arc<str>]) {
        let Some(longest) = patterns.iter().map(|pattern| pattern.len()).max() else { return };
        // Of keys that no pattern has taken, only as many can still begin one. Keys are ASCII.
        keys.drain(..(keys.len() + 1).saturating_sub(longest));
        if keys.is_empty() {
            return;
        }
        let ends_at = now + TYPED_KEYS_TIMEOUT;
        self.add_deadline(ends_at, DueItem::Digits(id));
        self.typed.insert(id, TypedKeys { keys, ends_at });
    }

    /// As heard by the others; not while its presser is not to be heard itself.
    fn relay(&self, id: MemberId, digit: char, effects: &mut VecDeque<Effect>) {
        if !self.is_live() || self.members[&id].muted {
            return;
        }
        let hears = |(other, member): &(MemberId, &Member)| *other != id && !member.deaf;
        let others = self.everybody().filter(hears);
        let calls: Vec<_> = others.map(|(_, member)| member.call.id).collect();
        if !calls.is_empty() {
            effects.push_back(AudioOrder::RelayDigit { room: self.id(), calls, digit }.into());
        }
    }
}

/// The longest pattern that ends what was typed.
fn longest_match<'a>(patterns: &'a [Arc<str>], keys: &str) -> Option<&'a Arc<str>> {
    patterns.iter().filter(|it| keys.ends_with(&***it)).max_by_key(|it| it.len())
}
