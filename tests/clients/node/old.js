// Test with plivo 4.0 and 4.12 for Node.js, which send multipart forms, against a running conflow.
'use strict';

const { URL, AUTH_ID, TOKEN, Bench, Phone, flow } = require('./bench.js');

// The SDK has no option for the host of its voice requests: as in docs/sdks.md.
const path = require.resolve('request');
const send = require(path);
require.cache[path].exports = (options, done) =>
  send({ ...options, url: options.url.replace(/^https:\/\/[^/]*/, URL) }, done);

const document =
  '<Response><Conference>old</Conference><Speak>Out.</Speak><Wait length="60"/></Response>';

const section = (version) =>
  async function old(bench) {
    const { Client } = require(`plivo-${version}`);
    const client = new Client(AUTH_ID, TOKEN);
    const check = (what, found, expected) => bench.check(`${version}: ${what}`, found, expected);
    const refused = (promise) => promise.then(JSON.stringify, (error) => String(error.message));
    const phone = await (await Phone.dial(flow('old', document))).until('room old');

    const room = await client.conferences.get('old');
    const [{ memberId }] = room.members;
    check('get: its members are counted', room.conferenceMemberCount, '1');
    const muted = await client.conferences.muteMember('old', memberId);
    check('mute', [muted.message, muted.memberId], ['muted', memberId]);
    const spoken = await client.conferences.speakTextToMember('old', memberId, 'Hello there.');
    check('speak', spoken.message, 'speak queued into conference');
    check('speak: it is heard', await phone.hasHeard('speech Hello there.'), true);
    const record = await refused(client.conferences.record('old', { fileFormat: 'mp3' }));
    check('record', record.includes('conference recording started'), true);
    const kicked = await client.conferences.kickMember('old', memberId);
    check('kick', [kicked.message, kicked.memberId], ['kicked', memberId]);
    check('kick: the next element', await phone.hears(), 'speech Out.');

    const call = await client.calls.create('1', 'sim:old', 'flow:old', { timeLimit: 60 });
    check('make a call', call.message, 'call fired');
    const played = await client.calls.playMusic(phone.uuid, 'sound:beep');
    check('play', played.message, 'play started');
    await client.calls.hangup(call.requestUuid);
    const account = await client.accounts.get();
    check('account', account.authId, AUTH_ID);
    for (const kind of ['applications', 'endpoints', 'numbers']) {
      check(`list: ${kind}`, (await client[kind].list()).length, 0);
    }
    // The conference was recorded above.
    check('list: recordings', 0 < (await client.recordings.list()).length, true);
  };

new Bench('plivo-node-old').run(section('4.0'), section('4.12'));
