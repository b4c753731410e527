// The stream of events: it is cut and resumed, and two tabs share one.
import assert from "node:assert/strict";
import net from "node:net";
import { after, before, test } from "node:test";
import { closeBrowser, freePort, openPage, rows, Server, signIn, until } from "./setup.mjs";

/** Forwards connections to the server, until it is cut. */
class Wire {
  sockets = new Set();
  paths = [];
  isCut = false;

  constructor(port, host) {
    const [address, to] = host.split(":");
    this.listener = net.createServer((client) => {
      if (this.isCut) return client.destroy();
      const server = net.connect(Number(to), address);
      client.on("data", (bytes) => this.paths.push(...(String(bytes).match(/(?<=^GET )\S+/gm) ?? [])));
      for (const it of [client, server]) {
        this.sockets.add(it);
        it.on("error", () => undefined);
        it.on("close", () => (this.sockets.delete(it), client.destroy(), server.destroy()));
      }
      client.pipe(server).pipe(client);
    });
    this.listener.listen(port, "127.0.0.1");
  }

  cut() {
    this.isCut = true;
    for (const it of this.sockets) it.destroy();
  }
}

let server, wire, port;
before(async () => {
  port = await freePort();
  server = await Server.start({ flags: [`--console-origins=http://127.0.0.1:${port}`] });
  wire = new Wire(port, server.host);
});
after(async () => {
  await closeBrowser();
  wire.listener.close();
  wire.cut();
  await server.stop();
});

test("a page whose stream is cut says so, and then has every event once", async () => {
  const page = await openPage(`http://127.0.0.1:${port}/console/`);
  await signIn(page, server.token);
  await page.locator(".feed.live").waitFor();
  await server.dial();
  await until("a member", async () => (await rows(page).count()) === 1);

  wire.cut();
  await page.getByText("no connection").waitFor();
  assert.equal(await page.locator("main.stale").count(), 1);
  const [{ member_id: id }] = await server.members();
  // Two more: a member who stays alone would leave.
  for (let n = 0; n < 2; n += 1) await server.dial();
  await until("more members", async () => (await server.members()).length === 3);
  await server.api("POST", server.below(`Conference/MyConference/Member/${id}/Kick/`), { reason: "meanwhile" });
  wire.isCut = false;
  await page.locator(".feed.live").waitFor();
  await until("the other members", async () => {
    const members = await server.members();
    const shown = await rows(page).locator(".c-id").allInnerTexts();
    return shown.join() === members.map((it) => it.member_id).join();
  });
  await page.locator(".members.gone").getByText("kicked: meanwhile").waitFor();

  await page.goto(`http://127.0.0.1:${port}/console/#/events`);
  const events = page.getByRole("grid", { name: "Events" }).locator(".rows .row");
  await events.first().waitFor();
  const ids = await events.evaluateAll((all) => all.map((it) => it.id.split("-").slice(1).join("-")));
  assert.equal(new Set(ids).size, ids.length);
  const of = (name) => events.locator(".c-event", { hasText: new RegExp(`^${name}$`) }).count();
  assert.deepEqual([await of("ConferenceEnter"), await of("ConferenceExit")], [3, 1]);
});

test("two tabs of a browser have one stream", async () => {
  const page = await openPage(`http://127.0.0.1:${port}/console/`);
  await signIn(page, server.token);
  await page.locator(".feed.live").waitFor();
  const before = wire.paths.filter((it) => it.endsWith("/Events/")).length;
  const other = await page.context().newPage();
  await other.goto(`http://127.0.0.1:${port}/console/`);
  await other.locator(".feed.live").waitFor();
  const call = await server.dial();
  for (const it of [page, other]) {
    await it.goto(`http://127.0.0.1:${port}/console/#/call/${call}`);
    await it.getByRole("heading", { name: "What the call did" }).waitFor();
  }
  assert.equal(wire.paths.filter((it) => it.endsWith("/Events/")).length, before);
});
