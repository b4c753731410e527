//! Effects of calls: what a call in no room has decided is written, and then performed in order.

use std::{sync::Arc, time::Instant};

use super::{
    observed::take_events,
    registry::{CallPlace, Observed, Registry, without_query},
};
use crate::{
    call::{Call, CallAct, Effect},
    documents::{DocumentFetch, DocumentRecipient},
};

impl Registry {
    /// Moves a call that has no place: performs its effects until it has settled or ended.
    pub(super) fn go_on(
        self: &Arc<Self>,
        now: Instant,
        mut call: Box<Call>,
        act: CallAct,
        effects: &mut Vec<Effect>,
    ) {
        if let CallAct::Stay = act {
            return self.settle(call, effects, 1);
        }
        self.record_move(&mut call, &act, effects);
        self.go_on_written(now, call, act, effects);
    }

    /// As [`Registry::go_on`]; the frame of what the call has decided is written.
    pub(super) fn go_on_written(
        self: &Arc<Self>,
        now: Instant,
        mut call: Box<Call>,
        mut act: CallAct,
        effects: &mut Vec<Effect>,
    ) {
        if let CallAct::Stay = act {
            return self.settle_by(call, effects, |call, effects| {
                self.perform_written(call, effects, 1);
            });
        }
        loop {
            match act {
                CallAct::End(ending) => {
                    self.perform_last(&call, effects);
                    return self.end(call, ending);
                }
                CallAct::Dial(options) => {
                    self.perform_written(&call, effects, 1);
                    let Err((mut back, exit)) = self.start_dial(now, call, options) else {
                        return;
                    };
                    act = self.refused(now, &mut back, &exit, effects);
                    self.record_move(&mut back, &act, effects);
                    call = back;
                }
                CallAct::Join { room, entry } => {
                    self.perform_written(&call, effects, 1);
                    let Err((mut back, exit)) = self.enter(now, call, room, entry) else { return };
                    act = self.refused(now, &mut back, &exit, effects);
                    self.record_move(&mut back, &act, effects);
                    call = back;
                }
                CallAct::Stay => return self.settle(call, effects, 1),
            }
        }
    }

    /// Writes what a call has decided that moves on; one that stays or ends does so later.
    fn record_move(&self, call: &mut Call, act: &CallAct, effects: &mut Vec<Effect>) {
        if let CallAct::Dial(_) | CallAct::Join { .. } = act {
            self.record_turn(call, effects);
        }
    }

    /// Moves a call that has no place to its worker. Its requests are the `attempt`th of them.
    pub(super) fn settle(
        self: &Arc<Self>,
        call: Box<Call>,
        effects: &mut Vec<Effect>,
        attempt: u8,
    ) {
        self.settle_by(call, effects, |call, effects| self.perform(call, effects, attempt));
    }

    fn settle_by(
        self: &Arc<Self>,
        mut call: Box<Call>,
        effects: &mut Vec<Effect>,
        perform: impl FnOnce(&mut Call, &mut Vec<Effect>),
    ) {
        let worker = self.worker_of(call.id);
        // Before the orders are sent: a report may come at once.
        worker.expect(call.id, self);
        let settled = self.places.of_call(call.id).move_to(call.id, CallPlace::Worker);
        if let Err(cause) = settled {
            worker.forget(call.id);
            effects.clear();
            let ending = call.ending(&cause.into());
            return self.end(call, ending);
        }
        perform(&mut call, effects);
        worker.arrive(call);
    }

    /// Writes the events of a call that goes on, and its row, and performs its other effects in order. Its
    /// requests are the `attempt`th of them.
    pub(super) fn perform(
        self: &Arc<Self>,
        call: &mut Call,
        effects: &mut Vec<Effect>,
        attempt: u8,
    ) {
        self.record_turn(call, effects);
        self.perform_written(call, effects, attempt);
    }

    /// As [`Registry::perform`], for a call that ends next.
    pub(super) fn perform_last(self: &Arc<Self>, call: &Call, effects: &mut Vec<Effect>) {
        let mut events = Vec::new();
        take_events(call, effects, 0, &mut events);
        self.record(events, Vec::new());
        self.perform_written(call, effects, 1);
    }

    /// Performs the effects of a call in order; its events are written.
    pub(super) fn perform_written(
        self: &Arc<Self>,
        call: &Call,
        effects: &mut Vec<Effect>,
        attempt: u8,
    ) {
        for effect in effects.drain(..) {
            let (recipient, request) = match effect {
                Effect::Begin { step } => {
                    self.note_element(call, step);
                    continue;
                }
                Effect::Record { number, options } => {
                    self.record_element(call, number, &options);
                    continue;
                }
                Effect::StopRecording { number, why } => {
                    self.stop_element(call.id, number, why);
                    continue;
                }
                Effect::Audio(order) => {
                    self.audio(order);
                    continue;
                }
                Effect::Signal(order) => {
                    self.signal(order);
                    continue;
                }
                Effect::Publish(_) => unreachable!("`take_events` has taken them"),
                Effect::Fetch { number, request } => {
                    let (url, purpose) = (without_query(&request.url).into(), request.purpose);
                    self.observe(Observed::Fetching { call: call.id, url, purpose });
                    (DocumentRecipient::Call { number }, request)
                }
                Effect::Notify(request) => (DocumentRecipient::Nobody, request),
            };
            let (account, party) = (call.account.clone(), call.party.clone());
            let status = call.status();
            let call = call.id;
            let fetch = DocumentFetch { account, call, party, status, recipient, request, attempt };
            self.fetch(fetch);
        }
    }
}
