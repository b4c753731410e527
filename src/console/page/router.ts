/** Router: routes are fragments, so the server has one page. */
import { signal } from "@preact/signals";

export type Route =
  | { page: "rooms"; room: string | null }
  | { page: "outside" }
  | { page: "call"; call: string }
  | { page: "events" };

export const route = signal<Route>(parse());

function parse(): Route {
  const [page, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  let name = rest.join("/");
  try {
    name = decodeURIComponent(name);
  } catch {
    // It stays as it is: no room has this name.
  }
  switch (page) {
    case "call":
      return { page, call: name };
    case "events":
    case "outside":
      return { page };
    default:
      return { page: "rooms", room: name || null };
  }
}

addEventListener("hashchange", () => (route.value = parse()));

export const toRoom = (name: string): string => `#/rooms/${encodeURIComponent(name)}`;
export const toCall = (call: string): string => `#/call/${call}`;
export const go = (hash: string) => void (location.hash = hash);
