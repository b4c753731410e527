//! Everything at once, for as long as one likes: joins, leaves, kicks and mutes; and whether
//! nothing of it is left behind.

use std::{mem, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio::time::sleep;

use super::{
    Bench,
    churn::{Churn, HOME},
    filled::{Crowd, Shape, kick},
    link::Link,
    load::{drive, now},
    report::Row,
    target::{self, Fittings, Site},
};
use crate::cdr::store::RECORDS_MAX;

const ROOMS: u32 = 100;
/// If nobody says how long.
const SECONDS: u16 = 60;
/// What an allocator holds back differs from run to run; what is lost with each call is much more
/// in a soak.
const GROWTH_MAX: f64 = 1.1;
/// What has ended is gone within this: a phone still hears its goodbye.
const SETTLED_WAIT_MAX: Duration = Duration::from_secs(20);
/// Between two looks at the gauges.
const LOOK: Duration = Duration::from_millis(50);

/// Joins, leaves, kicks and mutes go on; then there are as many calls, members and rooms as before,
/// and as much memory. At the end there are none.
pub(super) async fn soak(bench: &mut Bench) -> Result<()> {
    let time = Duration::from_secs(bench.flags.seconds.unwrap_or(SECONDS).into());
    // A connection never finds all rooms busy.
    let rooms = bench.flags.rooms.unwrap_or(ROOMS).max(bench.flags.connections.into());
    let fittings = Fittings { end: "", ..Fittings::default() };
    let site = Site::open_with(rooms, &fittings).await?;
    let shape = Shape { rooms, members: HOME as u32 };
    let mut crowd = Crowd::gather(site, shape, bench.connections()).await?;
    let members = rooms * shape.members;
    let full = Gauges { calls: members, conferences: rooms, members };

    // What is kept of calls that are over has its bounds; memory grows until it has reached them.
    bench.say("soak: until as many calls are over as records are kept of");
    let mut churn = Churn::new(mem::take(&mut crowd.rooms), now() + time, RECORDS_MAX);
    let pace = bench.pace(None);
    drive(crowd.site.engine.http, pace, &mut churn).await?;
    let is_warm = RECORDS_MAX <= churn.done.over();
    full.reached(&crowd.site).await?;
    let before = crowd.site.engine.rss();

    bench.say(&format!("soak: {} s in {rooms} rooms of {HOME}", time.as_secs()));
    let mut churn = Churn::new(churn.into_rooms(), now() + time, usize::MAX);
    let cpu = crowd.site.engine.cpu();
    let taken = drive(crowd.site.engine.http, pace, &mut churn).await?;
    let cpu = crowd.site.engine.cpu() - cpu;
    full.reached(&crowd.site).await?;
    let after = crowd.site.engine.rss();
    let mut link = Link::open(crowd.site.engine.http).await?;
    crowd.heard(&mut link, churn.kicked.make_contiguous()).await?;

    let mut row = Row::new(&format!("soak: {rooms} rooms of {HOME}"), &taken).cpu(cpu);
    row = row.note(churn.done.to_string());
    row = row.note(format!("RSS {} → {}", mib(before), mib(after)));
    row = match is_warm {
        true => row.at_most(after as f64 / before as f64, "of the RSS at its start", GROWTH_MAX),
        false => row.note("too short to tell whether memory grows".to_owned()),
    };
    clear(&crowd.site, rooms).await?;
    bench.report.add(row.note(format!("{} once all are gone", mib(crowd.site.engine.rss()))));
    Ok(())
}

/// All rooms are emptied, and nothing is left of them.
async fn clear(site: &Site, rooms: u32) -> Result<()> {
    let (mut link, mut request) = (Link::open(site.engine.http).await?, Vec::new());
    for room in 0..rooms {
        kick(&mut request, room, "all");
        ensure!(link.ask(&request).await?.status == 202, "room-{room} cannot be emptied");
    }
    Gauges::default().reached(site).await
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// What `/metrics` tells of now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Gauges {
    calls: u32,
    conferences: u32,
    members: u32,
}

impl Gauges {
    fn read(page: &str) -> Result<Self> {
        let gauge = |name: &str| -> Result<u32> {
            let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            Ok(line.with_context(|| format!("/metrics has no {name}"))?.parse()?)
        };
        Ok(Self {
            calls: gauge("conflow_calls")?,
            conferences: gauge("conflow_conferences")?,
            members: gauge("conflow_members")?,
        })
    }

    /// Waits until the engine has come to these.
    async fn reached(self, site: &Site) -> Result<()> {
        let (mut link, mut request, begin) =
            (Link::open(site.engine.http).await?, Vec::new(), now());
        target::metrics(&mut request);
        loop {
            let found = Self::read(str::from_utf8(link.ask(&request).await?.body)?)?;
            if found == self {
                return Ok(());
            }
            let is_late = SETTLED_WAIT_MAX <= begin.elapsed();
            ensure!(!is_late, "{found:?} are left, and there should be {self:?}");
            sleep(LOOK).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_those_of_their_names() {
        let page = "# HELP conflow_calls Calls that are up.\nconflow_calls_total{a=\"b\"} 9\n\
                    conflow_calls 1\nconflow_conferences 2\nconflow_members_total 8\nconflow_members 3\n";
        let found = Gauges::read(page).unwrap();
        assert_eq!(found, Gauges { calls: 1, conferences: 2, members: 3 });
        let error = Gauges::read("conflow_calls 1\n").unwrap_err().to_string();
        assert_eq!(error, "/metrics has no conflow_conferences");
    }
}
