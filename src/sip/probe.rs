//! Probes: OPTIONS to every address of every target of the trunks, which show whether a server answers.
//!
//! An address is up until two probes in a row have found no answer, and again from the first answer on.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    ids::SipIds,
    note::SipNote,
    request::Hop,
    resolve::{NameQuery, ResolvedAddress},
    trunk::{OutboundTrunk, TrunkTarget},
};

/// The targets that are probed, by number.
#[derive(Debug, Default)]
pub struct Probes {
    rows: BTreeMap<u64, ProbedTarget>,
    last: u64,
}

/// A target that is probed.
#[derive(Debug)]
pub struct ProbedTarget {
    /// The trunk's name in the configuration.
    pub trunk: Arc<str>,
    /// The trunk's settings when its probes began.
    pub settings: Arc<OutboundTrunk>,
    /// The target, one of the trunk's.
    pub target: TrunkTarget,
    interval: Duration,
    /// When the next probes are due, and when the name is resolved without any.
    probe_at: Instant,
    resolve_at: Instant,
    /// Whether probes follow the next answer about the name.
    is_due: bool,
    is_resolved: bool,
    addresses: Vec<ProbedAddress>,
}

#[derive(Debug)]
struct ProbedAddress {
    to: ResolvedAddress,
    /// Probes in a row without an answer.
    unanswered: u8,
    pending: Option<PendingProbe>,
}

/// A probe that waits for its answer.
#[derive(Debug)]
struct PendingProbe {
    hop: Hop,
    branch: String,
    until: Instant,
}

/// Probes in a row without an answer after which an address is down.
const UNANSWERED_MAX: u8 = 2;

/// Time for the answer to a probe, if the interval is longer. A probe is repeated meanwhile.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(10);

/// The longest time between questions about a name. The resolver answers from its cache until the
/// answer's TTL is over.
const RESOLVE_EVERY: Duration = Duration::from_secs(300);

impl ProbedAddress {
    fn is_up(&self) -> bool {
        self.unanswered < UNANSWERED_MAX
    }
}

impl Probes {
    /// Begins to probe the targets of a trunk, if it wants that, each at a time of its own.
    pub fn add(
        &mut self,
        now: Instant,
        trunk: &Arc<str>,
        settings: &Arc<OutboundTrunk>,
        ids: &mut SipIds,
    ) {
        let Some(interval) = settings.options_interval else { return };
        for target in &settings.targets {
            self.last += 1;
            let first = now + ids.part_of(interval);
            let row = ProbedTarget {
                trunk: trunk.clone(),
                settings: settings.clone(),
                target: target.clone(),
                interval,
                probe_at: first,
                resolve_at: first,
                is_due: false,
                is_resolved: false,
                addresses: Vec::new(),
            };
            self.rows.insert(self.last, row);
        }
    }

    /// Ends the probes of the trunks for which this returns false. Returns the branches of those that
    /// still wait for their answers.
    pub fn retain(&mut self, is_kept: impl Fn(&ProbedTarget) -> bool) -> Vec<String> {
        let mut ended = Vec::new();
        self.rows.retain(|_, row| {
            let is_kept = is_kept(row);
            if !is_kept {
                let pending = row.addresses.drain(..).filter_map(|it| it.pending);
                ended.extend(pending.map(|it| it.branch));
            }
            is_kept
        });
        ended
    }

    /// Whether calls should be sent to an address before those that are down. An address that is not
    /// probed counts as up.
    pub fn is_up(&self, to: &ResolvedAddress) -> bool {
        let mut all = self.rows.values().flat_map(|it| &it.addresses);
        all.all(|it| it.to != *to || it.is_up())
    }

    /// Whether no target of a trunk answers. A trunk that is not probed counts as up.
    pub fn is_trunk_down(&self, trunk: &str) -> bool {
        let mut of_trunk = self.targets().filter(|(it, _)| *it.trunk == *trunk).peekable();
        of_trunk.peek().is_some() && of_trunk.all(|(_, is_up)| !is_up)
    }

    /// The targets that are probed, and whether one of their addresses is up.
    pub fn targets(&self) -> impl Iterator<Item = (&ProbedTarget, bool)> {
        self.rows.values().map(|it| {
            let is_up = it.addresses.iter().any(ProbedAddress::is_up);
            (it, is_up || !it.is_resolved)
        })
    }

    /// Returns a target by its number.
    pub fn target(&self, id: u64) -> Option<&ProbedTarget> {
        self.rows.get(&id)
    }

    /// Returns when [`Self::tick`] is due.
    pub fn deadline(&self) -> Option<Instant> {
        let pending = self.rows.values().flat_map(|it| &it.addresses);
        let answers = pending.filter_map(|it| it.pending.as_ref().map(|it| it.until));
        let own = self.rows.values().map(|it| it.probe_at.min(it.resolve_at));
        own.chain(answers).min()
    }

    /// Handles what is due. Returns the questions about names to be asked, for [`Self::resolved`], and
    /// the branches of probes whose answers are not awaited any longer.
    pub fn tick(
        &mut self,
        now: Instant,
        ids: &mut SipIds,
        notes: &mut Vec<SipNote>,
    ) -> (Vec<(u64, NameQuery)>, Vec<String>) {
        let (mut questions, mut ended) = (Vec::new(), Vec::new());
        for (id, row) in &mut self.rows {
            let ProbedTarget { trunk, addresses, .. } = row;
            for it in addresses {
                if let Some(pending) = it.pending.take_if(|it| it.until <= now) {
                    ended.push(pending.branch);
                    count(trunk, it, false, notes);
                }
            }
            if now < row.probe_at.min(row.resolve_at) {
                continue;
            }
            if row.probe_at <= now {
                row.is_due = true;
                row.probe_at = now + ids.about(row.interval);
            }
            row.resolve_at = now + RESOLVE_EVERY;
            questions.push((*id, row.target.query()));
        }
        (questions, ended)
    }

    /// The addresses of a target are known. Returns those to be probed: the ways to them are for
    /// [`Self::sent`]. Without an answer, the addresses stay.
    pub fn resolved(&mut self, id: u64, found: &[ResolvedAddress]) -> Vec<ResolvedAddress> {
        let Some(row) = self.rows.get_mut(&id) else { return Vec::new() };
        row.is_resolved = true;
        if !found.is_empty() {
            // One that is gone while its probe waits is forgotten with the probe.
            row.addresses.retain(|it| found.contains(&it.to) || it.pending.is_some());
            for to in found {
                if !row.addresses.iter().any(|it| it.to == *to) {
                    row.addresses.push(ProbedAddress { to: *to, unanswered: 0, pending: None });
                }
            }
        }
        match std::mem::take(&mut row.is_due) {
            true => {
                let idle = row.addresses.iter().filter(|it| it.pending.is_none());
                idle.map(|it| it.to).collect()
            }
            false => Vec::new(),
        }
    }

    /// A probe has been sent.
    pub fn sent(&mut self, now: Instant, id: u64, to: &ResolvedAddress, hop: Hop, branch: String) {
        let Some(row) = self.rows.get_mut(&id) else { return };
        // It has ended before the next one is due, which may be 10 % earlier.
        let until = now + ANSWER_WAIT_MAX.min(row.interval * 4 / 5);
        if let Some(it) = row.addresses.iter_mut().find(|it| it.to == *to) {
            it.pending = Some(PendingProbe { hop, branch, until });
        }
    }

    /// A probe could not be sent: there is no way to its address.
    pub fn unsent(&mut self, id: u64, to: &ResolvedAddress, notes: &mut Vec<SipNote>) {
        let Some(ProbedTarget { trunk, addresses, .. }) = self.rows.get_mut(&id) else { return };
        if let Some(it) = addresses.iter_mut().find(|it| it.to == *to) {
            count(trunk, it, false, notes);
        }
    }

    /// A probe has its final response. Returns the address if it was down until now; None also if the
    /// branch is of no probe.
    pub fn replied(
        &mut self,
        branch: &str,
        code: u16,
        notes: &mut Vec<SipNote>,
    ) -> Option<ResolvedAddress> {
        // 404 and 405 are answers as well.
        self.end(|it| it.branch == branch, !matches!(code, 408 | 503), notes)
    }

    /// A connection has ended, and with it the probes over it.
    pub fn closed(&mut self, link: u64, notes: &mut Vec<SipNote>) -> Vec<String> {
        let rows = self.rows.values().flat_map(|it| &it.addresses);
        let over = rows.filter_map(|it| it.pending.as_ref()).filter(|it| it.hop.is_over(link));
        let branches: Vec<_> = over.map(|it| it.branch.clone()).collect();
        for branch in &branches {
            self.end(|it| it.branch == *branch, false, notes);
        }
        branches
    }

    /// An INVITE to this address has found no answer, which counts as one probe without an answer.
    pub fn was_silent(&mut self, to: &ResolvedAddress, notes: &mut Vec<SipNote>) {
        for ProbedTarget { trunk, addresses, .. } in self.rows.values_mut() {
            for it in addresses.iter_mut().filter(|it| it.to == *to) {
                count(trunk, it, false, notes);
            }
        }
    }

    fn end(
        &mut self,
        is_it: impl Fn(&PendingProbe) -> bool,
        is_answered: bool,
        notes: &mut Vec<SipNote>,
    ) -> Option<ResolvedAddress> {
        let rows = self.rows.values_mut();
        let mut all = rows.flat_map(|it| {
            let trunk = it.trunk.clone();
            it.addresses.iter_mut().map(move |it| (trunk.clone(), it))
        });
        let (trunk, it) = all.find(|(_, it)| it.pending.as_ref().is_some_and(&is_it))?;
        it.pending = None;
        let was_down = !it.is_up();
        count(&trunk, it, is_answered, notes);
        (was_down && it.is_up()).then_some(it.to)
    }
}

/// Counts the outcome of one probe.
fn count(trunk: &Arc<str>, it: &mut ProbedAddress, is_answered: bool, notes: &mut Vec<SipNote>) {
    let was_up = it.is_up();
    it.unanswered = if is_answered { 0 } else { it.unanswered.saturating_add(1) };
    let address = format!("{} over {}", it.to.address, it.to.transport.as_str());
    match (was_up, it.is_up()) {
        (true, false) => {
            let text = format!("{address} does not answer; calls try it last");
            notes.push(SipNote::of_trunk(trunk, true, text));
        }
        (false, true) => {
            notes.push(SipNote::of_trunk(trunk, false, format!("{address} answers again")));
        }
        (true, true) | (false, false) => {}
    }
}
