/** The page: signs in, shows the header and the page of the route, and listens to keys. */
import { effect, signal } from "@preact/signals";
import { render } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { closePanel, panel } from "./acts.ts";
import { CallPage } from "./pages/call.tsx";
import { EventsPage } from "./pages/events.tsx";
import { RoomsPage } from "./pages/rooms.tsx";
import { SignIn } from "./pages/signin.tsx";
import { Curl, ThemeSwitch } from "./parts/bits.tsx";
import { go, route } from "./router.ts";
import { resume, session, signOut } from "./session.ts";
import { feed, lastCurl, model, news, start, stop, toast, trouble, version } from "./store.ts";

const isHelpOpen = signal(false);

function App() {
  if (session.value === undefined) return <p class="empty">…</p>;
  if (session.value === null) return <SignIn />;
  const at = route.value;
  const isStale = feed.value.state === "lost";
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => (event.preventDefault(), document.getElementById("main")?.focus())}>
        To the content
      </a>
      <Header />
      <main id="main" tabIndex={-1} class={isStale ? "stale" : ""}>
        {at.page === "events" ? <EventsPage /> : at.page === "call" ? <CallPage key={at.call} call={at.call} /> : <RoomsPage />}
      </main>
      <Footer />
      {isHelpOpen.value && <Help />}
      <div class="sr" aria-live="polite">
        {news.value}
      </div>
    </>
  );
}

function Header() {
  version.value;
  const { page } = route.value;
  const { state, why } = feed.value;
  const words = { live: "live", connecting: "connecting", lost: "no connection" }[state];
  const link = (to: string, words: string, isHere: boolean) => (
    <a href={to} aria-current={isHere ? "page" : undefined}>
      {words}
    </a>
  );
  return (
    <header class="top">
      <b class="name">conflow</b>
      <span class="account muted">{session.value?.account}</span>
      <span class={`feed ${state}`} role="status" title={why}>
        <span aria-hidden="true">{state === "live" ? "●" : "○"}</span> {words}
      </span>
      {session.value?.role === "read-only" && <span class="tag">read-only</span>}
      <nav aria-label="Pages">
        {link("#/rooms", `Rooms ${model.rooms.size || ""}`, page === "rooms" || page === "outside")}
        {link("#/events", "Events", page === "events")}
        <a href="/docs" target="_blank" rel="noopener">
          API
        </a>
      </nav>
      <span class="end">
        <ThemeSwitch />
        <button type="button" class="small" aria-label="Keys" title="Keys (?)" onClick={() => (isHelpOpen.value = true)}>
          ?
        </button>
        <button type="button" class="small" onClick={signOut}>
          Sign out
        </button>
      </span>
    </header>
  );
}

function Footer() {
  const it = toast.value;
  return (
    <footer>
      {trouble.value && <p class="warning">{trouble.value}</p>}
      <div role="status">{it && !it.isBad && <Said />}</div>
      <div role="alert">{it?.isBad && <Said />}</div>
      {lastCurl.value && <Curl text={lastCurl.value} />}
    </footer>
  );
}

function Said() {
  const it = toast.value;
  if (!it) return null;
  return (
    <p class={`toast ${it.isBad ? "bad" : "ok"}`}>
      <span class="text">
        {it.isBad ? "Refused: " : ""}
        {it.text}
      </span>
      {it.undo && (
        <button type="button" class="small" onClick={it.undo}>
          Undo
        </button>
      )}
      <button type="button" class="small" aria-label="Close the message" onClick={() => (toast.value = null)}>
        ×
      </button>
    </p>
  );
}

const KEYS = [
  ["/", "filter"],
  ["j k ↑ ↓", "the next and the previous row"],
  ["Enter", "open the call"],
  ["Space", "choose the row"],
  ["m d h", "mute, deafen, hold"],
  ["s", "say"],
  ["x", "kick"],
  ["g r, g e", "rooms, events"],
  ["Esc", "close the panel"],
];

function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} aria-label="Keys" onClose={() => (isHelpOpen.value = false)}>
      <h2>Keys</h2>
      <p class="muted">They act while a list has the focus.</p>
      <dl class="keys">
        {KEYS.map(([key, words]) => (
          <div key={key}>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{words}</dd>
          </div>
        ))}
      </dl>
      <form method="dialog">
        <button type="submit">Close</button>
      </form>
    </dialog>
  );
}

let isAfterG = false;
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && panel.value) return closePanel();
  const target = event.target as HTMLElement;
  const isTyping = target.closest("input, textarea, select, [contenteditable]") !== null;
  // WCAG 2.1.4: keys of one character act only in a list.
  const isInList = target.closest("[role=grid]") !== null;
  if (isTyping || !isInList || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isAfterG && event.key === "r") go("#/rooms");
  if (isAfterG && event.key === "e") go("#/events");
  if (event.key === "?") isHelpOpen.value = true;
  isAfterG = event.key === "g";
});

effect(() => {
  if (route.value) closePanel();
});
effect(() => {
  const account = session.value?.account;
  if (account) {
    start();
    return stop;
  }
  return undefined;
});

const root = document.getElementById("app");
if (root) {
  root.textContent = "";
  render(<App />, root);
  void resume();
}
