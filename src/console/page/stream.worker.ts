/**
 * Stream of events: one connection for all tabs of a browser, since a browser opens only six to a host.
 * It continues after the last event that it has seen.
 *
 * It runs as a shared worker, or, where there is none, as a worker of one tab.
 */

export interface StreamEvent {
  id: string;
  event: string;
  data: Record<string, string>;
}

/** To a tab. */
export type FromStream =
  | { type: "events"; events: StreamEvent[] }
  | { type: "gap" }
  | { type: "state"; state: "connecting" | "live" | "lost" | "out"; why: string };

/** From a tab. */
export type ToStream = { type: "start"; account: string; key: string } | { type: "stop" };

interface Port {
  postMessage(message: FromStream): void;
  onmessage: ((event: MessageEvent<ToStream>) => void) | null;
}

/** Comments come every 15 seconds. */
const SILENCE_MAX = 40_000;
const WAIT_MIN = 200;
const WAIT_MAX = 5_000;

const ports = new Set<Port>();
let current: { account: string; key: string; abort: AbortController } | undefined;
let state: FromStream = { type: "state", state: "connecting", why: "" };

function tell(message: FromStream) {
  if (message.type === "state") state = message;
  for (const port of ports) port.postMessage(message);
}

function connect(port: Port) {
  port.onmessage = ({ data }) => {
    if (data.type === "stop") {
      ports.delete(port);
      if (ports.size === 0) stop();
      return;
    }
    ports.add(port);
    if (current?.key === data.key && current.account === data.account) {
      port.postMessage(state);
      return;
    }
    stop();
    current = { account: data.account, key: data.key, abort: new AbortController() };
    void follow(current);
  };
}

function stop() {
  current?.abort.abort();
  current = undefined;
  state = { type: "state", state: "connecting", why: "" };
}

/** Reads the stream again and again, until the session ends or nobody listens. */
async function follow({ account, key, abort }: NonNullable<typeof current>) {
  let last = "";
  let wait = WAIT_MIN;
  while (!abort.signal.aborted) {
    let why = "the server has closed the stream";
    const reading = new AbortController();
    const cancel = () => reading.abort();
    abort.signal.addEventListener("abort", cancel);
    let watchdog = setTimeout(cancel, SILENCE_MAX);
    try {
      const headers: Record<string, string> = { "X-Conflow-Console": key };
      if (last) headers["Last-Event-ID"] = last;
      const path = `/v1/Account/${account}/Events/`;
      const response = await fetch(path, { headers, signal: reading.signal, cache: "no-store" });
      if (response.status === 401) {
        const { error } = (await response.json()) as { error?: string };
        if (!abort.signal.aborted) {
          current = undefined;
          tell({ type: "state", state: "out", why: error ?? "" });
        }
        return;
      }
      if (!response.ok || !response.body) throw new Error(`the stream answers ${response.status}`);
      wait = WAIT_MIN;
      tell({ type: "state", state: "live", why: "" });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        clearTimeout(watchdog);
        watchdog = setTimeout(cancel, SILENCE_MAX);
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop() ?? "";
        last = take(blocks) || last;
      }
    } catch (error) {
      why = reading.signal.aborted ? "nothing comes any more" : (error as Error).message;
    }
    clearTimeout(watchdog);
    abort.signal.removeEventListener("abort", cancel);
    if (abort.signal.aborted) return;
    tell({ type: "state", state: "lost", why });
    await new Promise((done) => setTimeout(done, wait * (0.75 + Math.random() / 2)));
    wait = Math.min(wait * 2, WAIT_MAX);
  }
}

/** Tells the tabs of the events in these blocks, and returns the last id. */
function take(blocks: string[]): string {
  const events: StreamEvent[] = [];
  for (const block of blocks) {
    const fields: Record<string, string> = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    const { id = "", event, data } = fields;
    if (event === "gap") tell({ type: "gap" });
    else if (event && data) events.push({ id, event, data: JSON.parse(data) as Record<string, string> });
  }
  if (events.length > 0) tell({ type: "events", events });
  return events.at(-1)?.id ?? "";
}

const scope = self as unknown as { onconnect?: unknown; onmessage?: unknown };
if ("onconnect" in scope) {
  scope.onconnect = ({ ports: [port] }: MessageEvent) => connect(port as unknown as Port);
} else {
  connect(self as unknown as Port);
}
