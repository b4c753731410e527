// The acts of an operator: by keys and by the panel, each seen in the API and by the phones.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { closeBrowser, openPage, rows, Server, until } from "./setup.mjs";

let server, page, calls;
before(async () => {
  server = await Server.start();
  calls = [];
  for (let n = 0; n < 4; n += 1) calls.push(await server.dial());
  page = await openPage(server.link());
  await until("four members", async () => (await rows(page).count()) === 4);
});
after(async () => {
  await closeBrowser();
  await server.stop();
});

const of = async (call) => (await server.members()).find((it) => it.call_uuid === call);
const heard = async (call, word) => (await server.phone(call)).timeline.some((it) => JSON.stringify(it).includes(word));

test("mute acts at once by its key, and is undone", async () => {
  await page.getByRole("grid", { name: "Members of MyConference" }).focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("m");
  await rows(page).nth(0).getByText("muted", { exact: true }).waitFor();
  await until("a muted member", async () => (await of(calls[0])).muted);
  await page.getByRole("button", { name: "Undo" }).click();
  await until("no muted member", async () => !(await of(calls[0])).muted);
  await rows(page).nth(0).getByText("muted", { exact: true }).waitFor({ state: "detached" });
});

test("deaf and hold are buttons of the row", async () => {
  const { member_id: id } = await of(calls[1]);
  await page.getByRole("button", { name: `Deaf: member ${id}` }).click();
  await until("a deaf member", async () => (await of(calls[1])).deaf);
  await page.getByRole("button", { name: `Hold member ${id}` }).click();
  await rows(page).nth(1).getByText("on hold").waitFor();
  await until("silence", async () => (await server.phone(calls[1])).timeline.at(-1).heard === "silence");
  await page.getByRole("button", { name: `Hold member ${id}` }).click();
  await page.getByRole("button", { name: `Deaf: member ${id}` }).click();
  await until("a member who hears", async () => !(await of(calls[1])).deaf);
});

test("words and sounds reach one and all, and the page shows the curl of it", async () => {
  await page.getByRole("grid", { name: "Members of MyConference" }).focus();
  await page.keyboard.press("Home");
  await page.keyboard.press("s");
  await page.getByLabel("Words").fill("Only for you");
  await page.getByRole("button", { name: "Say", exact: true }).click();
  await until("words for one", () => heard(calls[0], "Only for you"));
  assert.equal(await heard(calls[1], "Only for you"), false);
  await page.getByRole("button", { name: "Play to all" }).click();
  await page.getByLabel(/^Sound/).fill("sound:ring");
  await page.getByRole("button", { name: "Play", exact: true }).click();
  for (const call of calls) await until("the ringing", () => heard(call, "sound:ring"));
  const curl = await page.locator("footer code").innerText();
  assert.match(curl, /^curl -u "MACONFLOWDEV00000000:\$TOKEN" http:\/\/.*\/Member\/all\/Play\/ -H .* -d '{"url":"sound:ring"}'$/);
});

test("an unknown element is refused under its field, and a chosen list is kicked by keys", async () => {
  await page.getByRole("grid", { name: "Members of MyConference" }).focus();
  await page.keyboard.press("End");
  await page.keyboard.press("Space");
  await page.keyboard.press("k");
  await page.keyboard.press("Space");
  await page.keyboard.press("x");
  await page.getByRole("heading", { name: "Kick 2 members of MyConference" }).waitFor();
  await page.getByLabel(/^Goes on at/).selectOption("element");
  await page.getByLabel("Element id").fill("nowhere");
  await page.locator(".panel .bad").getByText("nowhere").waitFor();
  assert.equal(await page.getByRole("button", { name: /^Kick/ }).last().isDisabled(), true);
  await page.getByLabel(/^Goes on at/).selectOption("hangup");
  await page.getByRole("region", { name: "Preview" }).getByText("hangs up").first().waitFor();
  await page.getByRole("button", { name: "Kick 2", exact: true }).click();
  await until("two members", async () => (await server.members()).length === 2);
  for (const call of calls.slice(2)) assert.equal((await server.phone(call)).state, "completed");
  await until("two rows", async () => (await rows(page).count()) === 2);
});

test("a preview lists who would leave because another one does", async () => {
  const { member_id: id } = await of(calls[0]);
  const button = page.getByRole("button", { name: `Kick member ${id}` });
  await button.hover();
  await page.getByRole("tooltip").getByText(/; 1 more would leave \(alone, \d+:\d+ Speak\)/).waitFor();
  await button.click();
  await page.getByRole("heading", { name: "2 would leave" }).waitFor();
  const causes = await page.getByRole("region", { name: "Preview" }).locator("tbody td:nth-child(3)").allInnerTexts();
  assert.deepEqual(causes.sort(), ["alone", "kicked"]);
  await page.getByRole("button", { name: "Kick 1", exact: true }).waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.locator(".panel").count(), 0);
});

test("a caller is dialled, and one is hung up", async () => {
  await page.getByRole("button", { name: "Dial…" }).click();
  await page.getByLabel("Name of the caller").fill("Anna");
  await page.getByRole("button", { name: "Dial", exact: true }).click();
  await rows(page).getByText("Anna").waitFor();
  const { member_id: id } = await of(calls[0]);
  await page.getByRole("button", { name: `Hang up member ${id}` }).click();
  await page.getByRole("button", { name: "Hang up", exact: true }).click();
  await until("the end of the call", async () => (await server.phone(calls[0])).state === "completed");
});

test("a ban is named before it is made, listed, and lifted", async () => {
  for (let n = 0; n < 2; n += 1) await server.dial();
  const call = await server.dial({ user: "anna" });
  const { member_id: id } = await until("the member", async () => of(call));
  await page.getByRole("button", { name: `Kick member ${id}` }).click();
  await page.getByLabel(/^Reason/).fill("too loud");
  await page.getByLabel(/^Ban/).fill("0");
  await page.locator(".panel .bad").getByText("ban_seconds").waitFor();
  await page.getByLabel(/^Ban/).fill("60");
  await page.getByRole("region", { name: "Preview" }).getByText("kicked, banned").waitFor();
  await page.getByRole("button", { name: "Kick 1", exact: true }).click();
  await page.getByText(`Member ${id} was kicked`).waitFor();
  await page.getByRole("button", { name: "Bans" }).click();
  const bans = page.getByRole("region", { name: "Bans of MyConference" });
  await bans.getByText("user:anna").waitFor();
  await bans.getByRole("button", { name: "Lift" }).click();
  await bans.getByText("Nobody is banned.").waitFor();
  const { bans: left } = await server.api("GET", server.below("Conference/MyConference/Ban/"));
  assert.deepEqual(left, []);
  await page.keyboard.press("Escape");
});

test("the events of all this are listed, and found by a filter", async () => {
  await page.getByRole("navigation", { name: "Pages" }).getByRole("link", { name: "Events" }).click();
  const events = page.getByRole("grid", { name: "Events" });
  await events.getByText("ConferenceExit").first().waitFor();
  await page.getByLabel("Event, caller or call").fill("Anna");
  await until("one caller's events", async () => {
    const names = await events.locator(".rows .row .c-caller").allInnerTexts();
    return names.length > 0 && names.every((it) => it === "Anna");
  });
  assert.deepEqual(page.troubles, []);
});
