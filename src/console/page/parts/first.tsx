/** First run: four steps for a newcomer in development mode, ticked off by what really happens. */
import { signal } from "@preact/signals";
import { dialSimulated } from "../acts.ts";
import { curl } from "../session.ts";
import { act, events, model, version } from "../store.ts";
import { Curl } from "./bits.tsx";

const STORED = "conflow.first";
const steps = ["dial", "look", "kick", "call"] as const;
type StepName = (typeof steps)[number];
const done = signal(new Set<string>((localStorage.getItem(STORED) ?? "").split(" ").filter(Boolean)));

export function noteStep(step: StepName | "dismissed") {
  if (done.value.has(step)) return;
  done.value = new Set([...done.value, step]);
  localStorage.setItem(STORED, [...done.value].join(" "));
}

/** Lets three simulated phones call. */
export async function startThree() {
  const request = dialSimulated("kick");
  for (const [n, count] of [1, 2, 3].entries()) {
    const answer = await act(request, n === 2 ? `${count} phones have called “kick”.` : "");
    if (!answer) return;
  }
}

export function FirstRun() {
  version.value;
  if (model.callers.size > 0) queueMicrotask(() => noteStep("dial"));
  if (events.some((it) => it.data.ConferenceExitCause === "kicked")) queueMicrotask(() => noteStep("kick"));
  const isOver = done.value.has("dismissed") || steps.every((it) => done.value.has(it));
  if (isOver) return null;
  const caller = [...model.callers.values()].find((it) => it.exit !== "") ?? [...model.callers.values()][0];
  const next = steps.find((it) => !done.value.has(it));
  const step = (name: StepName, words: string, rest?: preact.ComponentChild) => (
    <li class={done.value.has(name) ? "done" : name === next ? "next" : ""}>
      <span aria-hidden="true">{done.value.has(name) ? "✓" : "○"}</span> {words}
      {done.value.has(name) && <span class="sr"> (done)</span>} {name === next && rest}
    </li>
  );
  return (
    <aside class="first" aria-label="First steps">
      <ol>
        {step("dial", "Callers dial")}
        {step("look", "Look at the room: put the pointer on Kick")}
        {step("kick", "Kick one of them")}
        {step("call", "Read what became of the call", caller && <a href={`#/call/${caller.call}`}>open it</a>)}
      </ol>
      <button type="button" class="small" onClick={() => noteStep("dismissed")}>
        Dismiss
      </button>
      {next === "dial" && <Curl text={curl(dialSimulated("kick"))} />}
    </aside>
  );
}
