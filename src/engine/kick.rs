//! Kick with a ban: the bans are on disk before anybody is out, so that a full disk refuses the kick.
//!
//! A dry run says who would be banned, their bans are stored, and then the kick is decided as any
//! other. Members who leave or come in meanwhile make a difference: a stored ban that no kick has
//! made is removed again, and one that was not foreseen is written after the kick.

use std::time::Instant;

use tokio::time;

use super::{
    ban_list::BanCommit,
    recorder::AskedBy,
    registry::{AskError, Registry},
};
use crate::{
    base::ids::{MemberId, RoomKey},
    conference::{Ask, ConferenceAnswer, Kick, MemberSelector},
    store::rows::WriteError,
};

impl Registry {
    /// Asks a room, and waits for its answer. A kick that bans is answered once its bans are on disk.
    ///
    /// # Errors
    ///
    /// See [`AskError`]; never [`AskError::Late`]. If this future is dropped, the ask may be carried
    /// out or not.
    pub async fn ask_and_wait(
        &self,
        by: AskedBy,
        key: &RoomKey,
        ask: Ask,
    ) -> Result<ConferenceAnswer, AskError> {
        if let Ask::Kick { who, kick: kick @ Kick { ban: Some(_), is_dry_run: false, .. } } = ask {
            return self.kick_and_ban(by, key, who, kick).await;
        }
        self.answer(by, key, ask).await
    }

    async fn kick_and_ban(
        &self,
        by: AskedBy,
        key: &RoomKey,
        who: MemberSelector,
        kick: Kick,
    ) -> Result<ConferenceAnswer, AskError> {
        let dry_run =
            Ask::Kick { who: who.clone(), kick: Kick { is_dry_run: true, ..kick.clone() } };
        let foreseen = match self.answer(AskedBy::default(), key, dry_run).await? {
            ConferenceAnswer::Departures(departures) => departures,
            ConferenceAnswer::Banned { .. }
            | ConferenceAnswer::Callee(_)
            | ConferenceAnswer::Members(_)
            | ConferenceAnswer::Roster(_) => unreachable!("a dry run is answered with departures"),
        };
        let foreseen =
            foreseen.into_iter().filter_map(|it| Some((it.member, it.banned?))).collect();
        let (mut prepared, stored) = self.ban_list().prepare(now(), key, foreseen, &kick);
        wait(stored).await?;
        let answer = self.answer(by, key, Ask::Kick { who, kick }).await?;
        if let ConferenceAnswer::Banned { members, .. } = &answer {
            let is_new = |it: &MemberId| !prepared.contains(*it);
            let new: Vec<_> = members.iter().copied().filter(is_new).collect();
            prepared.made(members);
            // They are out by now. What cannot be written waits in the store's queue.
            drop(wait(self.ban_list().persisted(now(), key, &new)).await);
        }
        Ok(answer)
    }

    async fn answer(
        &self,
        by: AskedBy,
        key: &RoomKey,
        ask: Ask,
    ) -> Result<ConferenceAnswer, AskError> {
        // The room may end before this ask is decided.
        Ok(self.ask_for(by, key, ask)?.await.map_err(|_| AskError::Gone)??)
    }
}

fn now() -> Instant {
    time::Instant::now().into_std()
}

async fn wait(stored: BanCommit) -> Result<(), WriteError> {
    stored.await.unwrap_or(Err(WriteError::Ended))
}
