/** Small parts: fields, a line of curl, durations, a switch of the theme. */
import { signal } from "@preact/signals";
import { cloneElement, type ComponentChildren, type VNode } from "preact";
import { useState } from "preact/hooks";

let count = 0;

/** A labelled control, with the error of the server below it. */
export function Field(props: { label: string; hint?: string; error?: string; children: ComponentChildren }) {
  const [id] = useState(() => `field${(count += 1)}`);
  const { label, hint, error } = props;
  const about = error ? `${id}-error` : undefined;
  const control = cloneElement(props.children as VNode<Record<string, unknown>>, {
    id,
    "aria-describedby": about,
    "aria-invalid": error ? "true" : undefined,
  });
  return (
    <div class="field">
      <label for={id}>
        {label} {hint && <small>{hint}</small>}
      </label>
      {control}
      {error && (
        <p id={about} class="bad" role="alert">
          {error}
        </p>
      )}
    </div>
  );
}

/** A command, with a button that copies it. */
export function Curl({ text }: { text: string }) {
  const [isCopied, setCopied] = useState(false);
  async function copy() {
    await navigator.clipboard.writeText(text);
    setCopied(true);
    setTimeout(() => setCopied(false), 2_000);
  }
  return (
    <div class="curl">
      <code tabIndex={0} aria-label="The same request with curl">
        {text}
      </code>
      <button type="button" class="small" onClick={copy}>
        {isCopied ? "Copied" : "Copy"}
      </button>
    </div>
  );
}

/** `4:11`, or `1:04:11`. */
export function duration(ms: number): string {
  const all = Math.max(0, Math.floor(ms / 1_000));
  const two = (n: number) => String(n).padStart(2, "0");
  const [hours, minutes, seconds] = [Math.floor(all / 3_600), Math.floor(all / 60) % 60, all % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** Rises every second. */
export const second = signal(Date.now());
setInterval(() => {
  if (!document.hidden) second.value = Date.now();
}, 1_000);

const THEMES = ["auto", "light", "dark"];
const theme = signal(localStorage.getItem("conflow.theme") ?? "auto");

function show(name: string) {
  theme.value = name;
  document.documentElement.dataset.theme = name;
  localStorage.setItem("conflow.theme", name);
}
show(theme.value);

export function ThemeSwitch() {
  const next = THEMES[(THEMES.indexOf(theme.value) + 1) % THEMES.length] ?? "auto";
  return (
    <button type="button" class="small" onClick={() => show(next)} title={`Theme: ${theme.value}. Click for ${next}.`}>
      Theme: {theme.value}
    </button>
  );
}
