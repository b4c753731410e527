// What the tests of the console share: a server in its own folder, and a browser.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import net from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const require = createRequire(process.env.CONSOLE_MODULES);
const { chromium } = require("playwright-core");
export const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const ROOT = join(dirname(fileURLToPath(import.meta.url)), "../..");
export const ACCOUNT = "MACONFLOWDEV00000000";
/** How long a page may take on a busy machine. */
export const PATIENCE = 20_000;

/** Waits until a function returns something true, and returns it. */
export async function until(what, look) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const found = await look();
    if (found) return found;
    assert.ok(Date.now() < end, `in vain: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** A free port. */
export async function freePort() {
  const server = net.createServer().listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** A conflow with simulated phones. With `config`, it is no development server. */
export class Server {
  static async start({ flags = [], config } = {}) {
    const it = new Server();
    it.home = mkdtempSync(join(tmpdir(), "console-"));
    if (config) it.configure(config);
    const flows = join(it.home, "flows");
    mkdirSync(join(flows, ACCOUNT), { recursive: true });
    const kick = readFileSync(join(ROOT, "flows/kick.xml"));
    writeFileSync(join(flows, config ? `${ACCOUNT}/kick.xml` : "kick.xml"), kick);
    const args = ["serve", "--http", "127.0.0.1:0", "--sip", "off", "--flows", flows, ...flags];
    it.process = spawn(process.env.CONSOLE_PROGRAM, args, { cwd: it.home, stdio: ["ignore", "pipe", "pipe"] });
    it.banner = it.log = "";
    it.process.stdout.on("data", (text) => (it.banner += text));
    // eslint-disable-next-line no-control-regex
    it.process.stderr.on("data", (text) => (it.log += String(text).replace(/\x1b\[[0-9;]*m/g, "")));
    const found = await until("a server", () => / serves .*http=([0-9.:]+)/.exec(it.log));
    it.host = found[1];
    it.url = `http://${it.host}`;
    it.token = config ? config.token : readFileSync(join(it.home, "data/dev-token"), "utf8").trim();
    return it;
  }

  configure({ token, readOnly = [], more = "" }) {
    const list = (tokens) => JSON.stringify(tokens);
    writeFileSync(
      join(this.home, "conflow.toml"),
      `[sim]\non = true\n[console]\non = true\n${more}\n[[account]]\nid = "${ACCOUNT}"\n` +
        `tokens = ${list([token])}\nread_only_tokens = ${list(readOnly)}\n`,
    );
  }

  reload(config) {
    this.configure(config);
    this.process.kill("SIGHUP");
  }

  /** The one-time link of the banner. */
  link() {
    const found = /http:\/\/\S+\/console\/#code=\w+/.exec(this.banner);
    assert.ok(found, this.banner);
    return found[0];
  }

  async api(method, path, body) {
    const headers = { "X-Auth-ID": ACCOUNT, "X-Auth-Token": this.token, "Content-Type": "application/json" };
    const answer = await fetch(this.url + path, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    assert.ok(answer.ok, `${method} ${path}: ${answer.status} ${text}`);
    return text === "" ? undefined : JSON.parse(text);
  }

  below(path) {
    return `/v1/Account/${ACCOUNT}/${path}`;
  }

  async dial(more = {}) {
    const { call_uuid } = await this.api("POST", `/sim/v1/Account/${ACCOUNT}/Phone/`, { to: "kick", ...more });
    return call_uuid;
  }

  phone(call) {
    return this.api("GET", `/sim/v1/Account/${ACCOUNT}/Phone/${call}/`);
  }

  async members() {
    return (await this.api("GET", this.below("Conference/MyConference/"))).members;
  }

  async stop() {
    this.process.kill("SIGKILL");
    await new Promise((done) => this.process.once("exit", done));
    rmSync(this.home, { recursive: true, force: true });
  }
}

let browser;
export async function openBrowser() {
  browser ??= await chromium.launch({ executablePath: process.env.CONSOLE_BROWSER, args: ["--no-sandbox"] });
  return browser;
}
export const closeBrowser = () => browser?.close();

/** A page of its own browser profile, which notes violations of the policy and errors of scripts. */
export async function openPage(url, options = {}) {
  const context = await (await openBrowser()).newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.troubles = [];
  page.on("pageerror", (error) => page.troubles.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    // A refused request is noted there too, and is what some tests want.
    if (/Content.Security.Policy|TrustedScript|Trusted ?Type/i.test(text)) page.troubles.push(text);
  });
  await page.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) =>
      console.error(`Content-Security-Policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    );
  });
  await page.goto(url);
  return page;
}

/** Signs in by the form. */
export async function signIn(page, token) {
  await page.getByLabel(/^Account/).fill(ACCOUNT);
  await page.getByLabel(/^Token/).fill(token);
  await page.getByRole("button", { name: "Sign in" }).click();
}

export const rows = (page) => page.locator(".members:not(.gone) .rows .row");

/** Writes a screenshot, if the folder is wanted. */
export async function shot(page, name) {
  if (process.env.SHOTS) await page.screenshot({ path: join(process.env.SHOTS, `${name}.png`) });
}

/** What axe-core finds that is serious. */
export async function check(page, where) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => axe.run({ resultTypes: ["violations"] }));
  const serious = violations.filter((it) => it.impact === "serious" || it.impact === "critical");
  const words = serious.map((it) => `${it.id}: ${it.nodes.map((node) => `${node.target} ${node.failureSummary}`).join("\n  ")}`);
  assert.deepEqual(words, [], where);
}
