//! Caps on the calls that an account makes: so many at a time, and so many a second. Whoever gets
//! hold of a token runs up a bill no faster.

use std::{num::NonZeroU32, time::Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{
    failure::Failure,
    limit::{PerAccount, RateLimit},
};
use crate::{base::ids::AccountId, engine::journal::Journal};

/// What an account may do by making calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// Calls that are up, those that came in included; None is no limit.
    pub calls: Option<NonZeroU32>,
    /// Calls made within a time; None is no limit.
    pub rate: Option<RateLimit>,
}

/// The caps, and what each account has left of them.
pub(super) struct Calling {
    calls: Option<NonZeroU32>,
    rate: Option<PerAccount>,
    /// Two requests at a time would each see room for their own calls.
    one_at_a_time: Mutex<()>,
}

impl Calling {
    pub(super) fn new(caps: Caps) -> Self {
        let rate = caps.rate.map(PerAccount::new);
        Self { calls: caps.calls, rate, one_at_a_time: Mutex::default() }
    }

    /// Lets so many calls be made, before the guard is dropped, or none of them.
    pub(super) fn admit(
        &self,
        now: Instant,
        journal: &Journal,
        account: &AccountId,
        count: usize,
    ) -> Result<MutexGuard<'_, ()>, Failure> {
        let guard = self.one_at_a_time.lock();
        if let Some(max) = self.calls.map(NonZeroU32::get)
            && (max as usize) < journal.live_count(account) + count
        {
            return Err(Failure::TooManyCalls { max });
        }
        if let Some(rate) = &self.rate {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            let per_second = rate.limit.requests.get();
            if per_second < count {
                let why = format!("to: give {per_second} at most (calls_per_second)");
                return Err(Failure::Bad(why));
            }
            rate.take_all(now, account, count).map_err(|wait| Failure::TooFast { wait })?;
        }
        Ok(guard)
    }
}
