/** Acts on members, calls and simulated phones: each is one request of the public API. */
import { signal } from "@preact/signals";
import type { Caller } from "./model.ts";
import { below, belowSim, type Request } from "./session.ts";
import { act, model, refresh, touch } from "./store.ts";

/** What the panel beside the list is for. */
export type Panel =
  | { kind: "kick"; room: string; who: Who }
  | { kind: "say" | "play" | "hangup"; room: string; who: Who }
  | { kind: "dial"; room: string | null }
  | { kind: "bans"; room: string }
  | { kind: "call"; what: "say" | "keys" | "transfer" | "hangup"; call: string };

export type Who = number[] | "all";

export const panel = signal<Panel | null>(null);
let opener: Element | null = null;

export function openPanel(it: Panel) {
  opener = document.activeElement;
  panel.value = it;
}

/** Closes the panel, and gives the focus back. */
export function closePanel() {
  panel.value = null;
  if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  opener = null;
}

export const people = (who: Who): string =>
  who === "all" ? "all" : who.length === 1 ? `member ${who[0]}` : `${who.length} members`;

export function member(room: string, who: Who, what = ""): string {
  const ids = who === "all" ? "all" : who.join(",");
  return below(`Conference/${encodeURIComponent(room)}/Member/${ids}/${what}`);
}

/** The kick that a form describes. */
export interface KickForm {
  reason: string;
  then: "next" | "element" | "xml" | "url" | "hangup";
  value: string;
  ban: string;
}

export function kick(room: string, who: Who, form: KickForm, isDry: boolean): Request {
  const body: Record<string, unknown> = {};
  if (form.reason.trim()) body.reason = form.reason;
  if (form.then === "hangup") body.then = "hangup";
  else if (form.then !== "next") body.then = { [form.then]: form.value };
  if (form.ban.trim()) body.ban_seconds = Number(form.ban);
  return { method: "POST", path: member(room, who, `Kick/${isDry ? "?dry_run=true" : ""}`), body };
}

/** One who would leave. */
export interface Departure {
  member_id: string;
  call_uuid: string;
  cause: string;
  banned: boolean;
  next:
    | { document: string; element: string; id: string | null; line: number; column: number }
    | { hangup_cause: string; hangup_cause_code: number }
    | { url: string };
}

export function goesOnAt({ next }: Departure): string {
  if ("element" in next) {
    const id = next.id ? ` “${next.id}”` : "";
    const document = next.document === "flow" ? "" : ` of ${next.document}`;
    return `${next.line}:${next.column} ${next.element}${id}${document}`;
  }
  if ("url" in next) return next.url;
  return `hangs up: ${next.hangup_cause} (${next.hangup_cause_code})`;
}

type Switch = "Mute" | "Deaf" | "Hold";
const WORDS = { Mute: ["muted", "unmuted"], Deaf: ["made deaf", "made hear again"], Hold: ["put on hold", "taken off hold"] };

/** Switches mute, deaf or hold at once, with an undo. */
export async function toggle(caller: Caller, what: Switch) {
  const { room, member: id } = caller;
  if (room === null) return;
  const isOn = what === "Mute" ? caller.muted : what === "Deaf" ? caller.deaf : caller.held;
  const set = (on: boolean) => {
    const it = model.callers.get(caller.call);
    if (!it) return;
    if (what === "Mute") it.muted = on;
    else if (what === "Deaf") it.deaf = on;
    else it.held = on;
    // They may hear something else now.
    it.phoneAt = 0;
    touch();
  };
  set(!isOn);
  const path = member(room, [id], `${what}/`);
  const done = `Member ${id} is ${WORDS[what][isOn ? 1 : 0]}.`;
  const undo = () => void toggle({ ...caller, ...model.callers.get(caller.call) }, what);
  const answer = await act({ method: isOn ? "DELETE" : "POST", path }, done, undo);
  if (!answer) set(isOn);
  refresh(room);
}

/** A simulated phone calls a flow. */
export const dialSimulated = (to: string, name = ""): Request => ({
  method: "POST",
  path: belowSim("Phone/"),
  body: name ? { to, caller_name: name } : { to },
});
