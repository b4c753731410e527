//! Recovery: the rows of calls and registrations, and the calls that a later process makes of them.
//!
//! A call has a row from its answer on, and until the far end knows that it is over: the row is written
//! before the 200, the ACK or any later message leaves, and before the engine is told.

use std::{net::SocketAddr, time::Instant};

use uuid::Uuid;

use super::{
    agent::{Agent, Effects},
    call::LivenessCheck,
    dialog_row::{DialogRow, RestoredCall},
    registrar_row::RegistrationRow,
    request::Hop,
};
use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    media::{BackendRow, BackendRowKind},
};

/// The row of a call, and what it has in this process.
pub struct DialogToRestore {
    /// The engine's id of the call.
    pub call: CallId,
    /// What is known of its dialog.
    pub row: DialogRow,
    /// The hop of the dialog in this process.
    pub hop: Hop,
    /// Its RTP port. None: it has no sound, so that it ends.
    pub port: Option<SocketAddr>,
}

impl Agent {
    /// Keeps rows from now on: [`Self::take_rows`] must follow each command.
    pub fn keep_rows(&mut self) {
        self.calls.keep_rows();
        self.registrar.keep_rows();
    }

    /// Returns the rows that have changed, to be written before any effect is performed.
    pub fn take_rows(&mut self, clock: BootClock) -> Vec<BackendRow> {
        let mut rows = Vec::new();
        for id in self.calls.take_touched() {
            let row = self.calls.get(&id);
            let row = row.and_then(|it| DialogRow::of(it, self.usage.of_call(id), clock));
            let body = row.map(|it| it.write());
            if self.calls.note_row(id, body.as_deref()) {
                rows.push(BackendRow::of_call(BackendRowKind::Dialog, id, body));
            }
        }
        rows.extend(self.registrar.take_rows(clock).into_iter().map(|(id, row)| BackendRow {
            kind: BackendRowKind::Registration,
            id,
            body: row.map(|it| it.write()),
        }));
        rows
    }

    /// Goes on with a call of an earlier process. Returns whether it stands: one without sound, and one
    /// that the earlier process was ending, get a BYE.
    ///
    /// # Errors
    ///
    /// Why the row is of no use.
    pub fn restore(
        &mut self,
        now: Instant,
        dialog: DialogToRestore,
        clock: BootClock,
        effects: &mut Effects,
    ) -> Result<bool, String> {
        let DialogToRestore { call: id, row, hop, port } = dialog;
        let (is_ending, written) = (row.is_ending, row.write());
        let RestoredCall { mut call, trunk } = row.restore(now, id, hop, clock)?;
        if self.dialogs.contains_key(&call.dialog.local_tag) {
            return Err("another call has its tag".to_owned());
        }
        let mut has_moved = false;
        if let (Some(port), Some(media)) = (port, &mut call.media) {
            let us = self.settings.address_for(port.ip(), hop.remote.ip());
            has_moved = media.move_to(SocketAddr::new(us, port.port()));
        }
        call.check = Some(LivenessCheck { at: None, is_sent: false, has_moved });
        self.dialogs.insert(call.dialog.local_tag.clone(), id);
        self.calls.insert(id, call);
        self.calls.note_row(id, Some(&written));
        trunk.into_iter().for_each(|it| self.usage.restore(id, it));
        if is_ending || port.is_none() {
            self.send_bye(now, id, None, effects);
            return Ok(false);
        }
        if hop.transport.is_stream() {
            self.liveness.adrift.insert(id);
        }
        self.rearm(id);
        Ok(true)
    }

    /// Asks the far ends of restored calls whether they are still there, those first whom another RTP
    /// port must be told.
    pub fn check_restored(&mut self, now: Instant) {
        let waits = |moved: bool| {
            let of = move |it: &LivenessCheck| it.has_moved == moved && it.at.is_none();
            self.calls.iter().filter(move |(_, it)| it.check.as_ref().is_some_and(of))
        };
        let calls = waits(true).chain(waits(false)).map(|(id, _)| *id).collect();
        self.begin_checks(now, calls);
    }

    /// Takes the registration of a phone from an earlier process, unless it has expired.
    ///
    /// # Errors
    ///
    /// Why the row is of no use.
    pub fn restore_registration(
        &mut self,
        now: Instant,
        body: &[u8],
        way: &dyn Fn(&Hop) -> Option<Hop>,
        clock: BootClock,
    ) -> Result<(), String> {
        let (user, bindings) = RegistrationRow::read(body)?.restore(way, clock);
        self.registrar.restore(now, &user, bindings);
        self.watch_registrar();
        Ok(())
    }
}

/// The call of a row.
pub fn call_of(row: &BackendRow) -> CallId {
    CallId(Uuid::from_u128(row.id))
}
