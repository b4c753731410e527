//! Digits typed in a conference: `hangupOnStar`, `digitsMatch` and `relayDTMF`.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Conference, ConferenceEvent, Effect,
    member::{Hold, TypedKeys},
    state::DueItem,
};
use crate::{
    base::ids::MemberId,
    flow::Cause,
    media::{AudioOrder, SoundToAll},
};

/// After a longer pause, typing starts over.
const TYPED_KEYS_TIMEOUT: Duration = Duration::from_secs(3);

impl Conference {
    /// Handles a key. Keys of muted and of waiting members count as well.
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
        // A star that continues a pattern belongs to it.
        let belongs = !is_first && patterns.iter().any(|pattern| pattern.starts_with(&keys));
        if digit == '*' && entry.leaves_on_star && !belongs {
            return self.take_out(id, &Cause::Starred.into());
        }

        if entry.relays_digits {
            self.relay(id, digit, effects);
        }
        if let Some(pattern) = longest_match(patterns, &keys) {
            let (who, digits) = (self.members[&id].info(id), pattern.clone());
            if self.is_private() {
                return self.dial_digits(id, digits, effects);
            }
            return self.publish(ConferenceEvent::DigitsMatched { who, digits }, effects);
        }
        if let Some(call) = self.counterpart(id) {
            let digits = digit.to_string().into();
            effects.push_back(AudioOrder::SendDigits { call, number: 0, digits }.into());
        }
        self.keep_typed(now, id, keys, patterns);
    }

    fn keep_typed(&mut self, now: Instant, id: MemberId, mut keys: String, patterns: &[Arc<str>]) {
        let Some(longest) = patterns.iter().map(|pattern| pattern.len()).max() else { return };
        // Only the last keys, fewer than the longest pattern, can begin a match. Keys are ASCII.
        keys.drain(..(keys.len() + 1).saturating_sub(longest));
        if keys.is_empty() {
            return;
        }
        let ends_at = now + TYPED_KEYS_TIMEOUT;
        self.add_deadline(ends_at, DueItem::Digits(id));
        self.typed.insert(id, TypedKeys { keys, ends_at });
    }

    /// Plays the digit to the others, unless the member who pressed it is muted or on hold.
    fn relay(&self, id: MemberId, digit: char, effects: &mut VecDeque<Effect>) {
        let member = &self.members[&id];
        if !self.is_live() || member.muted || member.hold != Hold::Off {
            return;
        }
        let from = self.members[&id].call.id;
        if 1 < self.members.len() {
            self.send_to_all(SoundToAll::RelayDigit { from, digit }, effects);
        }
    }
}

/// The longest pattern that the typed keys end with.
fn longest_match<'a>(patterns: &'a [Arc<str>], keys: &str) -> Option<&'a Arc<str>> {
    patterns.iter().filter(|it| keys.ends_with(&***it)).max_by_key(|it| it.len())
}
