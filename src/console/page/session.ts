/** Session: who has signed in, and the requests that are sent in their name. */
import { signal } from "@preact/signals";

export interface Session {
  account: string;
  role: "full" | "read-only";
  expires_at: string;
  version: string;
  development: boolean;
  simulated_phones: boolean;
}

/** Undefined until it is known whether there is one. */
export const session = signal<Session | null | undefined>(undefined);
/** Why there is none, for the form. */
export const signedOutBecause = signal("");

/** Half of the session's secret; the other half is in the cookie, which no script can read. */
const KEY = "conflow.key";
const HEADER = "X-Conflow-Console";

export const key = (): string | null => localStorage.getItem(KEY);
export const mayAct = (): boolean => session.value?.role === "full";
export const below = (path: string): string => `/v1/Account/${session.value?.account}/${path}`;
export const belowSim = (path: string): string => `/sim/v1/Account/${session.value?.account}/${path}`;

export interface Request {
  method: "GET" | "POST" | "DELETE";
  /** With the leading slash. */
  path: string;
  body?: object;
}

/** A response that is no success, with the server's own words. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly retryAfter: number,
  ) {
    super(message);
  }
}

/** Sends a request, and returns the body of its response. */
export async function send<T>(request: Request, signal?: AbortSignal): Promise<T> {
  const { method, path, body } = request;
  const headers: Record<string, string> = { Accept: "application/json", [HEADER]: key() ?? "" };
  if (body) headers["Content-Type"] = "application/json";
  const init: RequestInit = { method, headers, cache: "no-store" };
  if (body) init.body = JSON.stringify(body);
  if (signal) init.signal = signal;
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, "the server does not answer", 1);
  }
  const text = await response.text();
  let answer: unknown;
  try {
    answer = text === "" ? undefined : JSON.parse(text);
  } catch {
    answer = { error: text.trim() };
  }
  if (response.ok) return answer as T;
  const said = (answer as { error?: string } | undefined)?.error;
  const refused = new Refused(
    response.status,
    said ?? `the server answers ${response.status}`,
    Number(response.headers.get("Retry-After") ?? 0),
  );
  if (response.status === 401 && session.value) ended(refused.message);
  throw refused;
}

/** Opens a session by a token or by the code of a link. */
export async function signIn(body: { code: string } | { auth_id: string; auth_token: string }) {
  const opened = await send<Session & { key: string }>({ method: "POST", path: "/console/session", body });
  localStorage.setItem(KEY, opened.key);
  signedOutBecause.value = "";
  session.value = opened;
}

/** Continues the session of this browser, or the one that a link opens. */
export async function resume() {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  // At once: a code must not stay in the history.
  if (code !== null) history.replaceState(null, "", location.pathname);
  let why = "";
  if (code !== null) {
    try {
      return await signIn({ code });
    } catch (error) {
      why = (error as Error).message;
    }
  }
  if (!key()) return ended(why);
  try {
    session.value = await send<Session>({ method: "GET", path: "/console/session" });
  } catch (error) {
    const { status, message } = error as Refused;
    ended(why || (status === 401 ? "" : message));
  }
}

export async function signOut() {
  try {
    await send({ method: "DELETE", path: "/console/session" });
  } catch {
    // It has ended already.
  }
  ended("");
}

/** Forgets the session. */
export function ended(why: string) {
  localStorage.removeItem(KEY);
  signedOutBecause.value = why;
  session.value = null;
}

/** The same request for a shell. */
export function curl({ method, path, body }: Request): string {
  const url = location.origin + path;
  const words = ["curl", "-u", `"${session.value?.account}:$TOKEN"`];
  if (method !== "GET" && !(method === "POST" && body)) words.push("-X", method);
  words.push(quoted(url));
  if (body) words.push("-H", quoted("Content-Type: application/json"), "-d", quoted(JSON.stringify(body)));
  return words.join(" ");
}

function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
