//! Caps on the calls that an account makes: live calls, and calls per second. They bound the bill
//! that a stolen token can run up.

use std::{num::NonZeroU32, time::Instant};

use parking_lot::{Mutex, MutexGuard};

use super::{
    failure::Failure,
    rate_limit::{PerAccount, RateLimit},
};
use crate::{base::ids::AccountId, engine::journal::Journal};

/// The limits on the calls of each account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Caps {
    /// The largest number of live calls, inbound ones included; None: no limit.
    pub calls: Option<NonZeroU32>,
    /// The rate of outgoing calls; None: no limit.
    pub rate: Option<RateLimit>,
}

/// The caps, with the remaining allowance of each account.
pub(super) struct CallCaps {
    /// Held from the check until the calls are made: else two requests would both pass the check.
    limits: Mutex<CallLimits>,
}

pub(super) struct CallLimits {
    calls: Option<NonZeroU32>,
    rate: Option<PerAccount>,
}

impl From<Caps> for CallLimits {
    fn from(Caps { calls, rate }: Caps) -> Self {
        Self { calls, rate: rate.map(PerAccount::new) }
    }
}

impl CallCaps {
    pub(super) fn new(caps: Caps) -> Self {
        Self { limits: Mutex::new(caps.into()) }
    }

    /// Replaces the caps.
    pub(super) fn set(&self, caps: Caps) {
        *self.limits.lock() = caps.into();
    }

    /// Allows `count` calls, or none. They must be made before the guard is dropped.
    pub(super) fn admit(
        &self,
        now: Instant,
        journal: &Journal,
        account: &AccountId,
        count: usize,
    ) -> Result<MutexGuard<'_, CallLimits>, Failure> {
        let guard = self.limits.lock();
        if let Some(max) = guard.calls.map(NonZeroU32::get)
            && (max as usize) < journal.live_count(account) + count
        {
            return Err(Failure::TooManyCalls { max });
        }
        if let Some(rate) = &guard.rate {
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
