/** Events: what happens to calls and rooms, live. */
import { useSignal } from "@preact/signals";
import { Curl } from "../parts/bits.tsx";
import { Cell, Grid } from "../parts/grid.tsx";
import type { Event } from "../model.ts";
import { go, toCall, toRoom } from "../router.ts";
import { below, curl } from "../session.ts";
import { events, feed, version } from "../store.ts";

const COLUMNS = [
  { name: "time", className: "c-time" },
  { name: "event", className: "c-event" },
  { name: "room", className: "c-room" },
  { name: "caller", className: "c-caller" },
  { name: "cause", className: "c-cause" },
];

export function EventsPage() {
  version.value;
  const room = useSignal("");
  const text = useSignal("");
  const held = useSignal<Event[] | null>(null);
  const words = text.value.toLowerCase();
  const fits = ({ event, data }: Event) =>
    (!room.value || data.ConferenceName === room.value) &&
    (!words || `${event} ${data.From ?? ""} ${data.CallerName ?? ""} ${data.CallUUID ?? ""}`.toLowerCase().includes(words));
  const all = held.value ?? events;
  const rows = all.filter(fits);
  const path = below(`Events/${room.value ? `?conference=${encodeURIComponent(room.value)}` : ""}`);
  return (
    <section class="events">
      <header class="title">
        <h1>Events</h1>
        <input type="search" aria-label="Room" placeholder="Room" value={room.value} onInput={(e) => (room.value = e.currentTarget.value)} />
        <input type="search" aria-label="Event, caller or call" placeholder="Event, caller or call" value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
        <button type="button" aria-pressed={held.value !== null} onClick={() => (held.value = held.value ? null : [...events])}>
          {held.value ? "Continue" : "Pause"}
        </button>
        <Curl text={`${curl({ method: "GET", path })} -N`} />
      </header>
      {rows.length === 0 && (
        <p class="empty">
          {all.length > 0 ? "No event fits the filter." : feed.value.state === "live" ? "Waiting for events. The stream is open." : "The stream is not open."}
        </p>
      )}
      <Grid
        label="Events"
        className="log"
        rows={rows}
        keyOf={(it) => it.id}
        columns={COLUMNS}
        onKey={(key, it) => {
          if (key !== "Enter" || !it?.data.CallUUID) return false;
          go(toCall(it.data.CallUUID));
          return true;
        }}
        cells={({ event, data, at }, isActive) => (
          <>
            <Cell className="c-time" title={data.Time}>
              {data.Time?.slice(11, 23) ?? new Date(at).toISOString().slice(11, 23)}
            </Cell>
            <Cell className="c-event">{event}</Cell>
            <Cell className="c-room">
              {data.ConferenceName && (
                <a href={toRoom(data.ConferenceName)} tabIndex={isActive ? 0 : -1}>
                  {data.ConferenceName}
                </a>
              )}
            </Cell>
            <Cell className="c-caller">
              {data.CallUUID && (
                <a href={toCall(data.CallUUID)} tabIndex={isActive ? 0 : -1}>
                  {data.CallerName || data.From || data.CallUUID.slice(0, 8)}
                </a>
              )}
            </Cell>
            <Cell className="c-cause">{[data.ConferenceExitCause ?? data.HangupCauseName, data.ConferenceExitReason].filter(Boolean).join(": ")}</Cell>
          </>
        )}
      />
    </section>
  );
}
