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
        if plan.waits_until.is_none() {
            let event = LegEvent::Waits(QUEUE_SECONDS_MAX);
            effects.push_back(Effect::Report(Report { call, event }));
        }
        (plan.waits_until, plan.is_waiting) = (Some(until), true);
        plan.routes = std::mem::take(&mut plan.busy).into();
        let name = plan.routes[0].name.clone();
        self.usage.wait(call, &name, until);
        self.watch_queues(now);
        true
    }

    /// Lets waiting calls through, as many as their trunks take now.
    pub(super) fn serve_queues(&mut self, now: Instant, effects: &mut Effects) {
        for name in self.usage.awaited() {
            while let Some((call, until)) = self.usage.first_waiting(&name) {
                let plan = self.outgoing.get_mut(&call).and_then(|it| it.plan.as_mut());
                let Some(plan) = plan.filter(|it| it.is_waiting) else {
                    // It has been called off.
                    self.usage.stop_waiting(&name);
                    continue;
                };
                let Some(route) = plan.routes.front() else { break };
                if until <= now {
                    self.usage.stop_waiting(&name);
                    self.give_up(now, call, effects);
                    continue;
                }
                if self.usage.check(now, &name, &route.trunk).is_err() {
                    break;
                }
                plan.is_waiting = false;
                self.usage.stop_waiting(&name);
                let event = LegEvent::Waits(0);
                effects.push_back(Effect::Report(Report { call, event }));
                self.proceed(now, call, effects);
            }
        }
        self.watch_queues(now);
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
        let plan = self.outgoing.get(&call).and_then(|it| it.plan.as_ref());
        let route = plan.filter(|it| it.is_waiting).and_then(|it| it.routes.front());
        let Some(route) = route else { return Some(now) };
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
