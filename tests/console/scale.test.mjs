// A room with 1,000 members, what axe-core says of each page in both themes, and narrow screens.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { check, closeBrowser, openPage, rows, Server, shot, until } from "./setup.mjs";

const MEMBERS = 1_000;

let server, page;
before(async () => {
  server = await Server.start();
  page = await openPage(server.link());
});
after(async () => {
  await closeBrowser();
  await server.stop();
});

const theme = (name) => page.evaluate((it) => (document.documentElement.dataset.theme = it), name);

/** The pages of three callers, one of whom was kicked. */
async function visit(each) {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Rooms" }).click();
  await rows(page).first().waitFor();
  await each("rooms");
  await page.getByRole("button", { name: "Kick all" }).click();
  await page.locator(".preview:not(.old) tbody tr").first().waitFor();
  await each("kick");
  await page.keyboard.press("Escape");
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Events" }).click();
  await page.getByRole("grid", { name: "Events" }).waitFor();
  await each("events");
  const [{ call_uuid }] = await server.members();
  await page.evaluate((call) => (location.hash = `#/call/${call}`), call_uuid);
  await page.getByRole("heading", { name: "What the caller heard" }).waitFor();
  await each("call");
}

test("axe-core finds nothing serious, light and dark", async () => {
  await check(page, "empty");
  for (let n = 0; n < 3; n += 1) await server.dial({ caller_name: ["Anna", "Ben", ""][n] });
  for (const name of ["light", "dark"]) {
    await theme(name);
    await visit(async (where) => {
      await check(page, `${where}, ${name}`);
      await shot(page, `${where}-3-${name}`);
    });
  }
});

test("from 360 to 2560 pixels nothing is cut off", async () => {
  await theme("light");
  for (const width of [360, 768, 2560]) {
    await page.setViewportSize({ width, height: 800 });
    await visit(async (where) => {
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${where} is ${over} pixels too wide at ${width}`);
      await shot(page, `${where}-${width}-light`);
    });
  }
  await page.setViewportSize({ width: 1280, height: 800 });
});

test("1,000 members are a few rows of the document, and a kick is drawn at once", async () => {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Rooms" }).click();
  for (let n = 3; n < MEMBERS; n += 20) {
    await Promise.all(Array.from({ length: Math.min(20, MEMBERS - n) }, () => server.dial()));
  }
  await page.getByText("1000 members").waitFor();
  assert.ok((await rows(page).count()) < 80);
  for (const name of ["light", "dark"]) {
    await theme(name);
    await shot(page, `rooms-1000-${name}`);
  }
  const grid = page.getByRole("grid", { name: "Members of MyConference" });
  await grid.focus();
  await page.keyboard.press("End");
  const { member_id: last } = (await server.members()).at(-1);
  await rows(page).locator(".c-id", { hasText: new RegExp(`^${last}$`) }).waitFor();
  assert.ok((await rows(page).count()) < 80);

  await page.getByRole("button", { name: "Kick all" }).click();
  await page.getByRole("heading", { name: "1000 would leave" }).waitFor();
  await shot(page, "kick-1000-dark");
  await page.keyboard.press("Escape");

  // The time from the event to its row, by the page's own clock.
  await page.evaluate((id) => {
    const began = performance.now();
    window.drawn = new Promise((done) => {
      const look = () => {
        const gone = document.querySelector(".members.gone .c-id");
        if (gone) done(performance.now() - began);
        else requestAnimationFrame(look);
      };
      look();
    });
    const path = `/v1/Account/MACONFLOWDEV00000000/Conference/MyConference/Member/${id}/Kick/`;
    void fetch(path, { method: "POST", headers: { "X-Conflow-Console": localStorage.getItem("conflow.key") } });
  }, last);
  const took = await page.evaluate(() => window.drawn);
  console.log(`a kick among 1,000 is drawn after ${Math.round(took)} ms, with its request`);
  // The design's 100 ms are for an idle machine.
  assert.ok(took < 1_000, `${took} ms`);
  await until("999 members", async () => (await page.getByText("999 members").count()) === 1);
  const heap = await page.evaluate(() => performance.memory.usedJSHeapSize / 2 ** 20);
  assert.ok(heap < 60, `${heap} MB of heap`);
  assert.deepEqual(page.troubles, []);
});
