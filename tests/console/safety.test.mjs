// Safety: other origins, half a session, removed tokens, read-only tokens, texts of callers.
import assert from "node:assert/strict";
import http from "node:http";
import { after, before, test } from "node:test";
import { ACCOUNT, closeBrowser, openPage, rows, Server, shot, signIn, until } from "./setup.mjs";

const FULL = "full-token-0123456789abcdef";
const NEXT = "next-token-0123456789abcdef";
const READER = "read-only-0123456789abcdef";
const NASTY = '<img src=x onerror="document.title=1">';

let server;
before(async () => (server = await Server.start({ config: { token: FULL, readOnly: [READER] } })));
after(async () => {
  await closeBrowser();
  await server.stop();
});

/** A request as a program makes it, with any header. */
function ask(method, path, headers) {
  return new Promise((done, fail) => {
    const [host, port] = server.host.split(":");
    const request = http.request({ host, port, method, path, headers }, (answer) => {
      answer.resume();
      done(answer);
    });
    request.once("error", fail);
    request.end();
  });
}

/** The two secrets of a session. */
async function open() {
  const answer = await fetch(`${server.url}/console/session`, {
    method: "POST",
    body: JSON.stringify({ auth_id: ACCOUNT, auth_token: FULL }),
  });
  const { key } = await answer.json();
  return { key, cookie: answer.headers.get("set-cookie").split(";")[0] };
}

test("a session counts with both its halves, from its own origin", async () => {
  const { key, cookie } = await open();
  const path = `/v1/Account/${ACCOUNT}/Conference/`;
  const good = { Cookie: cookie, "X-Conflow-Console": key };
  const status = async (method, headers, at = path) => (await ask(method, at, headers)).statusCode;
  assert.equal(await status("GET", good), 200);
  assert.equal(await status("GET", { ...good, Origin: server.url, "Sec-Fetch-Site": "same-origin" }), 200);
  assert.equal(await status("GET", { Cookie: cookie }), 401);
  assert.equal(await status("GET", { "X-Conflow-Console": key }), 401);
  assert.equal(await status("GET", { ...good, "X-Conflow-Console": "0".repeat(64) }), 401);
  for (const method of ["GET", "POST", "DELETE"]) {
    for (const bad of [
      { Origin: "https://evil.example" },
      { Origin: "null" },
      { Origin: "http://127.0.0.1:1" },
      { "Sec-Fetch-Site": "cross-site" },
      { "Sec-Fetch-Site": "same-site" },
      { Host: "evil.example" },
      { Host: `evil.example:${server.host.split(":")[1]}` },
    ]) {
      assert.equal(await status(method, { ...good, ...bad }), 403, `${method} ${JSON.stringify(bad)}`);
      assert.equal(await status(method, { ...good, ...bad }, "/console/session"), 403);
    }
  }
  const refused = await ask("GET", path, { ...good, "X-Conflow-Console": "no" });
  assert.equal(refused.headers["www-authenticate"], undefined, "a browser would ask for a password");
  assert.equal(await status("GET", { Host: "evil.example" }, "/console/"), 403);
});

test("a page of another origin can do nothing with the session of its user", async () => {
  const page = await openPage(`${server.url}/console/`);
  await signIn(page, FULL);
  await page.locator(".feed.live").waitFor();
  const evil = http.createServer((_, answer) => answer.setHeader("Content-Type", "text/html").end("<!doctype html>"));
  await new Promise((done) => evil.listen(0, "127.0.0.1", done));
  // Another port of the same host: the browser sends the cookie.
  const other = await page.context().newPage();
  await other.goto(`http://127.0.0.1:${evil.address().port}/`);
  const results = await other.evaluate(async (url) => {
    const attempt = (path, init) =>
      fetch(url + path, { credentials: "include", ...init }).then(
        (it) => it.status,
        () => "blocked",
      );
    const frame = document.createElement("iframe");
    frame.src = `${url}/console/`;
    document.body.append(frame);
    return [
      await attempt("/console/session", {}),
      await attempt("/console/session", { method: "DELETE", headers: { "X-Conflow-Console": "a" } }),
      await attempt("/console/session", { method: "POST", mode: "no-cors", body: "{}" }),
      await attempt("/v1/Account/MACONFLOWDEV00000000/Conference/", { headers: { "X-Conflow-Console": "a" } }),
    ];
  }, server.url);
  // A response of the kind "no-cors" is opaque: its status is 0 for the page.
  assert.deepEqual(results, ["blocked", "blocked", 0, "blocked"]);
  evil.close();
  await page.reload();
  await page.locator(".feed.live").waitFor();
});

test("every file has the headers, and no page violates the policy", async () => {
  for (const name of ["", "app.js", "app.css", "stream.js", "icon.svg", "NOTICES.txt"]) {
    const { statusCode, headers } = await ask("GET", `/console/${name}`, {});
    assert.equal(statusCode, 200, name);
    const policy = headers["content-security-policy"];
    for (const part of ["default-src 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
      assert.ok(policy.includes(part), `${name}: ${part}`);
    }
    assert.ok(!policy.includes("unsafe"));
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["access-control-allow-origin"], undefined);
  }
  assert.equal((await ask("GET", "/console/../conflow.toml", {})).statusCode, 404);
  assert.equal((await ask("GET", "/console/index.html", {})).statusCode, 404);
});

test("what a caller controls is text", async () => {
  const call = await server.dial({ caller_name: NASTY, from: "15550000666" });
  const page = await openPage(`${server.url}/console/`);
  await signIn(page, FULL);
  await rows(page).getByText(NASTY).waitFor();
  const [{ member_id: id }] = await server.members();
  await server.api("POST", server.below(`Conference/MyConference/Member/${id}/Kick/`), { reason: NASTY });
  await page.locator(".members.gone").getByText(`kicked: ${NASTY}`).waitFor();
  await page.goto(`${server.url}/console/#/events`);
  await page.getByRole("grid", { name: "Events" }).getByText(NASTY).first().waitFor();
  await page.goto(`${server.url}/console/#/call/${call}`);
  await page.getByText(`“${NASTY}”`).waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.notEqual(await page.title(), "1");
  assert.deepEqual(page.troubles, []);
});

test("a read-only token gives a page without acts", async () => {
  await server.dial();
  const page = await openPage(`${server.url}/console/`);
  await signIn(page, READER);
  await rows(page).first().waitFor();
  await page.getByText("read-only", { exact: true }).waitFor();
  const grid = page.getByRole("grid", { name: "Members of MyConference" });
  await grid.focus();
  for (const key of ["Home", "m", "x", "s", "Space"]) await page.keyboard.press(key);
  assert.equal(await page.locator(".panel").count(), 0);
  const names = await page.getByRole("button").allInnerTexts();
  assert.deepEqual(names, [names[0], "?", "Sign out"], "there are only the theme, the keys, and the way out");
  await shot(page, "read-only-light");
  const status = await page.evaluate(async (path) => {
    const headers = { "X-Conflow-Console": localStorage.getItem("conflow.key") };
    return (await fetch(path, { method: "POST", headers })).status;
  }, server.below("Conference/MyConference/Member/all/Kick/"));
  assert.equal(status, 403);
  assert.deepEqual(page.troubles, []);
});

test("a removed token ends page and stream at once, and signing out does", async () => {
  const page = await openPage(`${server.url}/console/`);
  await signIn(page, FULL);
  await page.locator(".feed.live").waitFor();
  const { key, cookie } = await open();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("button", { name: "Sign in" }).waitFor();
  await signIn(page, FULL);
  await page.locator(".feed.live").waitFor();
  const out = page.getByText("its token was removed: sign in again").waitFor();
  server.reload({ token: NEXT, readOnly: [READER] });
  await until("the reload", () => server.log.includes("reload"));
  const began = Date.now();
  await out;
  assert.ok(Date.now() - began < 1_000, "it takes a second at most");
  assert.equal(await page.getByRole("grid").count(), 0, "nothing of the account is left on the screen");
  const path = `/v1/Account/${ACCOUNT}/Conference/`;
  assert.equal((await ask("GET", path, { Cookie: cookie, "X-Conflow-Console": key })).statusCode, 401);
  server.token = NEXT;
});
