/** Store: keeps the model up to date from the stream and by queries, and tells the page of changes. */
import { signal } from "@preact/signals";
import { type Event, Model, type Phone, type Place, type Roster } from "./model.ts";
import { below, belowSim, curl, ended, key, Refused, type Request, send, session } from "./session.ts";
import type { FromStream, ToStream } from "./stream.worker.ts";

export const model = new Model();
/** Rises with each frame in which the model has changed. */
export const version = signal(0);
export const feed = signal<{ state: "connecting" | "live" | "lost"; why: string }>({ state: "connecting", why: "" });
/** Latest events first. */
export const events: Event[] = [];
/** The rows on the screen, whose sound and place are asked for. */
export const onScreen = new Map<string, string[]>();
export const openRoom = signal<string | null>(null);
export const trouble = signal("");
/** What the polite live region says. */
export const news = signal("");

const EVENTS_KEPT = 1_000;
const ROOMS_AGE = 30_000;
const ROSTER_AGE = 2_000;
/** A large roster is asked for less often. */
const ROSTER_MEMBERS = 200;
const COUNT_AGE = 30_000;
const PHONE_AGE = 1_000;
/** Members hear their room as a rule, so they are asked less often. */
const MEMBER_AGE = 5_000;
const NEWS_EVERY = 3_000;
const TICK = 250;
/** Half of the account's requests, which are 300 in 5 seconds by default. */
const PER_SECOND = 30;
const IN_FLIGHT = 4;

let isDue = false;
/** Shows changes of the model in the next frame. */
export function touch() {
  if (isDue) return;
  isDue = true;
  requestAnimationFrame(() => {
    isDue = false;
    version.value += 1;
  });
}

let port: { postMessage(message: ToStream): void } | undefined;
let ticking = 0;

/** The one place where a text becomes the URL of a script. */
function scriptUrl(): string | URL {
  const path = "/console/stream.js";
  const types = (globalThis as { trustedTypes?: TrustedTypes }).trustedTypes;
  if (!types) return path;
  const policy = types.createPolicy("conflow", {
    createScriptURL: (url: string) => {
      if (url !== path) throw new TypeError("only the stream is a script");
      return url;
    },
  });
  return policy.createScriptURL(path) as unknown as URL;
}

interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

let url: string | URL | undefined;

/** Follows the account of the session. */
export function start() {
  const account = session.value?.account;
  const secret = key();
  if (!account || !secret) return;
  url ??= scriptUrl();
  if ("SharedWorker" in globalThis) {
    const worker = new SharedWorker(url, { name: "conflow-stream" });
    worker.port.onmessage = ({ data }: MessageEvent<FromStream>) => take(data);
    port = worker.port;
  } else {
    const worker = new Worker(url);
    worker.onmessage = ({ data }: MessageEvent<FromStream>) => take(data);
    port = worker;
  }
  port.postMessage({ type: "start", account, key: secret });
  ticking = window.setInterval(tick, TICK);
}

export function stop() {
  port?.postMessage({ type: "stop" });
  port = undefined;
  clearInterval(ticking);
  model.clear();
  events.length = 0;
  feed.value = { state: "connecting", why: "" };
  roomsAt = 0;
  asking.clear();
  touch();
}

addEventListener("pagehide", () => port?.postMessage({ type: "stop" }));
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

function take(message: FromStream) {
  const now = Date.now();
  switch (message.type) {
    case "events":
      for (const it of message.events) {
        const event = { ...it, at: now };
        model.apply(event, now);
        events.unshift(event);
      }
      events.length = Math.min(events.length, EVENTS_KEPT);
      break;
    case "gap":
      model.missed();
      roomsAt = 0;
      trouble.value = "Some events were lost, so everything was asked for again.";
      break;
    case "state":
      if (message.state === "out") return ended(message.why);
      // What was asked for before the connection is older than the stream.
      if (message.state === "live") {
        roomsAt = 0;
        for (const room of model.rooms.values()) room.rosterAt = 0;
      }
      feed.value = { state: message.state, why: message.why };
  }
  touch();
}

let roomsAt = 0;
let quietUntil = 0;
let budget = PER_SECOND;
let newsAt = 0;
const asking = new Set<string>();

/** Sends a query unless it is under way, and applies its response; null stands for 404. */
function query<T>(request: Request, apply: (answer: T | null, asked: number, now: number) => void) {
  const { path } = request;
  if (asking.has(path) || asking.size >= IN_FLIGHT || budget < 1) return;
  const asked = model.changes;
  const account = session.value?.account;
  budget -= 1;
  asking.add(path);
  send<T>(request)
    .catch((error: unknown) => {
      if (error instanceof Refused && error.status === 404) return null;
      throw error;
    })
    .then((answer) => {
      if (session.value?.account !== account) return;
      apply(answer, asked, Date.now());
      trouble.value = "";
      touch();
    })
    .catch((error: unknown) => {
      const refused = error as Refused;
      quietUntil = Date.now() + Math.max(refused.retryAfter * 1_000, 2_000);
      if (session.value) trouble.value = refused.message;
    })
    .finally(() => asking.delete(path));
}

/** Asks for the members of a room at once, for example after a change. */
export function refresh(name: string) {
  const room = model.rooms.get(name);
  if (room) room.rosterAt = 0;
  tick();
}

function tick() {
  const now = Date.now();
  budget = Math.min(PER_SECOND, budget + (PER_SECOND * TICK) / 1_000);
  if (model.tick(now)) touch();
  if (newsAt + NEWS_EVERY <= now) {
    newsAt = now;
    const words = model.takeNews();
    if (words) news.value = words;
  }
  if (feed.value.state !== "live" || now < quietUntil || document.hidden) return;

  if (roomsAt + ROOMS_AGE <= now) {
    query<{ conferences: string[] }>({ method: "GET", path: below("Conference/") }, (answer, asked, at) => {
      roomsAt = at;
      model.takeRooms(answer?.conferences ?? [], asked, at);
    });
  }
  const open = openRoom.value;
  const rooms = [...model.rooms.values()].sort((a, b) => Number(b.name === open) - Number(a.name === open));
  for (const room of rooms) {
    const age = room.name === open ? ROSTER_AGE * (1 + Math.floor(room.callers.size / ROSTER_MEMBERS)) : COUNT_AGE;
    if (room.isOver || now < room.rosterAt + age) continue;
    const path = below(`Conference/${encodeURIComponent(room.name)}/`);
    query<Roster>({ method: "GET", path }, (answer, asked, at) => model.takeRoster(room.name, answer, asked, at));
  }
  for (const call of [...onScreen.values()].flat()) askAbout(call, now);
}

/** Asks for what a caller hears and where they stand, if that may have changed. */
function askAbout(call: string, now: number) {
  const caller = model.callers.get(call);
  if (!caller) return;
  const isLast = (at: number) => caller.state === "over" && caller.overAt < at;
  // A beep or an announcement is soon over.
  const isInRoom = caller.state === "in" && (caller.phone?.timeline.at(-1)?.heard ?? "room") === "room";
  const age = isInRoom ? MEMBER_AGE : PHONE_AGE;
  const wants = session.value?.simulated_phones && caller.phone !== null;
  if (wants && caller.phoneAt + age <= now && !isLast(caller.phoneAt)) {
    const path = belowSim(`Phone/${call}/`);
    query<Phone>({ method: "GET", path }, (answer, _, at) => model.takePhone(call, answer, at));
  }
  // A member stays at their element.
  const isStill = caller.state === "in" && caller.placeAt > 0;
  if (caller.placeAt + age <= now && !isStill && !isLast(caller.placeAt)) {
    const path = below(`Call/${call}/Trace/`);
    query<{ steps: Step[] }>({ method: "GET", path }, (answer, _, at) => {
      const steps = (answer?.steps ?? []).filter((it) => it.line);
      model.takePlace(call, steps.findLast((it) => it.to_ms === null) ?? steps.at(-1), at);
    });
  }
}

/** A step of a trace. Requests have no place. */
export interface Step extends Place {
  from_ms: number;
  to_ms: number | null;
  ended: string | null;
  reason?: string;
  url?: string;
  method?: string;
  purpose?: string;
  status?: number;
  error?: string;
  ms?: number;
  conference?: string;
  passed_over?: string;
  causes?: { cause: string; call_uuid: string; element: string; line: number; column: number; api_id?: string; command?: string }[];
}

/** The last act, as curl. */
export const lastCurl = signal("");
export interface Toast {
  text: string;
  isBad: boolean;
  undo?: () => void;
}
export const toast = signal<Toast | null>(null);
let toasting = 0;

export function say(text: string, isBad = false, undo?: () => void) {
  clearTimeout(toasting);
  toast.value = undo ? { text, isBad, undo } : { text, isBad };
  // An error stays until it is read.
  if (!isBad) toasting = window.setTimeout(() => (toast.value = null), 5_000);
}

/** Makes a change, and says what came of it. The result is undefined if it was refused. */
export async function act<T = unknown>(request: Request, done: string, undo?: () => void): Promise<T | undefined> {
  lastCurl.value = curl(request);
  try {
    const answer = await send<T>(request);
    if (done) say(done, false, undo);
    return answer ?? ({} as T);
  } catch (error) {
    say((error as Error).message, true);
    return undefined;
  }
}
