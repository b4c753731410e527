//! Trunk queue: lets calls through to trunks within their limits, and makes others wait or fail.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    agent::{Agent, Effects},
    caller_id,
    effect::Effect,
    route::TrunkRoute,
    timers::Timer,
    trunk_usage::TrunkLimit,
};
use crate::{
    base::ids::CallId,
    media::{DialFailure, DialFailureSource, DialOrigin, HangupCause, LegEvent, Report},
};

/// The longest time that a call waits for a trunk.
const QUEUE_SECONDS_MAX: u16 = 300;

impl Agent {
    /// Begins with the next trunk that takes the call. Returns false if there is none.
    pub(super) fn enter_trunk(
        &mut self,
        now: Instant,
        call: CallId,
        effects: &mut Effects,
    ) -> bool {
        // It has used the trunk before.
        self.usage.release(now, call);
        loop {
            let Some(leg) = self.outgoing.get_mut(&call) else { return false };
            let Some(plan) = &mut leg.plan else { return false };
            plan.leave();
            let Some(route) = plan.routes.pop_front() else { return false };
            if route.is_foreign() {
                plan.enter(route, &mut self.ids);
                return true;
            }
            let is_new = plan.waits_until.is_none();
            let may_wait = leg.dialling.origin == DialOrigin::Request;
            if caller_id::refuses(&route.trunk, &leg.dialling) {
                let why = format!("left out: {} is not among its caller_ids", leg.dialling.from);
                let failure = by_us(HangupCause::CallerUnknown);
                self.skip(call, &route.name, failure, &why, effects);
                continue;
            }
            // Calls that wait come first; a caller on the phone does not wait behind them.
            let taken = match may_wait && is_new && self.usage.has_waiting(&route.name) {
                true => self
                    .usage
                    .check(now, &route.name, &route.trunk)
                    .and(Err(TrunkLimit::Rate(Duration::ZERO))),
                false => {
                    let trunk = (&route.name, &*route.trunk);
                    self.usage.take(now, call, trunk, &plan.account)
                }
            };
            match taken {
                Ok(()) => {
                    plan.enter(route, &mut self.ids);
                    return true;
                }
                Err(limit) => self.leave_out(call, route, limit, effects),
            }
        }
    }

    /// Leaves out a trunk that is at a limit.
    fn leave_out(
        &mut self,
        call: CallId,
        route: TrunkRoute,
        limit: TrunkLimit,
        effects: &mut Effects,
    ) {
        let trunk = &route.trunk;
        let why = match limit {
            TrunkLimit::Calls => format!("left out: it has {} calls (calls_max)", trunk.calls_max),
            TrunkLimit::Rate(_) => format!(
                "left out: it takes {} calls in a second (calls_per_second)",
                trunk.calls_per_second
            ),
            TrunkLimit::Minutes => format!(
                "left out: the account has used its {} minutes (minutes_per_day)",
                trunk.minutes_per_day.unwrap_or_default()
            ),
        };
        self.skip(call, &route.name, by_us(HangupCause::DialLimit), &why, effects);
        let plan = self.outgoing.get_mut(&call).and_then(|it| it.plan.as_mut());
        if let Some(plan) = plan.filter(|_| limit != TrunkLimit::Minutes) {
            plan.busy.push(route);
        }
    }

    /// Makes a call wait if no trunk has refused it but for being busy. Returns false if it may not.
    pub(super) fn wait_for_trunk(
        &mut self,
        now: Instant,
        call: CallId,
        effects: &mut Effects,
    ) -> bool {
        let Some(leg) = self.outgoing.get_mut(&call) else { return false };
        let may_wait = leg.dialling.origin == DialOrigin::Request
            && leg.failure.is_some_and(|it| it.cause == HangupCause::DialLimit);
        let Some(plan) = leg.plan.as_mut().filter(|it| may_wait && !it.busy.is_empty()) else {
            return false;
        };
        let latest = now + Duration::from_secs(QUEUE_SECONDS_MAX.into());
        let until = plan.waits_until.unwrap_or(latest);
        if until <= now {
            return false;
        }
        // The first time, or again after a trunk that had room has failed.
        let left = until.saturating_duration_since(now);
        let seconds = left.as_secs() + u64::from(0 < left.subsec_nanos());
        let seconds = u16::try_from(seconds).unwrap_or(u16::MAX).min(QUEUE_SECONDS_MAX);
        let event = LegEvent::Waits(seconds);
        effects.push_back(Effect::Report(Report { call, event }));
        (plan.waits_until, plan.is_waiting) = (Some(until), true);
        plan.routes = std::mem::take(&mut plan.busy).into();
        for route in &plan.routes {
            self.usage.wait(call, &route.name, until);
        }
        self.watch_queues(now);
        true
    }

    /// Takes a call out of the queues of all trunks that it waits for.
    pub(super) fn leave_queues(&mut self, call: CallId) {
        let plan = self.outgoing.get_mut(&call).and_then(|it| it.plan.as_mut());
        let Some(plan) = plan.filter(|it| it.is_waiting) else { return };
        plan.is_waiting = false;
        for route in &plan.routes {
            self.usage.stop_waiting(call, &route.name);
        }
    }

    /// Lets waiting calls through, as many as their trunks take now.
    pub(super) fn serve_queues(&mut self, now: Instant, effects: &mut Effects) {
        for name in self.usage.awaited() {
            while let Some((call, until)) = self.usage.first_waiting(&name) {
                let Some(route) = self.awaited_route(call, &name) else {
                    debug_assert!(false, "a call that is over leaves its queues");
                    self.usage.stop_waiting(call, &name);
                    continue;
                };
                if until <= now {
                    self.leave_queues(call);
                    self.give_up(now, call, effects);
                    continue;
                }
                if self.usage.check(now, &name, &route.trunk).is_err() {
                    break;
                }
                self.leave_queues(call);
                if let Some(plan) = self.outgoing.get_mut(&call).and_then(|it| it.plan.as_mut()) {
                    // The trunk that has room comes first.
                    plan.routes.make_contiguous().sort_by_key(|it| it.name != name);
                }
                let event = LegEvent::Waits(0);
                effects.push_back(Effect::Report(Report { call, event }));
                self.proceed(now, call, effects);
            }
        }
        self.watch_queues(now);
    }

    /// The way of a waiting call through one of the trunks that it waits for.
    fn awaited_route(&self, call: CallId, name: &Arc<str>) -> Option<&TrunkRoute> {
        let plan = self.outgoing.get(&call)?.plan.as_ref().filter(|it| it.is_waiting)?;
        plan.routes.iter().find(|it| it.name == *name)
    }

    /// Updates the row of the queues in the timer table.
    fn watch_queues(&mut self, now: Instant) {
        let awaited = self.usage.awaited();
        let due = awaited.iter().filter_map(|name| self.queue_due_at(now, name)).min();
        self.timers.set(Timer::TrunkQueue, &mut self.queue_due, due);
    }

    /// When the first of a trunk's queue may go on, or has waited long enough.
    fn queue_due_at(&self, now: Instant, name: &Arc<str>) -> Option<Instant> {
        let (call, until) = self.usage.first_waiting(name)?;
        let Some(route) = self.awaited_route(call, name) else { return Some(now) };
        match self.usage.check(now, name, &route.trunk) {
            Ok(()) => Some(now),
            Err(TrunkLimit::Rate(wait)) => Some(until.min(now + wait)),
            // The end of another call comes first.
            Err(TrunkLimit::Calls | TrunkLimit::Minutes) => Some(until),
        }
    }
}

/// A failure that no server has caused.
fn by_us(cause: HangupCause) -> DialFailure {
    DialFailure::new(cause, DialFailureSource::Platform)
}
