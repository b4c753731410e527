// Test of endpoints and applications with Plivo's SDK for Node.js.
'use strict';

const plivo = require('plivo');
const { AUTH_ID, TOKEN } = require('./bench.js');

const client = new plivo.Client(AUTH_ID, TOKEN);
const ANSWER = 'https://app.example/answer';
const URI = `/v1/Account/${AUTH_ID}`;

async function applications(bench) {
  const api = client.applications;
  const made = await api.create('desk', { answerUrl: ANSWER, answerMethod: 'GET' });
  bench.check('application: it is made', made.message, 'created');
  const app = await api.get(made.appId);
  const found = [app.appId, app.appName, app.answerUrl, app.answerMethod, app.enabled];
  bench.check('application: get', found, [made.appId, 'desk', ANSWER, 'GET', true]);
  const listed = await api.list({ limit: 5 });
  bench.check(
    'application: list',
    listed.map((it) => it.appId),
    [made.appId],
  );
  const changed = await api.update(made.appId, { answerUrl: `${ANSWER}/2` });
  bench.check('application: update', changed.message, 'changed');
  const again = await api.get(made.appId);
  bench.check(
    'application: what has changed',
    [again.answerUrl, again.answerMethod],
    [`${ANSWER}/2`, 'GET'],
  );
  bench.check('application: delete', await api.delete(made.appId), true);
  await bench.raises('application: it is gone', 404, 'application not found', () =>
    api.get(made.appId),
  );
}

async function endpoints(bench) {
  const api = client.endpoints;
  const { appId } = await client.applications.create('desk', { answerUrl: ANSWER });
  const made = await api.create('anna', 'correct-horse', 'Anna', appId);
  bench.check('endpoint: it is made', [made.message, made.alias], ['created', 'Anna']);
  bench.check('endpoint: 12 digits', /^anna[0-9]{12}$/.test(made.username), true);
  const one = await api.get(made.endpointId);
  const found = [one.alias, one.application, one.endpointId, one.sipRegistered, one.username];
  bench.check('endpoint: get', found, [
    'Anna',
    `${URI}/Application/${appId}/`,
    made.endpointId,
    'false',
    made.username,
  ]);
  bench.check('endpoint: its URI', one.sipUri, `sip:${made.username}@localhost`);
  bench.check(
    'endpoint: list',
    (await api.list()).map((it) => it.username),
    [made.username],
  );
  const changed = await api.update(made.endpointId, { alias: 'Anne', password: 'other-horse' });
  bench.check('endpoint: update', changed.message, 'changed');
  bench.check('endpoint: it has changed', (await api.get(made.endpointId)).alias, 'Anne');
  await client.applications.delete(appId, { cascade: false });
  bench.check('endpoint: it stays', (await api.get(made.endpointId)).application, null);
  await api.delete(made.endpointId);
  bench.check('endpoint: delete', (await api.list()).length, 0);
  await bench.raises('endpoint: a short password', 400, 'password: give 5 to 128 characters', () =>
    api.create('anna', 'four', 'Anna'),
  );
}

module.exports = [applications, endpoints];
