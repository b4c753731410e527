// Builds the page into ../dist, which is committed. The same versions give the same files.
import { build } from "esbuild";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gunzipSync, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const dist = process.argv[2] ?? join(here, "../dist");
mkdirSync(dist, { recursive: true });

const shared = {
  absWorkingDir: here,
  bundle: true,
  charset: "utf8",
  format: "esm",
  legalComments: "none",
  minify: true,
  target: ["chrome123", "firefox125", "safari17.5"],
  write: false,
};

/** The one output of a bundle. */
async function bundle(options) {
  const { outputFiles } = await build({ ...shared, ...options });
  return Buffer.from(outputFiles[0].contents);
}

const notices = ["preact", "@preact/signals", "@preact/signals-core"].map((name) => {
  const folder = join(here, "node_modules", name);
  const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
  const text = readFileSync(join(folder, "LICENSE"), "utf8").trim();
  return `${name} ${version} (${license})\n\n${text}\n`;
});

const files = {
  "app.js": await bundle({
    entryPoints: ["main.tsx"],
    jsx: "automatic",
    jsxImportSource: "preact",
  }),
  "stream.js": await bundle({ entryPoints: ["stream.worker.ts"], format: "iife" }),
  "app.css": await bundle({ entryPoints: ["app.css"] }),
  "index.html": readFileSync(join(here, "index.html")),
  "icon.svg": readFileSync(join(here, "icon.svg")),
  "NOTICES.txt": Buffer.from(
    `The console contains these packages.\n\n${notices.join(`\n${"-".repeat(80)}\n\n`)}`,
  ),
};

let total = 0;
for (const [name, contents] of Object.entries(files)) {
  const path = join(dist, name);
  writeFileSync(path, contents);
  // Another zlib may compress the same text in another way, which is no change.
  const packed = `${path}.gz`;
  const isSame = existsSync(packed) && gunzipSync(readFileSync(packed)).equals(contents);
  if (!isSame) writeFileSync(packed, gzipSync(contents, { level: 9 }));
  const size = readFileSync(packed).length;
  total += size;
  console.log(`${name.padEnd(12)} ${String(contents.length).padStart(7)} ${String(size).padStart(6)} gzip`);
}
console.log(`${"all".padEnd(12)} ${String(total).padStart(14)} gzip`);
