/** Rooms: the list of rooms, and the members of the one that is open. */
import { useSignal } from "@preact/signals";
import { useEffect, useState } from "preact/hooks";
import { openPanel, panel, toggle, type Who } from "../acts.ts";
import { type Caller, hears } from "../model.ts";
import { duration, second } from "../parts/bits.tsx";
import { FirstRun, noteStep, startThree } from "../parts/first.tsx";
import { PanelOf } from "../parts/forms.tsx";
import { Cell, Grid } from "../parts/grid.tsx";
import { forecast } from "../parts/kick.tsx";
import { go, route, toCall, toRoom } from "../router.ts";
import { mayAct, session } from "../session.ts";
import { feed, model, onScreen, openRoom, touch, version } from "../store.ts";

const selected = new Set<string>();

export function RoomsPage() {
  version.value;
  const filter = useSignal("");
  const at = route.value;
  const rooms = [...model.rooms.values()].sort((a, b) => a.name.localeCompare(b.name));
  const isOutside = at.page === "outside";
  const wanted = at.page === "rooms" ? at.room : null;
  const name = isOutside ? null : (wanted ?? rooms[0]?.name ?? null);
  useEffect(() => {
    openRoom.value = name;
    selected.clear();
    touch();
  }, [name]);
  const outside = model.outside();
  const isEmpty = rooms.length === 0 && outside.length === 0;
  const words = filter.value.toLowerCase();
  const listed = rooms.filter((it) => it.name.toLowerCase().includes(words));
  return (
    <div class={`rooms ${wanted !== null || isOutside ? "opened" : ""} ${panel.value ? "with-panel" : ""}`}>
      <nav class="list" aria-label="Rooms">
        <input
          type="search"
          id="filter"
          placeholder="Filter  /"
          aria-label="Filter rooms and callers"
          value={filter.value}
          onInput={(e) => (filter.value = e.currentTarget.value)}
        />
        <ul>
          {listed.map((room) => (
            <li key={room.name}>
              <a href={toRoom(room.name)} aria-current={room.name === name ? "page" : undefined}>
                <span class="text">{room.name}</span> <b>{room.isOver ? "ended" : model.count(room)}</b>
              </a>
            </li>
          ))}
          {outside.length > 0 && (
            <li>
              <a href="#/outside" aria-current={isOutside ? "page" : undefined}>
                <span>In no room</span> <b>{outside.length}</b>
              </a>
            </li>
          )}
        </ul>
        {mayAct() && (
          <button type="button" onClick={() => openPanel({ kind: "dial", room: name })}>
            Dial…
          </button>
        )}
      </nav>
      <section class="room">
        {session.value?.development && mayAct() && <FirstRun />}
        {isEmpty && feed.value.state === "live" ? (
          <Empty />
        ) : isOutside ? (
          <Outside callers={outside} />
        ) : name !== null && model.rooms.has(name) ? (
          <RoomView key={name} name={name} filter={words} />
        ) : (
          !isEmpty && <p class="empty">{wanted === null ? "Nobody is in a room." : `There is no room ${wanted} now.`}</p>
        )}
      </section>
      {panel.value && <PanelOf it={panel.value} />}
    </div>
  );
}

function Empty() {
  const has = session.value?.simulated_phones && mayAct();
  return (
    <div class="empty">
      <h2>No calls yet</h2>
      {has ? (
        <>
          <p>Three simulated phones can call the flow “kick”, which puts them into a room.</p>
          <button type="button" class="primary" onClick={startThree}>
            Start three simulated callers
          </button>
        </>
      ) : (
        <p>Rooms appear here as soon as somebody enters one.</p>
      )}
    </div>
  );
}

const COLUMNS = [
  { name: "", className: "c-mark" },
  { name: "id", className: "c-id" },
  { name: "caller", className: "c-caller" },
  { name: "since", className: "c-since" },
  { name: "state", className: "c-state" },
  { name: "hears", className: "c-hears" },
  { name: "stands at", className: "c-place" },
  { name: "acts", className: "c-acts" },
];

function RoomView({ name, filter }: { name: string; filter: string }) {
  version.value;
  const room = model.rooms.get(name);
  useEffect(() => () => void (onScreen.delete("present"), onScreen.delete("gone")), []);
  const all = model.members(name);
  const fits = (it: Caller) => !filter || `${it.from} ${it.name} ${it.member}`.toLowerCase().includes(filter) || name.toLowerCase().includes(filter);
  const present = all.present.filter(fits);
  const gone = all.gone;
  for (const call of selected) if (!present.some((it) => it.call === call)) selected.delete(call);
  // A key may come before the next frame.
  const chosenNow = () => present.filter((it) => selected.has(it.call)).map((it) => it.member);
  const chosen = chosenNow();

  function mark(it: Caller) {
    if (!selected.delete(it.call)) selected.add(it.call);
    touch();
  }
  const whoOf = (it: Caller): Who => (selected.has(it.call) ? chosenNow() : [it.member]);
  function onKey(key: string, it: Caller | undefined): boolean {
    if (key === "/") {
      document.getElementById("filter")?.focus();
      return true;
    }
    if (!it) return false;
    if (key === "Enter") return (go(toCall(it.call)), true);
    if (!mayAct()) return false;
    if (key === " ") return (mark(it), true);
    if (key === "m") return (void toggle(it, "Mute"), true);
    if (key === "d") return (void toggle(it, "Deaf"), true);
    if (key === "h") return (void toggle(it, "Hold"), true);
    if (key === "s") return (openPanel({ kind: "say", room: name, who: whoOf(it) }), true);
    if (key === "x") return (openPanel({ kind: "kick", room: name, who: whoOf(it) }), true);
    return false;
  }
  const isEmpty = present.length === 0;
  const toAll = (kind: "kick" | "say" | "play" | "hangup") => () => openPanel({ kind, room: name, who: chosen.length > 0 ? chosen : "all" });
  const scope = chosen.length > 0 ? `${chosen.length} chosen` : "all";
  return (
    <>
      <header class="title">
        <a class="back" href="#/rooms" aria-label="All rooms">
          ‹
        </a>
        <h1 class="text">{name}</h1>
        <span class="muted facts">
          {all.present.length} member{all.present.length === 1 ? "" : "s"} · <Clock from={room?.startedAt ?? 0} />
          {room?.floor ? ` · floor: ${room.floor}` : ""}
        </span>
        {mayAct() && (
          <span class="buttons">
            <button type="button" onClick={() => openPanel({ kind: "bans", room: name })}>
              Bans
            </button>
            <button type="button" disabled={isEmpty} onClick={toAll("say")}>
              Say to {scope}
            </button>
            <button type="button" disabled={isEmpty} onClick={toAll("play")}>
              Play to {scope}
            </button>
            <button type="button" disabled={isEmpty} onClick={toAll("kick")}>
              Kick {scope}
            </button>
            <button type="button" disabled={isEmpty} onClick={toAll("hangup")}>
              Hang up {scope}
            </button>
          </span>
        )}
      </header>
      <Grid
        label={`Members of ${name}`}
        className={`members ${mayAct() ? "" : "quiet"}`}
        rows={present}
        keyOf={(it) => it.call}
        columns={COLUMNS}
        isSelected={(it) => selected.has(it.call)}
        rowClass={(it) => (selected.has(it.call) ? "chosen" : "")}
        onKey={onKey}
        onView={(keys) => onScreen.set("present", keys)}
        cells={(it, isActive) => (
          <>
            <Cell className="c-mark">
              {mayAct() && (
                <button type="button" class="mark" tabIndex={-1} aria-label={`Choose member ${it.member}`} aria-pressed={selected.has(it.call)} onClick={() => mark(it)}>
                  {selected.has(it.call) ? "▣" : "☐"}
                </button>
              )}
            </Cell>
            <Facts it={it} floor={room?.floor ?? 0} isActive={isActive} />
            <Cell className="c-acts">{mayAct() && <Acts it={it} isActive={isActive} />}</Cell>
          </>
        )}
      />
      {gone.length > 0 && (
        <>
          <h2 class="part">left</h2>
          <Grid
            label={`Callers who left ${name}`}
            className="members gone"
            rows={gone}
            keyOf={(it) => it.call}
            columns={COLUMNS}
            onKey={(key, it) => key === "Enter" && it !== undefined && (go(toCall(it.call)), true)}
            onView={(keys) => onScreen.set("gone", keys)}
            rowClass={(it) => it.state}
            cells={(it, isActive) => (
              <>
                <Cell className="c-mark" />
                <Facts it={it} floor={0} isActive={isActive} />
                <Cell className="c-acts" />
              </>
            )}
          />
        </>
      )}
    </>
  );
}

function Outside({ callers }: { callers: Caller[] }) {
  useEffect(() => () => void onScreen.delete("outside"), []);
  return (
    <>
      <header class="title">
        <a class="back" href="#/rooms" aria-label="All rooms">
          ‹
        </a>
        <h1>In no room</h1>
      </header>
      <Grid
        label="Calls in no room"
        className="members quiet"
        rows={callers}
        keyOf={(it) => it.call}
        columns={COLUMNS}
        onKey={(key, it) => key === "Enter" && it !== undefined && (go(toCall(it.call)), true)}
        onView={(keys) => onScreen.set("outside", keys)}
        rowClass={(it) => it.state}
        cells={(it, isActive) => (
          <>
            <Cell className="c-mark" />
            <Facts it={it} floor={0} isActive={isActive} />
            <Cell className="c-acts" />
          </>
        )}
      />
    </>
  );
}

function Facts({ it, floor, isActive }: { it: Caller; floor: number; isActive: boolean }) {
  const place = it.place;
  return (
    <>
      <Cell className="c-id">{it.member || ""}</Cell>
      <Cell className="c-caller" title={`${it.name} ${it.from} → ${it.to}`.trim()}>
        <a href={toCall(it.call)} tabIndex={isActive ? 0 : -1}>
          {it.name && <b>{it.name} </b>}
          {it.from || it.call.slice(0, 8)}
        </a>
      </Cell>
      <Cell className="c-since">
        <Clock from={it.since} />
      </Cell>
      <Cell className="c-state">
        <State it={it} isTalking={floor !== 0 && it.member === floor} />
      </Cell>
      <Cell className="c-hears" title={hears(it)}>
        {hears(it)}
      </Cell>
      <Cell className="c-place" title={place?.source?.trim()}>
        {place && `${place.line}:${place.column} ${place.element}`}
      </Cell>
    </>
  );
}

function State({ it, isTalking }: { it: Caller; isTalking: boolean }) {
  if (it.state === "over") return <span class="muted">ended: {it.cause}</span>;
  if (it.state === "left") return <span class="warning">{it.exit}</span>;
  const words = [it.muted && "muted", it.deaf && "deaf", it.held && "on hold", isTalking && "talking"].filter(Boolean);
  if (words.length === 0) return <span class="muted">{it.state === "in" ? "member" : "on the line"}</span>;
  return <span class={isTalking ? "ok" : "warning"}>{words.join(", ")}</span>;
}

function Clock({ from }: { from: number }) {
  return <time>{duration(second.value - from)}</time>;
}

function Acts({ it, isActive }: { it: Caller; isActive: boolean }) {
  const room = it.room ?? "";
  const tab = isActive ? 0 : -1;
  const open = (kind: "kick" | "say" | "play" | "hangup") => () => openPanel({ kind, room, who: [it.member] });
  const who = `member ${it.member}`;
  return (
    <>
      <button type="button" class="small" tabIndex={tab} aria-pressed={it.muted} aria-label={`Mute ${who}`} title="Mute (m)" onClick={() => toggle(it, "Mute")}>
        Mute
      </button>
      <button type="button" class="small wide" tabIndex={tab} aria-pressed={it.deaf} aria-label={`Deaf: ${who}`} title="Deaf (d)" onClick={() => toggle(it, "Deaf")}>
        Deaf
      </button>
      <button type="button" class="small wide" tabIndex={tab} aria-pressed={it.held} aria-label={`Hold ${who}`} title="Hold (h)" onClick={() => toggle(it, "Hold")}>
        Hold
      </button>
      <button type="button" class="small wide" tabIndex={tab} aria-label={`Say to ${who}`} title="Say (s)" onClick={open("say")}>
        Say
      </button>
      <button type="button" class="small wide" tabIndex={tab} aria-label={`Play to ${who}`} title="Play" onClick={open("play")}>
        Play
      </button>
      <KickButton it={it} tab={tab} onClick={open("kick")} />
      <button type="button" class="small hang-up" tabIndex={tab} aria-label={`Hang up ${who}`} title="Hang up" onClick={open("hangup")}>
        Hang up
      </button>
    </>
  );
}

const HOVER_AFTER = 200;

/** Shows what a plain kick would do while the pointer or the focus is on it. */
function KickButton({ it, tab, onClick }: { it: Caller; tab: number; onClick: () => void }) {
  const [words, setWords] = useState("");
  const [at, setAt] = useState<{ right: number; top: number } | null>(null);
  useEffect(() => {
    if (!at) return;
    const abort = new AbortController();
    const timer = setTimeout(() => {
      forecast(it.room ?? "", it.member, abort.signal)
        .then((it) => {
          setWords(it);
          noteStep("look");
        })
        .catch(() => undefined);
    }, HOVER_AFTER);
    return () => {
      clearTimeout(timer);
      abort.abort();
      setWords("");
    };
  }, [at, it.room, it.member]);
  const show = (event: { currentTarget: HTMLElement }) => {
    const box = event.currentTarget.getBoundingClientRect();
    setAt({ right: innerWidth - box.right, top: box.bottom + 4 });
  };
  const hide = () => setAt(null);
  return (
    <>
      <button
        type="button"
        class="small danger"
        tabIndex={tab}
        aria-label={`Kick member ${it.member}`}
        aria-describedby={words ? "forecast" : undefined}
        onMouseEnter={show}
        onMouseLeave={hide}
        onFocus={show}
        onBlur={hide}
        onClick={() => {
          hide();
          noteStep("look");
          onClick();
        }}
      >
        Kick
      </button>
      {at && words && (
        <div id="forecast" role="tooltip" class="tooltip" style={{ right: `${at.right}px`, top: `${at.top}px` }}>
          {words}
        </div>
      )}
    </>
  );
}
