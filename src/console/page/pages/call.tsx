/** Call: what one call has done, element by element, why each was over, and what the caller heard. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { openPanel, panel } from "../acts.ts";
import { type Phone, sound } from "../model.ts";
import { Curl, duration, second } from "../parts/bits.tsx";
import { noteStep } from "../parts/first.tsx";
import { PanelOf } from "../parts/forms.tsx";
import { toCall, toRoom } from "../router.ts";
import { below, belowSim, curl, mayAct, type Refused, send, session } from "../session.ts";
import { act, model, say, type Step, version } from "../store.ts";

const READ_EVERY = 1_000;
const TICKS = 4;

type Facts = Record<string, string | number | null>;

interface Seen {
  facts: Facts | null;
  steps: Step[];
  dropped: number;
  phone: Phone | null;
  isLive: boolean;
  error: string;
}

async function orNull<T>(path: string, signal: AbortSignal): Promise<T | null> {
  try {
    return await send<T>({ method: "GET", path }, signal);
  } catch (error) {
    if ((error as Refused).status === 404) return null;
    throw error;
  }
}

async function read(call: string, signal: AbortSignal): Promise<Seen> {
  const [trace, live, phone] = await Promise.all([
    orNull<{ steps: Step[]; dropped: number }>(below(`Call/${call}/Trace/`), signal),
    orNull<Facts>(below(`Call/${call}/?status=live`), signal),
    session.value?.simulated_phones ? orNull<Phone>(belowSim(`Phone/${call}/`), signal) : null,
  ]);
  const facts = live ?? (await orNull<Facts>(below(`Call/${call}/`), signal));
  const error = trace || facts ? "" : "There is no such call: neither live, nor among those that are kept.";
  return { facts, steps: trace?.steps ?? [], dropped: trace?.dropped ?? 0, phone, isLive: live !== null, error };
}

export function CallPage({ call }: { call: string }) {
  version.value;
  const seen = useSignal<Seen | null>(null);
  useEffect(() => {
    noteStep("call");
    const abort = new AbortController();
    let timer = 0;
    const look = async () => {
      try {
        seen.value = await read(call, abort.signal);
      } catch (error) {
        if (abort.signal.aborted) return;
        const before = seen.peek();
        const message = (error as Error).message;
        seen.value = before ? { ...before, error: message } : { facts: null, steps: [], dropped: 0, phone: null, isLive: true, error: message };
      }
      // An ended call is read once more: its last step comes with its end.
      if (!abort.signal.aborted && seen.peek()?.isLive) timer = window.setTimeout(look, READ_EVERY);
    };
    void look();
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [call]);
  const it = seen.value;
  if (!it) return <p class="empty">Reading…</p>;
  const caller = model.callers.get(call);
  const { facts } = it;
  const from = String(facts?.from ?? facts?.from_number ?? caller?.from ?? "");
  const to = String(facts?.to ?? facts?.to_number ?? caller?.to ?? "");
  const room = caller?.state === "in" ? caller.room : null;
  const act = (what: "say" | "keys" | "transfer" | "hangup") => () => openPanel({ kind: "call", what, call });
  return (
    <div class={`call ${panel.value ? "with-panel" : ""}`}>
      <section>
        <header class="title">
          <h1 class="text">
            {from || call.slice(0, 8)} → {to}
          </h1>
          <span class="muted facts">
            {it.isLive ? "on the line" : `ended: ${facts?.hangup_cause_name ?? ""}`}
            {room !== null && (
              <>
                {" · in "}
                <a href={toRoom(room)}>{room}</a>
              </>
            )}
          </span>
          {mayAct() && it.isLive && (
            <span class="buttons">
              {room !== null && caller && (
                <button type="button" onClick={() => openPanel({ kind: "kick", room, who: [caller.member] })}>
                  Kick
                </button>
              )}
              <button type="button" onClick={act("say")}>
                Say
              </button>
              <button type="button" onClick={act("keys")}>
                Keys
              </button>
              <button type="button" onClick={act("transfer")}>
                Transfer
              </button>
              <button type="button" onClick={act("hangup")}>
                Hang up
              </button>
            </span>
          )}
        </header>
        {it.error && (
          <p class="bad" role="alert">
            {it.error}
          </p>
        )}
        {it.steps.length > 0 && (
          <>
            <h2>What the call did</h2>
            <Waterfall call={call} steps={it.steps} age={it.isLive ? ageOf(facts) : null} />
            {it.dropped > 0 && <p class="muted">{it.dropped} lines in the middle were not kept.</p>}
          </>
        )}
        {it.phone && (
          <>
            <h2>What the caller heard</h2>
            <ol class="heard">
              {it.phone.timeline.map((heard) => (
                <li key={heard.from_ms}>
                  <time>{seconds(heard.from_ms)}</time> <span>{heard.to_ms === null ? "…" : seconds(heard.to_ms)}</span> {sound(heard)}
                </li>
              ))}
            </ol>
            {it.isLive && mayAct() && <PhoneKeys call={call} />}
          </>
        )}
        {facts && (
          <details>
            <summary>Facts</summary>
            <dl class="keys">
              {Object.entries(facts).map(([name, value]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd class="text">{String(value ?? "")}</dd>
                </div>
              ))}
            </dl>
          </details>
        )}
        <Curl text={curl({ method: "GET", path: below(`Call/${call}/Trace/`) })} />
      </section>
      {panel.value && <PanelOf it={panel.value} />}
    </div>
  );
}

/** Keys and sounds of a simulated phone, which anybody may press who tries a flow. */
function PhoneKeys({ call }: { call: string }) {
  const digits = useSignal("");
  const path = belowSim(`Phone/${call}/`);
  return (
    <form
      class="buttons"
      onSubmit={(event) => {
        event.preventDefault();
        if (!/^[0-9*#]+$/.test(digits.value)) return say("Keys are 0-9, * and #.", true);
        void act({ method: "POST", path: `${path}Press/`, body: { digits: digits.value } }, "The keys were pressed.");
        digits.value = "";
      }}
    >
      <span class="muted">The simulated phone:</span>
      <input size={6} aria-label="Keys to press" value={digits.value} onInput={(e) => (digits.value = e.currentTarget.value)} />
      <button type="submit">Press</button>
      <button type="button" onClick={() => act({ method: "POST", path: `${path}Talk/`, body: { ms: 3_000 } }, "The caller talks for 3 seconds.")}>
        Talk
      </button>
      <button type="button" onClick={() => act({ method: "DELETE", path }, "The phone has hung up.")}>
        Hang up
      </button>
    </form>
  );
}

/** One bar for each step. Words say what a colour says. */
function Waterfall({ call, steps, age }: { call: string; steps: Step[]; age: number | null }) {
  const isLive = age !== null;
  const last = Math.max(...steps.map((it) => it.to_ms ?? it.from_ms), 1_000);
  // The clock of the browser may be behind.
  const all = isLive ? Math.max(last * 1.08, age) : last;
  const percent = (ms: number) => `${Math.min(100, (ms / all) * 100)}%`;
  return (
    <div class="waterfall" role="table" aria-label="Steps of the call">
      <div class="row" role="row">
        <div role="columnheader">element</div>
        <div role="columnheader" class="axis">
          {Array.from({ length: TICKS }, (_, n) => (
            <span key={n} style={{ left: `${(n / TICKS) * 100}%` }}>
              {seconds((all * n) / TICKS)}
            </span>
          ))}
        </div>
      </div>
      {steps.map((it, index) => (
        <div key={index} class={`row ${outcome(it)}`} role="row">
          <div role="cell">
            <b>{it.element}</b> {it.line ? <small>{`${it.line}:${it.column}`}</small> : <small>{it.purpose}</small>}
          </div>
          <div role="cell">
            <div class="track">
              <div
                class={`bar ${it.to_ms === null ? "open" : ""}`}
                style={{ left: percent(it.from_ms), width: it.to_ms === null ? `calc(100% - ${percent(it.from_ms)})` : percent(it.to_ms - it.from_ms) }}
              />
            </div>
            <p>
              <span class="when">
                {seconds(it.from_ms)}
                {it.to_ms === null ? "" : ` · ${duration(it.to_ms - it.from_ms)}`}
              </span>{" "}
              <b class="outcome">{it.to_ms === null && isLive ? "runs" : (it.error ?? it.ended ?? "")}</b>
              {it.reason && <span class="text"> “{it.reason}”</span>}
              {it.conference && (
                <>
                  {" "}
                  <a href={toRoom(it.conference)}>{it.conference}</a>
                </>
              )}
              {it.url && <span class="text muted"> {[it.method, it.url, it.status].filter(Boolean).join(" ")}</span>}
              {it.passed_over && <span class="muted"> {it.passed_over}</span>}
              {it.causes?.map((cause) => (
                <span key={cause.call_uuid} class="muted">
                  {" ← "}
                  {cause.cause}
                  {cause.command && ` by ${cause.command}`}
                  {cause.call_uuid !== call && (
                    <>
                      {" of "}
                      <a href={toCall(cause.call_uuid)}>{cause.call_uuid.slice(0, 8)}</a>
                    </>
                  )}
                  {cause.api_id && ` (request ${cause.api_id.slice(0, 8)})`}
                </span>
              ))}
            </p>
            {it.source && <code class="source">{it.source.trim()}</code>}
          </div>
        </div>
      ))}
    </div>
  );
}

/** Milliseconds since a live call began. */
function ageOf(facts: Facts | null): number {
  const began = Date.parse(`${String(facts?.session_start ?? "").replace(" ", "T")}Z`);
  return Number.isNaN(began) ? 0 : second.value - began;
}

function outcome({ to_ms, ended, error }: Step): string {
  if (error) return "failed";
  if (to_ms === null) return "running";
  if (ended === "done") return "done";
  return ended === "passed over" ? "skipped" : "left";
}

const seconds = (ms: number) => `${(ms / 1_000).toFixed(1)} s`;
