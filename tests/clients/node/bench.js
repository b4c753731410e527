// Test bench for the SDKs for Node.js: counted checks, simulated phones, a folder of flows. The same as
// python/bench.py.
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const { isDeepStrictEqual } = require('node:util');

const {
  CLIENT_URL: URL,
  CLIENT_ID: AUTH_ID,
  CLIENT_TOKEN: TOKEN,
  CLIENT_FLOWS: FLOWS,
} = process.env;

// What happens by itself happens within a second; a slow machine takes longer.
const WAIT_MAX_MS = 10_000;

class Bench {
  constructor(name) {
    Object.assign(this, { name, passed: 0, failed: 0 });
  }

  // Checks that the values are equal.
  check(what, found, expected) {
    const why = () => `found ${JSON.stringify(found)}, expected ${JSON.stringify(expected)}`;
    this.#line(isDeepStrictEqual(found, expected), what, why);
  }

  // Checks that the action fails with this status, and this text in its message. (The SDK, as
  // compiled, throws only plain errors, so there is no class to check.)
  async raises(what, status, text, action) {
    let found;
    try {
      found = { returned: await action() };
    } catch (error) {
      found = { status: error?.status, message: String(error?.message ?? error), id: error?.apiID };
    }
    const good = found.status === status && found.message.includes(text) && found.id.length === 36;
    this.#line(good, what, () => `found ${JSON.stringify(found)}, expected ${status} ${text}`);
  }

  // Runs functions that take the bench, prints the result, and ends the process.
  async run(...sections) {
    for (const section of sections) {
      try {
        await section(this);
      } catch (error) {
        console.log(error);
        this.#line(false, section.name, () => 'an error ended it');
      }
    }
    await Phone.hangUpAll();
    console.log(`${this.name}: ${this.passed} passed, ${this.failed} failed`);
    process.exit(this.passed && !this.failed ? 0 : 1);
  }

  #line(good, what, why) {
    if (good) this.passed += 1;
    else this.failed += 1;
    console.log(good ? `ok    ${what}` : `FAIL  ${what}: ${why()}`);
  }
}

// A simulated phone, made by `POST /sim/v1/…/Phone/`.
class Phone {
  static dialled = [];

  static async dial(to, more = {}) {
    const phone = new Phone();
    phone.uuid = (await ask('POST', '', { to, ...more })).call_uuid;
    Phone.dialled.push(phone);
    return phone;
  }

  // Ends all calls, so that the server has none left when it stops.
  static async hangUpAll() {
    for (const phone of Phone.dialled) {
      if ((await phone.look()).state !== 'completed') await ask('DELETE', `${phone.uuid}/`);
    }
  }

  // Returns its state and timeline.
  look() {
    return ask('GET', `${this.uuid}/`);
  }

  // Returns what it has heard, one text per sound, without silence.
  async heard() {
    const { timeline } = await this.look();
    return timeline.filter((entry) => entry.heard !== 'silence').map(text);
  }

  // Returns what it hears now, or heard last.
  async hears() {
    const { timeline } = await this.look();
    return timeline.length ? text(timeline.at(-1)) : '';
  }

  press(digits) {
    return ask('POST', `${this.uuid}/Press/`, { digits });
  }

  // Waits until it hears this, and returns the phone.
  async until(words) {
    await wait(
      `to hear ${words}`,
      () => this.hears(),
      (hears) => hears === words,
    );
    return this;
  }

  // Waits until it has heard this, whatever it hears now.
  async hasHeard(words) {
    await wait(
      `to have heard ${words}`,
      () => this.heard(),
      (heard) => heard.includes(words),
    );
    return true;
  }

  // Waits until its call has ended, and returns all that it has heard.
  async ended() {
    await wait(
      'for the end',
      () => this.look(),
      (it) => it.state === 'completed',
    );
    return this.heard();
  }
}

// Writes a flow atomically.
function flow(name, document) {
  const file = path.join(FLOWS, `${name}.xml`);
  fs.writeFileSync(`${file}.new`, document);
  fs.renameSync(`${file}.new`, file);
  return name;
}

async function wait(what, look, isGood) {
  const end = Date.now() + WAIT_MAX_MS;
  for (;;) {
    const seen = await look();
    if (isGood(seen)) return;
    if (Date.now() > end) throw new Error(`waited too long ${what}, but ${JSON.stringify(seen)}`);
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
}

async function ask(method, below, body) {
  const answer = await fetch(`${URL}/sim/v1/Account/${AUTH_ID}/Phone/${below}`, {
    method,
    headers: { 'X-Auth-ID': AUTH_ID, 'X-Auth-Token': TOKEN, 'Content-Type': 'application/json' },
    body: body && JSON.stringify(body),
  });
  if (!answer.ok)
    throw new Error(`${method} Phone/${below}: ${answer.status} ${await answer.text()}`);
  const words = await answer.text();
  return words && JSON.parse(words);
}

function text(entry) {
  return [entry.heard, entry.conference, entry.text, entry.url].filter(Boolean).join(' ');
}

module.exports = { URL, AUTH_ID, TOKEN, Bench, Phone, flow };
