// A subscriber with nothing but the npm client mqtt and docs/mqtt.md: prints and stores each event of every device once.
//
//   node subscriber.js STORE.jsonl [mqtt://localhost:1883] [--base touchline] [--mqtt311]
//
// The store is a file of JSON lines: events, and gaps that explain what will never come. A line is on the disk before
// the broker gets its acknowledgement, and the broker keeps for us what we have not acknowledged.

import fs from "node:fs";
import { parseArgs } from "node:util";
import mqtt from "mqtt";

const PATIENCE_MS = 2000; // what is late comes by itself; what is missing for longer is asked for
const SESSION_SECONDS = 3600;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { base: { type: "string", default: "touchline" }, mqtt311: { type: "boolean", default: false } },
});
const [storePath, url = "mqtt://localhost:1883"] = positionals;
if (!storePath) {
  console.error("usage: node subscriber.js STORE.jsonl [URL] [--base touchline] [--mqtt311]");
  process.exit(2);
}

const base = options.base;
const caller = `javascript-${process.pid}-${Date.now()}`;
const seen = new Set(); // "node source boot seq": the key of a message
const streams = new Map(); // "node source stream" -> Map of offset -> event, or null for what a gap explains
const holes = new Map(); // "node source stream offset" -> when to ask for what is missing before that offset

load();
const store = fs.openSync(storePath, "a");
const client = mqtt.connect(url, {
  clientId: `example-${storePath}`.replace(/[^\w-]+/g, "-"),
  clean: false,
  protocolVersion: options.mqtt311 ? 4 : 5,
  properties: options.mqtt311 ? undefined : { sessionExpiryInterval: SESSION_SECONDS },
  reconnectPeriod: 1000,
  keepalive: 15,
  resubscribe: false,
});

client.on("connect", () => {
  // At every connection: the broker may have forgotten us.
  const topics = ["+/status", "+/info", "+/+/event", "+/+/gap", `+/rpc/history/reply/${caller}`];
  client.subscribe(topics.map((topic) => `${base}/${topic}`), { qos: 1 });
});
client.on("error", (error) => console.error(`${url}: ${error.message || error.code}`));
// The client acknowledges a message when its listeners have returned: by then it is on the disk.
client.on("message", (topic, payload) => {
  const [node, ...rest] = topic.slice(base.length + 1).split("/");
  if (rest.join("/") === "status") return console.log(`${node} is ${payload}`);
  let message;
  try {
    message = JSON.parse(payload);
  } catch (error) {
    return console.error(`${topic}: not JSON: ${error.message}`);
  }
  if (rest[0] === "info") catchUp(message);
  else if (rest[1] === "event") takeEvent(message.specversion ? message.data : message);
  else if (rest[1] === "gap") takeGap(message);
  else if (rest[0] === "rpc" && message.ok) takeHistory(node, message);
});
const timer = setInterval(askForMissing, 500);

for (const name of ["SIGINT", "SIGTERM"]) {
  process.on(name, () => {
    clearInterval(timer);
    client.end(false, {}, () => process.exit(0));
  });
}

function load() {
  if (!fs.existsSync(storePath)) return;
  const text = fs.readFileSync(storePath, "utf8");
  const whole = text.slice(0, text.lastIndexOf("\n") + 1); // a line that a power cut tore comes again
  if (whole.length < text.length) fs.writeFileSync(storePath, whole);
  for (const line of whole.split("\n").filter(Boolean)) remember(JSON.parse(line));
}

function commit(message) {
  fs.writeSync(store, JSON.stringify(message) + "\n");
  fs.fsyncSync(store);
  remember(message);
}

function keyOf(event) {
  return `${event.node} ${event.source} ${event.boot} ${event.seq}`;
}

function remember(message) {
  if (message.schema === "event/1") seen.add(keyOf(message));
  if (message.stream === null) return;
  const stream = `${message.node} ${message.source} ${message.stream}`;
  if (!streams.has(stream)) streams.set(stream, new Map());
  const offsets = streams.get(stream);
  if (message.schema === "event/1") offsets.set(message.offset, message);
  else for (let at = message.first; at <= message.last; at++) if (!offsets.has(at)) offsets.set(at, null);
}

function takeEvent(event) {
  if (event.schema !== "event/1" || seen.has(keyOf(event))) return;
  commit(event);
  const late = event.late ? "  (late)" : "";
  console.log(`${event.start}  ${event.node}/${event.source}  ${event.type} ${event.label} ${event.score}${late}`);
}

function takeGap(gap) {
  if (gap.schema !== "gap/1") return;
  const offsets = streams.get(`${gap.node} ${gap.source} ${gap.stream}`);
  if (offsets?.has(gap.first) && offsets.has(gap.last)) return;
  commit(gap);
  console.log(`${gap.node}/${gap.source}: dropped ${JSON.stringify(gap.dropped)}: ${gap.reason}`);
}

function takeHistory(node, reply) {
  reply.events.forEach(takeEvent);
  const last = reply.events.at(-1);
  if (reply.more && last) ask(node, last.boot, last.seq);
}

// We or the device are here anew: ask for what follows what we have of its boot without a hole.
function catchUp({ node, boot, sources: [source] }) {
  let seq = 0;
  while (seen.has(keyOf({ node, source, boot, seq: seq + 1 }))) seq += 1;
  ask(node, boot, seq);
}

function askForMissing() {
  if (!client.connected) return;
  const now = Date.now();
  for (const [stream, offsets] of streams) {
    const [node, source] = stream.split(" ");
    const sorted = [...offsets.keys()].sort((a, b) => a - b);
    let before = offsets.get(sorted[0]);
    sorted.forEach((offset, index) => {
      const hole = `${stream} ${offset}`;
      const event = offsets.get(offset);
      if (index === 0 || sorted[index - 1] === offset - 1) {
        holes.delete(hole);
      } else if (!holes.has(hole)) {
        holes.set(hole, now + PATIENCE_MS);
      } else if (now >= holes.get(hole)) {
        holes.set(hole, now + 2 * PATIENCE_MS);
        console.log(`${node}/${source}: something is missing before offset ${offset}`);
        if (before) ask(node, before.boot, before.seq);
        if (event && event.boot !== before?.boot) ask(node, event.boot, 0);
      }
      before = event ?? before;
    });
  }
}

function ask(node, boot, after) {
  const topic = `${base}/${node}/rpc/history`;
  const question = {
    schema: "rpc/1",
    id: `${Date.now()}-${Math.random().toString(36).slice(2)}`,
    reply_to: `${topic}/reply/${caller}`,
    parameters: { boot, after, limit: 100 },
  };
  client.publish(topic, JSON.stringify(question), { qos: 1 });
}
