/** Kick panel: who would leave and where each would go on, before anybody is kicked. */
import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { closePanel, type Departure, goesOnAt, kick, type KickForm, people, type Who } from "../acts.ts";
import { curl, Refused, send } from "../session.ts";
import { lastCurl, model, say, touch, version } from "../store.ts";
import { Curl, Field } from "./bits.tsx";

const PREVIEW_AFTER = 150;
const ROWS_SHOWN = 200;

interface Preview {
  departures: Departure[];
  error: string;
  isOld: boolean;
}

const TARGETS: [KickForm["then"], string, string][] = [
  ["next", "the next element", ""],
  ["element", "an element, by its id", "closing"],
  ["xml", "other XML", "<Response><Speak>Goodbye</Speak></Response>"],
  ["url", "a URL", "https://app.example/after-kick"],
  ["hangup", "nowhere: hang up", ""],
];

export function KickPanel({ room, who }: { room: string; who: Who }) {
  const form = useSignal<KickForm>({ reason: "", then: "next", value: "", ban: "" });
  const preview = useSignal<Preview>({ departures: [], error: "", isOld: true });
  const isBusy = useSignal(false);
  const first = useRef<HTMLInputElement>(null);
  useEffect(() => first.current?.focus(), [room, who]);

  const { reason, then, value, ban } = form.value;
  version.value;
  const changed = model.rooms.get(room)?.changed ?? 0;
  const needsValue = then === "element" || then === "xml" || then === "url";
  const isReady = !needsValue || value.trim() !== "";

  useEffect(() => {
    if (!isReady) {
      preview.value = { departures: [], error: "", isOld: true };
      return;
    }
    preview.value = { ...preview.peek(), isOld: true };
    const abort = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const request = kick(room, who, form.peek(), true);
        const { would_leave } = await send<{ would_leave: Departure[] }>(request, abort.signal);
        preview.value = { departures: would_leave, error: "", isOld: false };
      } catch (error) {
        if (abort.signal.aborted) return;
        preview.value = { departures: [], error: (error as Error).message, isOld: false };
      }
    }, PREVIEW_AFTER);
    return () => {
      clearTimeout(timer);
      abort.abort();
    };
  }, [room, who, reason, then, value, ban, changed]);

  const set = (change: Partial<KickForm>) => (form.value = { ...form.value, ...change });
  const { departures, error, isOld } = preview.value;
  const errorOf = (name: string) => (error.startsWith(name) ? error : "");
  const isKnown = ["reason", "then", "ban_seconds"].some((it) => error.startsWith(it));

  async function submit(event: SubmitEvent) {
    event.preventDefault();
    if (isBusy.value || error || !isReady) return;
    isBusy.value = true;
    const request = kick(room, who, form.value, false);
    lastCurl.value = curl(request);
    try {
      const answer = await send<{ member_id: string | string[] }>(request);
      say(result(departures, answer.member_id));
      touch();
      closePanel();
    } catch (refusal) {
      const { message, status } = refusal as Refused;
      if (status === 400) preview.value = { departures: [], error: message, isOld: false };
      else say(status === 404 ? "Nobody was kicked: they have left the room." : message, true);
    }
    isBusy.value = false;
  }

  const kicked = departures.filter((it) => it.cause === "kicked").length;
  return (
    <form class="panel" aria-label={`Kick ${people(who)}`} onSubmit={submit}>
      <h2>
        Kick {people(who)} <small>of {room}</small>
      </h2>
      <Field label="Reason" hint="in events and callbacks" error={errorOf("reason")}>
        <input ref={first} value={reason} maxLength={512} placeholder="too loud" onInput={(e) => set({ reason: e.currentTarget.value })} />
      </Field>
      <Field label="Goes on at" error={needsValue ? "" : errorOf("then")}>
        <select value={then} onChange={(e) => set({ then: e.currentTarget.value as KickForm["then"], value: "" })}>
          {TARGETS.map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </Field>
      {needsValue && (
        <Field label={then === "element" ? "Element id" : then === "xml" ? "XML" : "URL"} error={errorOf("then")}>
          <input
            value={value}
            class="code"
            placeholder={TARGETS.find(([name]) => name === then)?.[2]}
            onInput={(e) => set({ value: e.currentTarget.value })}
          />
        </Field>
      )}
      <Field label="Ban" hint="seconds; empty: may come back at once" error={errorOf("ban_seconds")}>
        <input value={ban} inputMode="numeric" pattern="[0-9]*" placeholder="none" onInput={(e) => set({ ban: e.currentTarget.value })} />
      </Field>
      <h3>
        {departures.length === 0 ? "Preview" : `${departures.length} would leave`}
        {isOld && isReady && <small> …</small>}
      </h3>
      {error && !isKnown && (
        <p class="bad" role="alert">
          {error}
        </p>
      )}
      {!isReady && <p class="muted">Say where they go on.</p>}
      {departures.length > 0 && <Departures all={departures} isOld={isOld} />}
      <div class="buttons">
        <button type="submit" class="danger" disabled={isBusy.value || error !== "" || !isReady || (departures.length === 0 && !isOld)}>
          Kick {kicked || ""}
        </button>
        <button type="button" onClick={closePanel}>
          Cancel
        </button>
        <span class="muted">Esc cancels</span>
      </div>
      <Curl text={curl(kick(room, who, form.value, false))} />
    </form>
  );
}

export function Departures({ all, isOld }: { all: Departure[]; isOld: boolean }) {
  return (
    <div class={`preview ${isOld ? "old" : ""}`} role="region" aria-label="Preview" tabIndex={0}>
      <table>
        <thead>
          <tr>
            <th>id</th>
            <th>who</th>
            <th>cause</th>
            <th>goes on at</th>
          </tr>
        </thead>
        <tbody>
          {all.slice(0, ROWS_SHOWN).map((it) => (
            <tr key={it.member_id}>
              <td>{it.member_id}</td>
              <td class="text">{model.callers.get(it.call_uuid)?.from ?? it.call_uuid.slice(0, 8)}</td>
              <td>
                {it.cause}
                {it.banned && ", banned"}
              </td>
              <td class="text">{goesOnAt(it)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {all.length > ROWS_SHOWN && <p class="muted">and {all.length - ROWS_SHOWN} more</p>}
    </div>
  );
}

/** What a kick has done, and how it differs from what its preview said. */
function result(expected: Departure[], kicked: string | string[]): string {
  const wanted = expected.filter((it) => it.cause === "kicked");
  const ids = new Set(Array.isArray(kicked) ? kicked : kicked.split(","));
  const only = wanted.length === 1 && wanted[0] ? `, and goes on at ${goesOnAt(wanted[0])}` : "";
  if (ids.has("all")) return `All were kicked: ${wanted.length}${only}.`;
  const missing = wanted.filter((it) => !ids.has(it.member_id)).map((it) => it.member_id);
  const left = missing.length > 0 ? ` ${missing.join(", ")} had left before.` : "";
  return ids.size === 1 ? `Member ${[...ids][0]} was kicked${only}.${left}` : `${ids.size} members were kicked.${left}`;
}

/** Asks what a plain kick of one member would do, in a few words. */
export async function forecast(room: string, member: number, signal: AbortSignal): Promise<string> {
  const form: KickForm = { reason: "", then: "next", value: "", ban: "" };
  try {
    const { would_leave } = await send<{ would_leave: Departure[] }>(kick(room, [member], form, true), signal);
    const own = would_leave.find((it) => it.member_id === String(member));
    const others = would_leave.filter((it) => it !== own);
    const words = own ? `A kick: goes on at ${goesOnAt(own)}` : "Nobody would leave";
    const first = others[0];
    return first ? `${words}; ${others.length} more would leave (${first.cause}, ${goesOnAt(first)})` : words;
  } catch (error) {
    return (error as Error).message;
  }
}
