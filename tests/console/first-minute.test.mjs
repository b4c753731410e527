// A newcomer's first minute: the link of the banner, three callers, and a kick with its preview.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { closeBrowser, openPage, rows, Server, shot, until } from "./setup.mjs";

let server;
before(async () => (server = await Server.start()));
after(async () => {
  await closeBrowser();
  await server.stop();
});

test("a newcomer sees three callers, kicks one, and sees what they hear next", async () => {
  const began = Date.now();
  const link = server.link();
  const page = await openPage(link);
  await page.getByRole("button", { name: "Start three simulated callers" }).waitFor();
  assert.equal(new URL(page.url()).hash, "", "the code must not stay in the address");
  await shot(page, "empty-light");

  let clicks = 0;
  const click = async (locator) => {
    clicks += 1;
    await locator.click();
  };
  await click(page.getByRole("button", { name: "Start three simulated callers" }));
  await until("three members", async () => (await rows(page).count()) === 3);
  const [, second] = await server.members();

  // The pointer alone shows where a kick would lead.
  const button = page.getByRole("button", { name: `Kick member ${second.member_id}` });
  await button.hover();
  const forecast = await page.getByRole("tooltip").innerText();
  assert.match(forecast, /goes on at \d+:\d+ Speak/);
  await shot(page, "hover-light");

  await click(button);
  const preview = page.getByRole("region", { name: "Preview" });
  await preview.getByText("Speak").waitFor();
  const told = (await preview.locator("tbody tr").allInnerTexts()).map((it) => it.split("\t").map((cell) => cell.trim()));
  assert.equal(told.length, 1);
  assert.deepEqual(told[0].slice(0, 3), [second.member_id, second.from, "kicked"]);
  await page.getByLabel(/^Reason/).fill("too loud");
  await page.locator(".preview:not(.old)").waitFor();
  await shot(page, "kick-light");
  await click(page.getByRole("button", { name: "Kick 1" }));

  const gone = page.locator(".members.gone .rows .row");
  await gone.getByText("kicked: too loud").waitFor();
  await gone.getByText("You have been disconnected from the conference").waitFor();
  await shot(page, "kicked-light");
  assert.equal(await rows(page).count(), 2);
  assert.ok(clicks <= 5 && Date.now() - began < 60_000);

  // The preview said what then happened: in the trace, and in the caller's ear.
  const { steps } = await server.api("GET", server.below(`Call/${second.call_uuid}/Trace/`));
  const { line, column, element } = steps.findLast((it) => it.line);
  assert.equal(told[0][3], `${line}:${column} ${element}`);
  const { timeline } = await server.phone(second.call_uuid);
  assert.equal(timeline.at(-1).heard, "speech");
  const left = await server.members();
  assert.equal(left.some((it) => it.call_uuid === second.call_uuid), false);

  // The fourth step: the call's own page.
  await gone.getByRole("link").click();
  await page.getByText("“too loud”").waitFor();
  await page.getByRole("heading", { name: "What the caller heard" }).waitFor();
  await shot(page, "call-light");
  assert.deepEqual(page.troubles, []);

  const again = await openPage(link);
  await again.getByText("this link works once").waitFor();
  await shot(again, "signin-light");
});

test("the steps are ticked off and stay away once they are done", async () => {
  await server.dial();
  const page = await openPage(server.url);
  await page.waitForURL(/\/console\/$/);
  const { signIn } = await import("./setup.mjs");
  await signIn(page, server.token);
  await rows(page).first().waitFor();
  const steps = page.getByRole("complementary", { name: "First steps" });
  await steps.locator("li.done", { hasText: "Callers dial" }).waitFor();
  await steps.getByRole("button", { name: "Dismiss" }).click();
  await steps.waitFor({ state: "detached" });
  await page.reload();
  await rows(page).first().waitFor();
  assert.equal(await steps.count(), 0);
});
