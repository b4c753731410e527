/**
 * Model of an account's rooms and callers, updated by responses and events. It is pure: time is an
 * argument.
 *
 * A response may be older than an event that came before it. Each query remembers the number of events
 * at its time, so a response removes nothing that has changed since. `src/watch/model.rs` has the same
 * rules.
 */

export type CallerState = "outside" | "in" | "left" | "over";

export interface Heard {
  from_ms: number;
  to_ms: number | null;
  heard: string;
  conference?: string;
  url?: string;
  text?: string;
}

/** A simulated phone. */
export interface Phone {
  state: "ringing" | "in-progress" | "completed";
  hangup_cause_name: string | null;
  timeline: Heard[];
}

/** Where a call stands in its flow. */
export interface Place {
  element: string;
  line: number;
  column: number;
  source?: string;
}

export interface Caller {
  call: string;
  from: string;
  to: string;
  name: string;
  /** 0 outside of rooms. */
  member: number;
  room: string | null;
  state: CallerState;
  muted: boolean;
  deaf: boolean;
  held: boolean;
  /** The exit cause of the last room, with the reason of a kick. */
  exit: string;
  /** The hang-up cause of a call that is over. */
  cause: string;
  since: number;
  overAt: number;
  /** Undefined: not known yet; null: a real phone. */
  phone?: Phone | null;
  phoneAt: number;
  place?: Place;
  placeAt: number;
}

export interface Room {
  name: string;
  callers: Map<string, Caller>;
  floor: number;
  isOver: boolean;
  startedAt: number;
  /** The number of the event that changed it last. */
  changed: number;
  rosterAt: number;
}

export interface Event {
  id: string;
  event: string;
  data: Record<string, string>;
  at: number;
}

export interface Roster {
  conference_run_time: string;
  members: {
    member_id: string;
    call_uuid: string;
    from: string;
    to: string;
    caller_name: string;
    muted: boolean;
    deaf: boolean;
    join_time: string;
  }[];
}

/** Ended calls stay visible long enough to be read. */
export const OVER_KEPT = 10_000;

export class Model {
  readonly rooms = new Map<string, Room>();
  readonly callers = new Map<string, Caller>();
  /** The number of events so far. */
  changes = 0;
  /** Joins and exits by room since [`takeNews`]. */
  private news = new Map<string, { joined: number; left: number }>();

  apply(event: Event, now: number) {
    this.changes += 1;
    const { data } = event;
    const room = data.ConferenceName;
    if (room) this.applyRoom(room, event, now);
    else if (data.CallUUID) this.applyCall(data.CallUUID, event, now);
  }

  private applyRoom(name: string, { event, data }: Event, now: number) {
    const room = this.room(name, now);
    room.changed = this.changes;
    const member = Number(data.ConferenceMemberID ?? 0);
    switch (event) {
      case "ConferenceEnd":
        room.isOver = true;
        break;
      case "ConferenceStart":
        room.isOver = false;
        room.startedAt = now;
        break;
      case "ConferenceFloor":
        room.floor = member;
        break;
      case "ConferenceEnter": {
        if (!data.CallUUID) return;
        room.isOver = false;
        const caller = this.caller(data.CallUUID, data, now);
        Object.assign(caller, { state: "in", muted: false, deaf: false, held: false, exit: "", since: now });
        this.put(caller, name, member, now);
        this.newsOf(name).joined += 1;
        break;
      }
      case "ConferenceExit": {
        if (!data.CallUUID) return;
        if (room.floor === member) room.floor = 0;
        const caller = this.caller(data.CallUUID, data, now);
        const reason = data.ConferenceExitReason;
        const cause = data.ConferenceExitCause ?? "";
        Object.assign(caller, { state: "left", exit: reason ? `${cause}: ${reason}` : cause, since: now });
        this.put(caller, name, member, now);
        this.newsOf(name).left += 1;
        break;
      }
    }
    this.removeEmpty();
  }

  private applyCall(call: string, { event, data }: Event, now: number) {
    const known = this.callers.get(call);
    if (event === "Hangup" && known) {
      Object.assign(known, { state: "over", overAt: now, cause: data.HangupCauseName ?? "" });
      // What it heard last, and where.
      known.phoneAt = known.placeAt = 0;
    } else if (!known && ["Answer", "CallStart", "Ring"].includes(event)) {
      this.put(this.caller(call, data, now), null, 0, now);
    }
  }

  /** `GET Conference/`, sent when `asked` events had been applied. */
  takeRooms(names: string[], asked: number, now: number) {
    const listed = new Set(names);
    for (const name of names) {
      const room = this.room(name, now);
      if (room.changed <= asked) room.isOver = false;
    }
    for (const room of [...this.rooms.values()]) {
      if (!listed.has(room.name) && room.changed <= asked) this.end(room);
    }
    this.removeEmpty();
  }

  /** `GET Conference/{name}/`; null if there is no such room. */
  takeRoster(name: string, roster: Roster | null, asked: number, now: number) {
    const room = this.rooms.get(name);
    if (!room) return;
    const isCurrent = room.changed <= asked;
    room.rosterAt = now;
    if (roster === null) {
      if (isCurrent) this.end(room);
      this.removeEmpty();
      return;
    }
    room.startedAt = now - Number(roster.conference_run_time) * 1_000;
    if (isCurrent) {
      const present = new Set(roster.members.map((it) => it.call_uuid));
      for (const caller of [...room.callers.values()]) {
        if (caller.state === "in" && !present.has(caller.call)) this.forget(caller);
      }
    }
    for (const it of roster.members) this.takeMember(room, it, now);
    this.removeEmpty();
  }

  private takeMember(room: Room, it: Roster["members"][number], now: number) {
    const id = Number(it.member_id);
    const known = this.callers.get(it.call_uuid);
    // Member ids are never reused: who left with this id, or joined with a later one, did so since.
    const isGone = known?.state === "left" || known?.state === "over";
    if (known && (isGone ? id <= known.member : id < known.member)) return;
    const data = { From: it.from, To: it.to, CallerName: it.caller_name };
    const caller = this.caller(it.call_uuid, data, now);
    const isNew = caller.state !== "in" || caller.room !== room.name || caller.member !== id;
    if (isNew) caller.since = now - Number(it.join_time) * 1_000;
    Object.assign(caller, { state: "in", muted: it.muted, deaf: it.deaf, exit: "" });
    if (isNew) this.put(caller, room.name, id, now);
  }

  /** `GET Phone/{call_uuid}/`; null if the phone is not simulated. */
  takePhone(call: string, phone: Phone | null, now: number) {
    const caller = this.callers.get(call);
    if (!caller) return;
    caller.phoneAt = now;
    caller.phone = phone;
    if (phone?.state === "completed" && caller.state !== "over") {
      Object.assign(caller, { state: "over", overAt: now, cause: phone.hangup_cause_name ?? "" });
    }
  }

  takePlace(call: string, place: Place | undefined, now: number) {
    const caller = this.callers.get(call);
    if (!caller) return;
    caller.placeAt = now;
    if (place) caller.place = place;
  }

  /** Events were lost: calls in no room may have ended meanwhile. */
  missed() {
    this.changes += 1;
    for (const room of this.rooms.values()) room.rosterAt = 0;
    for (const caller of [...this.callers.values()]) if (caller.state !== "in") this.forget(caller);
    this.removeEmpty();
  }

  /** Removes calls that ended a while ago; true if there were any. */
  tick(now: number): boolean {
    let has = false;
    for (const caller of [...this.callers.values()]) {
      if (caller.state === "over" && caller.overAt + OVER_KEPT <= now) {
        this.forget(caller);
        has = true;
      }
    }
    if (has) this.removeEmpty();
    return has;
  }

  clear() {
    this.rooms.clear();
    this.callers.clear();
    this.news.clear();
  }

  /** The members of a room in the order of joining, and those who left and are still listed. */
  members(name: string): { present: Caller[]; gone: Caller[] } {
    const all = [...(this.rooms.get(name)?.callers.values() ?? [])].sort((a, b) => a.member - b.member);
    return { present: all.filter((it) => it.state === "in"), gone: all.filter((it) => it.state !== "in") };
  }

  count(room: Room): number {
    let count = 0;
    for (const it of room.callers.values()) if (it.state === "in") count += 1;
    return count;
  }

  /** Calls that have been in no room yet. */
  outside(): Caller[] {
    return [...this.callers.values()].filter((it) => it.room === null);
  }

  /** What has happened since the last time, in words. */
  takeNews(): string {
    const words = [...this.news].map(([room, { joined, left }]) => {
      const parts = [joined && `${joined} joined`, left && `${left} left`].filter(Boolean);
      return `${parts.join(", ")} ${room}`;
    });
    this.news.clear();
    return words.slice(0, 3).join("; ");
  }

  private newsOf(room: string) {
    const known = this.news.get(room);
    if (known) return known;
    const news = { joined: 0, left: 0 };
    this.news.set(room, news);
    return news;
  }

  private room(name: string, now: number): Room {
    const known = this.rooms.get(name);
    if (known) return known;
    const room: Room = {
      name,
      callers: new Map(),
      floor: 0,
      isOver: false,
      startedAt: now,
      changed: 0,
      rosterAt: 0,
    };
    this.rooms.set(name, room);
    return room;
  }

  private caller(call: string, data: Record<string, string>, now: number): Caller {
    let caller = this.callers.get(call);
    if (!caller) {
      caller = {
        call,
        from: "",
        to: "",
        name: "",
        member: 0,
        room: null,
        state: "outside",
        muted: false,
        deaf: false,
        held: false,
        exit: "",
        cause: "",
        since: now,
        overAt: 0,
        phoneAt: 0,
        placeAt: 0,
      };
      this.callers.set(call, caller);
    }
    caller.from = data.From || caller.from;
    caller.to = data.To || caller.to;
    caller.name = data.CallerName || caller.name;
    return caller;
  }

  /** Lists a caller in this place only. */
  private put(caller: Caller, room: string | null, member: number, now: number) {
    if (caller.room !== null) this.rooms.get(caller.room)?.callers.delete(caller.call);
    caller.room = room;
    caller.member = member;
    // The flow has moved.
    caller.phoneAt = caller.placeAt = 0;
    if (room !== null) this.room(room, now).callers.set(caller.call, caller);
  }

  private end(room: Room) {
    room.isOver = true;
    for (const caller of [...room.callers.values()]) if (caller.state === "in") this.forget(caller);
  }

  private forget(caller: Caller) {
    this.callers.delete(caller.call);
    if (caller.room !== null) this.rooms.get(caller.room)?.callers.delete(caller.call);
  }

  private removeEmpty() {
    for (const room of this.rooms.values()) {
      if (room.isOver && room.callers.size === 0) this.rooms.delete(room.name);
    }
  }
}

/** What a caller hears now, or heard last. */
export function hears(caller: Caller): string {
  if (!caller.phone) {
    if (caller.state !== "in") return caller.phone === null ? "" : "…";
    if (caller.held) return "(on hold)";
    return caller.deaf ? "nothing (deaf)" : "the room";
  }
  const last = caller.phone.timeline.at(-1);
  if (!last) return caller.phone.state === "ringing" ? "ringing" : "nothing";
  if (caller.state === "in" && last.heard === "room") return caller.deaf ? "nothing (deaf)" : "the room";
  const words = sound(last);
  return caller.phone.state === "completed" ? `at last ${words}` : words;
}

/** A sound in words. */
export function sound(it: Heard): string {
  const named = it.text ? `“${it.text}”` : (it.url ?? "");
  switch (it.heard) {
    case "beep":
      return "a beep";
    case "room":
      return `the room ${it.conference ?? ""}`.trim();
    case "wait":
      return `the wait sound ${named}`.trim();
    case "sound":
    case "speech":
      return named || it.heard;
    default:
      return it.heard;
  }
}
