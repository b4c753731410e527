//! Recovery: the rows of calls and registrations, and the calls that a later process makes of them.
//!
//! A call has a row from its answer on, and until the far end knows that it is over: the row is written
//! before the 200, the ACK or any later message leaves, and before the engine is told. While it rings, its
//! row is the refusal that a later process sends.

use std::{net::SocketAddr, time::Instant};

use uuid::Uuid;

use super::{
    agent::{Agent, Effects},
    call::{LivenessCheck, SipCall, SipPhase},
    dialog_row::{DialogRow, RestoredCall},
    effect::TlsName,
    keep_up::tls_name,
    registrar_row::RegistrationRow,
    request::{Hop, Transport},
    resolve::ResolvedAddress,
    ringing_row::RingingRow,
    settings::Settings,
};
use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    media::{BackendRow, BackendRowKind},
};

/// The default port of SIP over TLS (RFC 3261, 19.1.2).
const PORT_TLS: u16 = 5061;

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
    /// Whether its far end is asked if it is still there. It is in any case if the port is another one.
    pub is_checked: bool,
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
            let is_ringing = |it: &SipCall| matches!(it.phase, SipPhase::Ringing(_));
            // It does not change until the answer.
            if row.is_some_and(is_ringing) && self.calls.has_row(id) {
                continue;
            }
            let body = row.and_then(|it| self.row_of(it, clock));
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

    fn row_of(&self, call: &SipCall, clock: BootClock) -> Option<Vec<u8>> {
        if let SipPhase::Ringing(ringing) = &call.phase {
            return RingingRow::of(ringing, &call.dialog.local_tag).map(|it| it.write());
        }
        let row = DialogRow::of(call, self.usage.of_call(call.id), clock);
        row.map(|it| it.write())
    }

    /// Refuses a call that an earlier process has not answered; `way` finds the way to its far end.
    ///
    /// # Errors
    ///
    /// Why the row is of no use.
    pub fn refuse_unanswered(
        &mut self,
        now: Instant,
        body: &[u8],
        way: &dyn Fn(&Hop) -> Option<Hop>,
        effects: &mut Effects,
    ) -> Result<(), String> {
        let row = RingingRow::read(body)?;
        let hop = way(&row.hop()).ok_or("no socket reaches its far end")?;
        let (key, refusal) = row.restore();
        let Some(server) = self.servers.resume(key, hop) else { return Ok(()) };
        self.servers.reply(now, server, (503, true), refusal, &mut self.timers, effects);
        Ok(())
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
        let DialogToRestore { call: id, row, hop, port, is_checked } = dialog;
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
        let check = LivenessCheck { at: None, is_sent: false, has_moved };
        call.check = (is_checked || has_moved).then_some(check);
        self.dialogs.insert(call.dialog.local_tag.clone(), id);
        self.calls.insert(id, call);
        self.calls.note_row(id, Some(&written));
        trunk.into_iter().for_each(|it| self.usage.restore(id, it));
        if is_ending || port.is_none() {
            self.send_bye(now, id, None, effects);
            return Ok(false);
        }
        if hop.transport.is_stream() {
            self.liveness.adrift.insert(id, is_checked);
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

/// The server of a trunk that a dialog goes on with over a connection of ours, and whom TLS must reach there:
/// where the call was sent, or what a trunk that has called us says of itself. None: the far end must
/// connect again.
pub(super) fn server_of(
    row: &DialogRow,
    settings: &Settings,
) -> Option<(ResolvedAddress, Option<TlsName>)> {
    let old = row.hop.restore();
    let (trunk, address) = match row.trunk() {
        Some(name) => (settings.trunks.iter().find(|it| *it.name == *name)?, old.remote),
        None => {
            let port = if old.transport == Transport::Tls { PORT_TLS } else { super::PORT_DEFAULT };
            (settings.trunk_at(old.remote.ip())?, row.target_address(port)?)
        }
    };
    let trunk = trunk.outbound.as_ref()?;
    let mut targets = trunk.targets.iter().filter(|it| it.transport() == Some(old.transport));
    let domain_of = |it| trunk.domain_of(it);
    let host = row.remote_host();
    let domain = targets.clone().map(domain_of).find(|it| Some(it) == host.as_ref());
    let domain = domain.or_else(|| targets.next().map(domain_of))?;
    let to = ResolvedAddress { transport: old.transport, address };
    Some((to, tls_name(&to, &domain, trunk)))
}

/// The call of a row.
pub fn call_of(row: &BackendRow) -> CallId {
    CallId(Uuid::from_u128(row.id))
}
