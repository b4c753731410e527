// Test of documents that the XML builder of Plivo's SDK for Node.js makes, run by conflow.
'use strict';

const plivo = require('plivo');
const { AUTH_ID, TOKEN, Phone, flow } = require('./bench.js');

const { conferences } = new plivo.Client(AUTH_ID, TOKEN);

// Writes a flow with the elements that the function adds.
function write(name, add) {
  const document = new plivo.Response();
  add(document);
  return flow(name, document.toXML());
}

const says = (name, text) => write(name, (it) => it.addSpeak(text));

async function conferenceAttributes(bench) {
  says('left', 'You have left by the star.');
  const left = 'speech You have left by the star.';
  const name = write('attributes', (it) =>
    it.addConference('attributes', {
      muted: true,
      beep: false,
      enterSound: 'beep:1',
      exitSound: 'beep:2',
      startConferenceOnEnter: true,
      endConferenceOnExit: false,
      stayAlone: true,
      waitSound: 'sound:hold',
      maxMembers: 2,
      record: false,
      recordWhenAlone: false,
      recordFileFormat: 'wav',
      timeLimit: 600,
      hangupOnStar: true,
      action: 'flow:left',
      method: 'GET',
      redirect: true,
      callbackUrl: 'http://127.0.0.1:9/conference',
      callbackMethod: 'POST',
      digitsMatch: '1,22',
      floorEvent: true,
      relayDTMF: true,
    }),
  );
  const first = await (await Phone.dial(name)).until('wait sound:hold');
  // The wait sound may be ordered some milliseconds before the beep that is heard over it.
  await first.hasHeard('beep');
  bench.check(
    'Conference: enterSound, then waitSound while alone',
    (await first.heard()).slice(0, 2).includes('beep'),
    true,
  );
  const second = await (await Phone.dial(name)).until('room attributes');
  const { members } = await conferences.get('attributes');
  bench.check(
    'Conference: muted',
    members.map((member) => member.muted),
    [true, true],
  );
  const third = await Phone.dial(name);
  bench.check('Conference: maxMembers, the third continues with the action', await third.ended(), [
    left,
  ]);
  await second.press('*');
  bench.check('Conference: hangupOnStar and action', (await second.ended()).at(-1), left);
  await conferences.hangup('attributes');
}

async function conferenceStartAndEnd(bench) {
  write('guest', (it) => {
    it.addConference('panel', { startConferenceOnEnter: false, waitSound: 'sound:ring' });
    it.addSpeak('The panel is over.');
    it.addWait({ length: 60 });
  });
  write('host', (it) => {
    it.addConference('panel', { endConferenceOnExit: true });
    it.addSpeak('You have ended it.');
    it.addWait({ length: 60 });
  });
  const guest = await (await Phone.dial('guest')).until('wait sound:ring');
  const host = await (await Phone.dial('host')).until('room panel');
  await guest.until('room panel');
  await guest.press('5');
  bench.check('Conference: the keys are heard', await host.hasHeard('sound dtmf:5'), true);
  const { members } = await conferences.get('panel');
  await conferences.kickMember('panel', members.find((it) => it.callUuid === host.uuid).memberId);
  bench.check(
    'Conference: endConferenceOnExit, all leave at once',
    [await host.hears(), await guest.hears()],
    ['speech You have ended it.', 'speech The panel is over.'],
  );
}

async function getDigits(bench) {
  says('digits', 'Thank you for the digits.');
  const name = write('get-digits', (it) => {
    const digits = it.addGetDigits({
      action: 'flow:digits',
      method: 'POST',
      timeout: 1,
      digitTimeout: 1,
      finishOnKey: '#',
      numDigits: 4,
      retries: 2,
      redirect: true,
      playBeep: true,
      validDigits: '1234',
      invalidDigitsSound: 'sound:ring',
      log: false,
    });
    digits.addSpeak('Your PIN?', { voice: 'MAN', language: 'en-GB' });
    digits.addPlay('sound:hold', { loop: 1 });
    it.addSpeak('No digits.');
  });
  const silent = await Phone.dial(name);
  const typing = await (await Phone.dial(name)).until('speech Your PIN?');
  await typing.press('12#');
  const thanks = ['speech Your PIN?', 'speech Thank you for the digits.'];
  bench.check('GetDigits: keys end the prompts, the action follows', await typing.ended(), thanks);
  const prompts = ['speech Your PIN?', 'sound sound:hold', 'beep'];
  bench.check('GetDigits: retries, then the next element', await silent.ended(), [
    ...prompts,
    ...prompts,
    'speech No digits.',
  ]);
}

async function getInput(bench) {
  says('input', 'Thank you for the input.');
  const name = write('get-input', (it) => {
    const input = it.addGetInput({
      action: 'flow:input',
      method: 'POST',
      inputType: 'dtmf',
      executionTimeout: 5,
      digitEndTimeout: 2,
      speechEndTimeout: 2,
      finishOnKey: '*',
      numDigits: 1,
      speechModel: 'default',
      hints: 'yes,no',
      language: 'en-US',
      interimSpeechResultsCallback: 'http://127.0.0.1:9/speech',
      interimSpeechResultsCallbackMethod: 'POST',
      log: true,
      redirect: true,
      profanityFilter: false,
    });
    input.addSpeak('Press any key.');
    input.addWait({ length: 1 });
    input.addPlay('sound:hold');
    it.addSpeak('No input.');
  });
  const phone = await (await Phone.dial(name)).until('speech Press any key.');
  await phone.press('7');
  bench.check('GetInput: one key, then the action', await phone.ended(), [
    'speech Press any key.',
    'speech Thank you for the input.',
  ]);
}

async function speak(bench) {
  const name = write('speak', (it) => {
    const speech = it.addSpeak('Dear', { voice: 'Polly.Amy', language: 'en-GB', loop: 1 });
    speech.addBreak({ strength: 'medium', time: '200ms' });
    speech.addText(' Anna, ');
    speech.addEmphasis('you', { level: 'strong' });
    speech.addLang(' bonjour', { 'xml:lang': 'fr-FR' });
    speech.addP('A paragraph.');
    speech.addS('A sentence.');
    speech.addPhoneme('pecan', { alphabet: 'ipa', ph: 'pɪˈkɑːn' });
    speech.addProsody(' loud', { volume: 'loud', rate: 'fast', pitch: 'high' });
    speech.addSayAs(' 12', { 'interpret-as': 'cardinal' });
    speech.addSub(' WHO', { alias: 'World Health Organization' });
    speech.addW(' read', { role: 'ivona:VBD' });
    it.addSpeak('Grüße & Küsse <3', { loop: 2 });
  });
  const greeting = 'speech Grüße & Küsse <3';
  bench.check(
    'Speak: SSML is read as its text, loop, characters that XML escapes',
    await (await Phone.dial(name)).ended(),
    [
      'speech Dear Anna, you bonjour A paragraph. A sentence. pecan loud 12 WHO read',
      greeting,
      greeting,
    ],
  );
}

async function theOthers(bench) {
  says('there', 'You have been redirected.');
  const name = write('others', (it) => {
    const before = it.addPreAnswer();
    before.addSpeak('It rings.');
    before.addPlay('sound:ring');
    before.addWait({ length: 1 });
    it.addPlay('https://example.com/hello.mp3', { loop: 2 });
    it.addDTMF('1w2', { async: false });
    it.addWait({ length: 1, silence: false, minSilence: 200, beep: false });
    it.addRedirect('flow:there', { method: 'GET' });
    it.addSpeak('Never heard.');
  });
  const phone = await (await Phone.dial(name)).until('speech It rings.');
  bench.check('PreAnswer: not answered yet', (await phone.look()).state, 'ringing');
  const hello = 'sound https://example.com/hello.mp3';
  const found = (await phone.ended()).filter((text) => !text.includes('dtmf'));
  bench.check('PreAnswer, Play, DTMF, Wait, Redirect: in their order', found, [
    'speech It rings.',
    'sound sound:ring',
    hello,
    hello,
    'speech You have been redirected.',
  ]);

  write('busy', (it) => {
    it.addHangup({ reason: 'busy' });
    it.addSpeak('Never heard.');
  });
  const busy = await Phone.dial('busy');
  bench.check('Hangup: nothing is heard', await busy.ended(), []);
  bench.check('Hangup: reason', (await busy.look()).hangup_cause_name, 'Busy Line');
}

module.exports = [
  conferenceAttributes,
  conferenceStartAndEnd,
  getDigits,
  getInput,
  speak,
  theOthers,
];
