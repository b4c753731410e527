/** Forms of the panel: say, play, hang up, dial, and acts on a call. */
import { useSignal } from "@preact/signals";
import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { closePanel, dialSimulated, member, type Panel, people } from "../acts.ts";
import { below, curl, mayAct, type Request, send, session } from "../session.ts";
import { act } from "../store.ts";
import { Curl, Field } from "./bits.tsx";
import { KickPanel } from "./kick.tsx";

/** The panel that is open, beside the list. */
export function PanelOf({ it }: { it: Panel }) {
  switch (it.kind) {
    case "kick":
      return <KickPanel room={it.room} who={it.who} />;
    case "say":
      return <SayForm title={`Say to ${people(it.who)}`} path={member(it.room, it.who, "Speak/")} />;
    case "play":
      return (
        <OneField
          title={`Play to ${people(it.who)}`}
          label="Sound"
          hint="http(s)://…, flow:NAME, sound:hold, sound:ring or sound:beep"
          initial="sound:beep"
          button="Play"
          done="The sound plays."
          request={(url) => ({ method: "POST", path: member(it.room, it.who, "Play/"), body: { url } })}
        />
      );
    case "hangup":
      return (
        <Confirm
          title={`Hang up ${people(it.who)} of ${it.room}?`}
          button="Hang up"
          done="Hung up."
          request={{ method: "DELETE", path: member(it.room, it.who) }}
        >
          Their calls end, and no element of their flows follows. A kick lets them go on.
        </Confirm>
      );
    case "bans":
      return <Bans room={it.room} />;
    case "dial":
      return <DialForm room={it.room} />;
    case "call":
      return <CallForm what={it.what} call={it.call} />;
  }
}

interface Ban {
  ban_id: string;
  who: string;
  reason: string | null;
  ends_at: string;
}

/** Who may not come back for a while, and the way to let them in again. */
function Bans({ room }: { room: string }) {
  const bans = useSignal<Ban[] | null>(null);
  const error = useSignal("");
  const path = below(`Conference/${encodeURIComponent(room)}/Ban/`);
  const heading = useRef<HTMLHeadingElement>(null);
  async function read() {
    try {
      bans.value = (await send<{ bans: Ban[] }>({ method: "GET", path })).bans;
    } catch (refusal) {
      error.value = (refusal as Error).message;
    }
  }
  useEffect(() => {
    heading.current?.focus();
    void read();
  }, [room]);
  async function lift(ban: Ban) {
    await act({ method: "DELETE", path: `${path}${ban.ban_id}/` }, `${ban.who} may enter again.`);
    await read();
  }
  return (
    <section class="panel" aria-label={`Bans of ${room}`}>
      <h2 ref={heading} tabIndex={-1}>
        Bans <small>of {room}</small>
      </h2>
      {error.value && (
        <p class="bad" role="alert">
          {error.value}
        </p>
      )}
      {bans.value?.length === 0 && <p class="muted">Nobody is banned. A kick can ban for a while.</p>}
      <ul class="bans">
        {bans.value?.map((it) => (
          <li key={it.ban_id}>
            <span class="text">
              <b>{it.who}</b> until {it.ends_at.slice(0, 19)} {it.reason && <span class="muted">“{it.reason}”</span>}
            </span>
            {mayAct() && (
              <button type="button" class="small" onClick={() => lift(it)}>
                Lift
              </button>
            )}
          </li>
        ))}
      </ul>
      <div class="buttons">
        <button type="button" onClick={closePanel}>
          Close
        </button>
      </div>
      <Curl text={curl({ method: "GET", path })} />
    </section>
  );
}

function CallForm({ what, call }: { what: "say" | "keys" | "transfer" | "hangup"; call: string }) {
  switch (what) {
    case "say":
      return <SayForm title="Say to the caller" path={below(`Call/${call}/Speak/`)} />;
    case "keys":
      return (
        <OneField
          title="Send keys"
          label="Keys"
          hint="0-9 * #, and w for half a second"
          button="Send"
          done="The keys were sent."
          request={(digits) => ({ method: "POST", path: below(`Call/${call}/DTMF/`), body: { digits } })}
        />
      );
    case "transfer":
      return (
        <OneField
          title="Transfer"
          label="Document"
          hint="http(s)://… or flow:NAME"
          initial="flow:"
          button="Transfer"
          done="The call runs the other document."
          request={(url) => ({ method: "POST", path: below(`Call/${call}/`), body: { legs: "aleg", aleg_url: url } })}
        />
      );
    case "hangup":
      return (
        <Confirm title="Hang up this call?" button="Hang up" done="Hung up." request={{ method: "DELETE", path: below(`Call/${call}/`) }}>
          No element of the flow follows.
        </Confirm>
      );
  }
}

function Shell(props: {
  title: string;
  button: string;
  isDanger?: boolean;
  request: Request | null;
  done: string;
  children: ComponentChildren;
}) {
  const form = useRef<HTMLFormElement>(null);
  const isBusy = useSignal(false);
  useEffect(() => form.current?.querySelector<HTMLElement>("input, textarea, select, button")?.focus(), [props.title]);
  async function submit(event: SubmitEvent) {
    event.preventDefault();
    if (!props.request || isBusy.value) return;
    isBusy.value = true;
    if (await act(props.request, props.done)) closePanel();
    isBusy.value = false;
  }
  return (
    <form ref={form} class="panel" aria-label={props.title} onSubmit={submit}>
      <h2>{props.title}</h2>
      {props.children}
      <div class="buttons">
        <button type="submit" class={props.isDanger ? "danger" : "primary"} disabled={!props.request || isBusy.value}>
          {props.button}
        </button>
        <button type="button" onClick={closePanel}>
          Cancel
        </button>
        <span class="muted">Esc cancels</span>
      </div>
      {props.request && <Curl text={curl(props.request)} />}
    </form>
  );
}

function Confirm(props: { title: string; button: string; done: string; request: Request; children: ComponentChildren }) {
  return (
    <Shell {...props} isDanger>
      <p>{props.children}</p>
    </Shell>
  );
}

function OneField(props: {
  title: string;
  label: string;
  hint?: string;
  initial?: string;
  button: string;
  done: string;
  request: (value: string) => Request;
}) {
  const value = useSignal(props.initial ?? "");
  const { title, button, done, label, hint } = props;
  return (
    <Shell title={title} button={button} done={done} request={value.value.trim() ? props.request(value.value.trim()) : null}>
      <Field label={label} {...(hint ? { hint } : {})}>
        <input value={value.value} class="code" onInput={(e) => (value.value = e.currentTarget.value)} />
      </Field>
    </Shell>
  );
}

function SayForm({ title, path }: { title: string; path: string }) {
  const text = useSignal("");
  const voice = useSignal("WOMAN");
  const language = useSignal("en-US");
  const body = { text: text.value, voice: voice.value, language: language.value };
  const request: Request | null = text.value.trim() ? { method: "POST", path, body } : null;
  return (
    <Shell title={title} button="Say" done="It is said." request={request}>
      <Field label="Words">
        <textarea rows={3} maxLength={3_000} value={text.value} onInput={(e) => (text.value = e.currentTarget.value)} />
      </Field>
      <Field label="Voice">
        <select value={voice.value} onChange={(e) => (voice.value = e.currentTarget.value)}>
          <option value="WOMAN">woman</option>
          <option value="MAN">man</option>
        </select>
      </Field>
      <Field label="Language">
        <input value={language.value} onInput={(e) => (language.value = e.currentTarget.value)} />
      </Field>
    </Shell>
  );
}

function DialForm({ room }: { room: string | null }) {
  const hasPhones = session.value?.simulated_phones ?? false;
  const kind = useSignal(hasPhones ? "simulated" : room === null ? "call" : "member");
  const to = useSignal(hasPhones ? "kick" : "");
  const other = useSignal("");
  const name = useSignal("");
  let request: Request | null = null;
  const [first, second] = [to.value.trim(), other.value.trim()];
  if (kind.value === "simulated" && first) request = dialSimulated(first, name.value.trim());
  if (kind.value === "member" && room !== null && first && second) {
    const path = below(`Conference/${encodeURIComponent(room)}/Member/`);
    request = { method: "POST", path, body: { to: first, from: second } };
  }
  if (kind.value === "call" && first && second && name.value.trim()) {
    request = { method: "POST", path: below("Call/"), body: { to: first, from: second, answer_url: name.value.trim() } };
  }
  const choices = [
    ...(hasPhones ? [["simulated", "a simulated phone calls a flow"]] : []),
    ...(room !== null ? [["member", `call somebody into ${room}`]] : []),
    ["call", "call somebody, who runs a document"],
  ];
  return (
    <Shell title="Dial" button="Dial" done="It rings." request={request}>
      <Field label="What">
        <select value={kind.value} onChange={(e) => ((kind.value = e.currentTarget.value), (to.value = ""), (name.value = ""))}>
          {choices.map(([value, words]) => (
            <option key={value} value={value}>
              {words}
            </option>
          ))}
        </select>
      </Field>
      <Field label={kind.value === "simulated" ? "Flow" : "To"} hint={kind.value === "simulated" ? "its name or a number" : "number or sip:…"}>
        <input value={to.value} onInput={(e) => (to.value = e.currentTarget.value)} />
      </Field>
      {kind.value !== "simulated" && (
        <Field label="From" hint="the number that they see">
          <input value={other.value} onInput={(e) => (other.value = e.currentTarget.value)} />
        </Field>
      )}
      {kind.value !== "member" && (
        <Field label={kind.value === "simulated" ? "Name of the caller" : "Document"} {...(kind.value === "call" ? { hint: "http(s)://… or flow:NAME" } : {})}>
          <input value={name.value} onInput={(e) => (name.value = e.currentTarget.value)} />
        </Field>
      )}
    </Shell>
  );
}
