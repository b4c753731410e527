// Test of a backend with Plivo's Node.js SDK: a small application against conflow. It answers with
// documents from the SDK's own builder, and checks each callback with the SDK's own validator.
//
//     node plivo_node.js http://127.0.0.1:8080 MACONFLOWDEV00000000 TOKEN
"use strict";

const http = require("node:http");
const { once } = require("node:events");
const axios = require("axios");

const [server, authId, token] = process.argv.slice(2);

// The SDK has fixed hosts: each request is redirected to the server.
const redirect = (request) => {
  const url = new URL(request.url, request.baseURL);
  const to = new URL(server);
  [url.protocol, url.host] = [to.protocol, to.host];
  return { ...request, url: url.toString(), baseURL: undefined };
};
const create = axios.create;
axios.create = (config) => {
  const instance = create.call(axios, config);
  instance.interceptors.request.use(redirect);
  return instance;
};
axios.interceptors.request.use(redirect);
const plivo = require("plivo");
const client = new plivo.Client(authId, token);

const told = [];
let base;

function check(what, isSo) {
  console.log((isSo ? "ok    " : "FAILED ") + what);
  if (!isSo) process.exit(1);
}

const web = http.createServer(async (request, response) => {
  let body = "";
  for await (const part of request) body += part;
  const url = new URL(request.url, base);
  const form = Object.fromEntries(new URLSearchParams(body));
  const isValid = plivo.validateV3Signature(
    request.method,
    base + request.url,
    request.headers["x-plivo-signature-v3-nonce"],
    token,
    request.headers["x-plivo-signature-v3"],
    form,
  );
  const fields = { ...Object.fromEntries(url.searchParams), ...form };
  told.push({ path: url.pathname, isValid, method: request.method, fields });
  if (url.pathname === "/answer") {
    const document = plivo.Response();
    const callbackUrl = `${base}/conference?from=node`;
    document.addConference("node", { callbackUrl, callbackMethod: fields.by, stayAlone: true });
    document.addSpeak("You have left the conference");
    document.addWait({ length: 30 });
    response.setHeader("content-type", "application/xml");
    return response.end(document.toXML());
  }
  response.end();
});

async function until(isSo, what) {
  for (let n = 0; n < 100; n += 1) {
    if (await isSo()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  check(what, false);
}

const count = async () => {
  try {
    return Number((await client.conferences.get("node")).conferenceMemberCount);
  } catch {
    return 0;
  }
};

async function main() {
  web.listen(0, "127.0.0.1");
  await once(web, "listening");
  base = `http://127.0.0.1:${web.address().port}`;

  for (const method of ["GET", "POST"]) {
    await client.calls.create(
      "14155550100",
      "sim:node?ring_ms=20",
      `${base}/answer?by=${method}`,
      { answerMethod: method, hangupUrl: `${base}/hangup` },
    );
  }
  await until(async () => (await count()) === 2, "two are in");
  const rooms = await client.conferences.list();
  check("conferences.list", JSON.stringify(rooms).includes('"node"'));
  const room = await client.conferences.get("node");
  const ids = room.members.map((member) => member.memberId);
  const kicked = room.members[0].callUuid;
  check("conferences.get", ids.length === 2);
  check("muteMember", (await client.conferences.muteMember("node", ids.join(","))).message === "muted");
  await client.conferences.unmuteMember("node", ids.join(","));
  check("deafMember", (await client.conferences.deafMember("node", "all")).message === "deaf");
  await client.conferences.undeafMember("node", "all");
  await client.conferences.speakTextToMember("node", ids[0], "Hello");
  await client.conferences.stopSpeakingTextToMember("node", ids[0]);
  check("kickMember", (await client.conferences.kickMember("node", ids[0])).message === "kicked");
  check("one is left", (await count()) === 1);
  const live = await client.calls.getLiveCall(kicked);
  check("getLiveCall", live.callStatus === "in-progress");
  await client.calls.speakText(kicked, "Hello");
  await client.calls.stopSpeakingText(kicked);
  await client.calls.hangup(kicked);
  await client.conferences.hangup("node");
  check("the room is gone", (await count()) === 0);
  await until(() => told.filter((it) => it.path === "/hangup").length === 2, "both are hung up");
  check("the SDK accepts every signature", told.every((it) => it.isValid));
  const methods = new Set(told.filter((it) => it.path === "/conference").map((it) => it.method));
  check("callbacks came by GET and by POST", methods.size === 2);
  console.log("plivo-node: all checks passed");
  process.exit(0);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
