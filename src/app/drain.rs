//! The planned end: calls end by themselves, then are asked to, then are ended.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    actor::{house::House, reception::Reception},
    flow::Cause,
};

/// How long goodbyes may play.
const GOODBYES_MAX: Duration = Duration::from_secs(5);
/// A call that is hung up has nothing left to wait for.
const HANG_UPS_MAX: Duration = Duration::from_secs(1);
/// Nobody minds being done so much later.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Takes no more calls, and returns when there are none left. `patience` is how long calls may go
/// on as if nothing were.
pub(super) async fn drain(house: &House, reception: &Reception, patience: Duration) {
    reception.close();
    if !patience.is_zero() && 0 < house.call_count() {
        let (calls, seconds) = (house.call_count(), patience.as_secs());
        tracing::info!("{calls} calls have {seconds} seconds to end by themselves");
        wait(house, patience).await;
    }

    // From here on, nobody gets into a room any more.
    if 0 < house.call_count() {
        tracing::info!("{} calls are asked to leave", house.call_count());
    }
    house.close();
    wait(house, GOODBYES_MAX).await;

    let calls = house.calls();
    if !calls.is_empty() {
        tracing::info!("{} calls are hung up", calls.len());
        calls.into_iter().for_each(|call| house.hang_up(call, Cause::Drained));
        wait(house, HANG_UPS_MAX).await;
    }
    match house.call_count() {
        0 => tracing::info!("no call is left"),
        calls => tracing::error!("{calls} calls do not end"),
    }
}

/// Until there are no calls, or the time is over.
async fn wait(house: &House, at_most: Duration) {
    let end = Instant::now() + at_most;
    while 0 < house.call_count() && Instant::now() < end {
        sleep(LOOK_EVERY).await;
    }
}
