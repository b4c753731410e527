//! Rows of the SIP driver, and the calls of an earlier process.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use tokio::time::Instant as Clock;

use super::SipDriver;
use crate::{
    base::{boot_clock::BootClock, ids::CallId},
    media::{BackendRow, BackendRowKind, BackendRows},
    sip::{
        dialog_row::DialogRow,
        recovery::{DialogToRestore, call_of, server_of},
        request::{Hop, Transport},
        ringing_row::RingingRow,
        sockets::SipSockets,
        stream,
    },
};

/// Rows that one frame takes.
const FRAME_ROWS_MAX: usize = 64;

/// Connections of an earlier process by number and far end, and the numbers that stand for them now.
type Links = BTreeMap<(u64, SocketAddr), u64>;

impl SipDriver {
    /// Keeps rows of answered calls and of registrations from now on. Must be called before the first
    /// call.
    #[must_use]
    pub fn keeping(mut self, rows: Arc<dyn BackendRows>, clock: BootClock) -> Self {
        self.agent.keep_rows();
        self.keeps_rows.store(true, Ordering::Relaxed);
        self.rows = Some((rows, clock));
        self
    }

    /// Goes on with the calls and registrations of an earlier process. `legs` are the addresses of the
    /// legs that have been restored. Returns the calls that stand. The other legs are closed,
    /// dialogs without a leg get a BYE, and calls that rang a 503.
    ///
    /// Nothing is sent before [`SipDriver::run`]; that also asks the far ends if they are still there,
    /// unless the earlier process has handed its calls over. `before` is called
    /// before each call is restored.
    pub fn restore(
        &mut self,
        rows: &[BackendRow],
        legs: &BTreeMap<CallId, SocketAddr>,
        clock: BootClock,
        before: &dyn Fn(CallId),
    ) -> BTreeSet<CallId> {
        let now = Clock::now().into_std();
        let (mut standing, mut links, mut useless) = (BTreeSet::new(), Links::new(), Vec::new());
        for row in rows {
            let BackendRow { kind, id: _, body: Some(body) } = row else { continue };
            match kind {
                BackendRowKind::Dialog if RingingRow::is_one(body) => {
                    before(call_of(row));
                    let (sockets, effects) = (&self.sockets, &mut self.effects);
                    let way = |hop: &Hop| way_of(sockets, hop);
                    if let Err(error) = self.agent.refuse_unanswered(now, body, &way, effects) {
                        tracing::warn!(call = %call_of(row), "it cannot be refused: {error}");
                    }
                    useless.push(BackendRow { body: None, ..row.clone() });
                }
                BackendRowKind::Dialog => {
                    before(call_of(row));
                    match self.restore_call(row, body, legs, &mut links, clock) {
                        Ok(stands) => standing.extend(stands),
                        Err(error) => {
                            tracing::warn!(call = %call_of(row), "it cannot be restored: {error}");
                            useless.push(BackendRow { body: None, ..row.clone() });
                        }
                    }
                }
                BackendRowKind::Registration => {
                    let sockets = &self.sockets;
                    let way = |hop: &Hop| way_of(sockets, hop);
                    if let Err(error) = self.agent.restore_registration(now, body, &way, clock) {
                        tracing::warn!("a registration cannot be restored: {error}");
                        useless.push(BackendRow { body: None, ..row.clone() });
                    }
                }
                BackendRowKind::Leg | BackendRowKind::Playing => (),
            }
        }
        for call in legs.keys().filter(|it| !standing.contains(it)) {
            self.legs.close(*call);
        }
        if let Some((rows, _)) = self.rows.as_ref().filter(|_| !useless.is_empty()) {
            rows.write(&useless);
        }
        self.keep_rows();
        standing
    }

    fn restore_call(
        &mut self,
        row: &BackendRow,
        body: &[u8],
        legs: &BTreeMap<CallId, SocketAddr>,
        links: &mut Links,
        clock: BootClock,
    ) -> Result<Option<CallId>, String> {
        let (call, now) = (call_of(row), Clock::now().into_std());
        let row = DialogRow::read(body)?;
        let old = row.hop.restore();
        let hop = match old.transport {
            Transport::Udp => way_of(&self.sockets, &old).ok_or("no socket reaches its far end")?,
            // Its connection has ended. That to a trunk is opened again; for others, a request of ours
            // opens another one with this number, which TLS does not allow.
            Transport::Tcp | Transport::Tls => self.way_to_trunk(&row).unwrap_or_else(|| {
                let link = links.entry((old.link, old.remote));
                Hop { link: *link.or_insert_with(|| stream::new_link(&self.sockets)), ..old }
            }),
        };
        let (port, is_checked) = (legs.get(&call).copied(), !self.is_handed_over);
        let dialog = DialogToRestore { call, row, hop, port, is_checked };
        let stands = self.agent.restore(now, dialog, clock, &mut self.effects)?;
        if !stands {
            tracing::warn!(%call, "its sound is lost, or it was being ended: its far end gets a BYE");
        }
        Ok(stands.then_some(call))
    }

    /// The way to the trunk of a dialog, over a connection of ours that is opened if there is none.
    fn way_to_trunk(&self, row: &DialogRow) -> Option<Hop> {
        let settings = self.sockets.settings.read().clone();
        let (to, tls) = server_of(row, &settings)?;
        self.sockets.way_to(to, tls)
    }

    /// Writes the rows that have changed. No effect is performed before.
    pub(super) fn keep_rows(&mut self) {
        let Some((rows, clock)) = &self.rows else { return };
        // A turn has a few; the restored calls of which something has changed may be many.
        self.agent.take_rows(*clock).chunks(FRAME_ROWS_MAX).for_each(|frame| rows.write(frame));
    }
}

/// The hop over UDP that an earlier process had, over a socket of this one: the one with its address, or
/// else any of the same IP version.
fn way_of(sockets: &SipSockets, hop: &Hop) -> Option<Hop> {
    let bound = sockets.datagrams.iter().map(|it| it.local_addr().ok());
    let bound = bound.enumerate().filter_map(|(link, it)| Some((link as u64, it?)));
    let bound = bound.filter(|(_, it)| it.is_ipv4() == hop.remote.is_ipv4());
    let (link, at) = bound.max_by_key(|(_, it)| {
        let has_ip = it.ip() == hop.local.ip() || it.ip().is_unspecified();
        (has_ip, it.port() == hop.local.port())
    })?;
    let ip = if at.ip().is_unspecified() { hop.local.ip() } else { at.ip() };
    Some(Hop { link, local: SocketAddr::new(ip, at.port()), ..*hop })
}
