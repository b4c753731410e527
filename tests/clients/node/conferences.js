// Test of the conference API with Plivo's SDK for Node.js.
'use strict';

const plivo = require('plivo');
const { AUTH_ID, TOKEN, Phone, flow } = require('./bench.js');

const client = new plivo.Client(AUTH_ID, TOKEN);
const { conferences } = client;

// What an application asks for at its start.
async function start(bench) {
  bench.check('start: the account', (await client.accounts.get()).name, AUTH_ID);
  for (const name of ['applications', 'endpoints', 'numbers', 'recordings']) {
    bench.check(`start: ${name}`, (await client[name].list()).length, 0);
  }
}

const OUT = 'speech You are out.';

// Dials `count` phones into a room, and returns them with their member ids.
async function enter(room, count) {
  const document = new plivo.Response();
  document.addConference(room);
  document.addSpeak('You are out.');
  document.addWait({ length: 60 });
  const name = flow('enter', document.toXML());
  const phones = [];
  for (let n = 0; n < count; n += 1)
    phones.push(await (await Phone.dial(name)).until(`room ${room}`));
  return { phones, ids: await idsOf(room, phones) };
}

async function idsOf(room, phones) {
  const { members } = await conferences.get(room);
  return phones.map((phone) => members.find((member) => member.callUuid === phone.uuid).memberId);
}

const hear = (phones) => Promise.all(phones.map((phone) => phone.hears()));
const states = async (phones) => {
  const looks = await Promise.all(phones.map((phone) => phone.look()));
  return looks.map((it) => it.state);
};

async function listAndGet(bench) {
  bench.check('list: there are no conferences', (await conferences.list()).conferences, []);
  const {
    phones: [phone],
  } = await enter('look', 1);
  bench.check('list: its name', (await conferences.list()).conferences, [
    'look',
  ]);
  const room = await conferences.get('look');
  const found = [
    room.conferenceName,
    room.conferenceMemberCount,
    room.conferenceRunTime,
    room.apiId.length,
  ];
  bench.check('get: name, count, run time, api_id', found, ['look', '1', '0', 36]);
  const [member] = room.members;
  bench.check(
    'get: the member',
    [member.callUuid, member.to, member.muted, member.deaf, member.direction],
    [phone.uuid, 'enter', false, false, 'inbound'],
  );
  await conferences.hangup('look');
}

async function kick(bench) {
  const {
    phones,
    ids: [one, two, three, four],
  } = await enter('kick', 4);
  let answer = await conferences.kickMember('kick', one);
  bench.check('kick: at once the phone hears the next element', await phones[0].hears(), OUT);
  bench.check(
    'kick: the answer',
    [answer.message, answer.memberId, answer.apiId.length],
    ['kicked', one, 36],
  );
  bench.check(
    'kick: the others hear the room',
    await hear(phones.slice(1)),
    Array(3).fill('room kick'),
  );
  await bench.raises('kick: a member who has left is not found', 404, 'member not found', () =>
    conferences.kickMember('kick', one),
  );

  answer = await conferences.kickMember('kick', `${two},${three}`);
  bench.check(
    'kick: at once a list of two hears the next element',
    await hear(phones.slice(1, 3)),
    [OUT, OUT],
  );
  bench.check('kick: the answer names the list', answer.memberId, `${two},${three}`);

  const {
    phones: [fifth],
  } = await enter('kick', 1);
  const left = [phones[3], fifth];
  answer = await new plivo.Client(AUTH_ID, TOKEN).conferences.kickMember('kick', 'all');
  bench.check('kick: at once all hear the next element', await hear(left), [OUT, OUT]);
  bench.check('kick: the answer says all', answer.memberId, 'all');
  await bench.raises('kick: the room without members is gone', 404, 'conference not found', () =>
    conferences.kickMember('kick', four),
  );
}

async function muteAndDeaf(bench) {
  const { ids } = await enter('quiet', 3);
  for (const [flag, start, stop, message] of [
    ['muted', 'muteMember', 'unmuteMember', 'muted'],
    ['deaf', 'deafMember', 'undeafMember', 'deaf'],
  ]) {
    const flags = async () =>
      (await conferences.get('quiet')).members.map((member) => member[flag]);
    for (const [form, who, expected] of [
      ['one', ids[0], [true, false, false]],
      ['a list', `${ids[0]},${ids[2]}`, [true, false, true]],
      ['all', 'all', [true, true, true]],
    ]) {
      const answer = await conferences[start]('quiet', who);
      bench.check(
        `${start}: ${form}`,
        [answer.message, answer.memberId, await flags()],
        [message, who, expected],
      );
      await conferences[stop]('quiet', who);
      bench.check(`${stop}: ${form}`, await flags(), [false, false, false]);
    }
  }
  await conferences.hangup('quiet');
}

async function playAndSpeak(bench) {
  const { phones, ids } = await enter('loud', 3);
  const url = 'https://example.com/ten-minutes.mp3';
  const words = Array(20).fill('This is an announcement that lasts.').join(' ');
  for (const [action, start, stop, sound] of [
    [
      'play',
      (who) => conferences.playAudioToMember('loud', who, url),
      'stopPlayingAudioToMember',
      `sound ${url}`,
    ],
    [
      'speak',
      (who) =>
        conferences.speakTextToMember('loud', who, words, { voice: 'MAN', language: 'en-GB' }),
      'stopSpeakingTextToMember',
      `speech ${words}`,
    ],
  ]) {
    for (const [form, who, hearers] of [
      ['one', ids[1], [1]],
      ['a list', `${ids[0]},${ids[1]}`, [0, 1]],
      ['all', 'all', [0, 1, 2]],
    ]) {
      const answer = await start(who);
      const expected = phones.map((_, n) => (hearers.includes(n) ? sound : 'room loud'));
      bench.check(`${action}: ${form} hears it at once`, await hear(phones), expected);
      bench.check(
        `${action}: ${form}, the answer`,
        [answer.message, answer.memberId],
        [`${action} queued into conference`, who],
      );
      await conferences[stop]('loud', who);
      bench.check(
        `${action}: ${form}, stopped at once`,
        await hear(phones),
        Array(3).fill('room loud'),
      );
    }
  }
  await conferences.hangup('loud');
}

async function hangUp(bench) {
  const { phones, ids } = await enter('end', 4);
  await conferences.hangupMember('end', ids[0]);
  await conferences.hangupMember('end', `${ids[1]},${ids[2]}`);
  bench.check('hang up: one and a list have ended at once', await states(phones), [
    'completed',
    'completed',
    'completed',
    'in-progress',
  ]);
  bench.check('hang up: the room', await conferences.hangup('end'), true);
  bench.check(
    'hang up: all in it have ended at once',
    await states(phones),
    Array(4).fill('completed'),
  );
  await bench.raises('hang up: the room is gone', 404, 'conference not found', () =>
    conferences.hangup('end'),
  );

  const all = [...(await enter('end', 2)).phones, ...(await enter('end too', 2)).phones];
  await conferences.hangupAll();
  bench.check(
    'hang up all: everybody has ended at once',
    await states(all),
    Array(4).fill('completed'),
  );
  bench.check('hang up all: there is no room', (await conferences.list()).conferences, []);
}

async function names(bench) {
  for (const room of [
    'A room with blanks',
    'Küche ☎ 会議',
    'R&D + Sales, Köln; (a=b)',
    "100.5~_-!*'@:$",
  ]) {
    const {
      phones: [phone],
      ids: [id],
    } = await enter(room, 1);
    bench.check(
      `${room}: listed and found`,
      [(await conferences.list()).conferences, (await conferences.get(room)).conferenceName],
      [[room], room],
    );
    await conferences.kickMember(room, id);
    bench.check(`${room}: kicked out of`, await phone.hears(), OUT);
  }
}

async function errors(bench) {
  const {
    phones: [phone],
    ids: [id],
  } = await enter('here', 1);
  const stranger = new plivo.Client(AUTH_ID, 'wrong').conferences;
  for (const [what, status, text, action] of [
    ['a wrong token', 401, 'wrong credentials', () => stranger.list()],
    [
      'speak an empty text',
      400,
      'text: missing',
      () => conferences.speakTextToMember('here', id, ' '),
    ],
    [
      'play what is no sound',
      400,
      'url: not a sound',
      () => conferences.playAudioToMember('here', id, 'file:///etc/hosts'),
    ],
  ]) {
    await bench.raises(`errors: ${what}`, status, text, action);
  }
  for (const action of [
    'kickMember',
    'muteMember',
    'unmuteMember',
    'deafMember',
    'undeafMember',
    'stopPlayingAudioToMember',
    'stopSpeakingTextToMember',
    'hangupMember',
  ]) {
    await bench.raises(`errors: ${action}, no such room`, 404, 'conference not found', () =>
      conferences[action]('nowhere', id),
    );
    await bench.raises(`errors: ${action}, no such member`, 404, 'member not found', () =>
      conferences[action]('here', '999999'),
    );
  }
  bench.check('errors: nothing has happened', await phone.heard(), ['room here']);
  await conferences.hangupAll();
}

module.exports = [start, listAndGet, kick, muteAndDeaf, playAndSpeak, hangUp, names, errors];
