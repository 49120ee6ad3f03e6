// The page: one snapshot, then a message a second for each source; what it shows is what the device said last.
import { drawEvents, judge, walk } from "./events.js";
import { drawAlarm, drawHealth, drawModel } from "./health.js";
import { drawSource, picture } from "./live.js";
import { $, CARDS, SECONDS, clock, darkness, judgesOf, state, top } from "./state.js";

const SILENCE_MS = 6000;

// --- What comes from the device.

let stream = null, loaded = false, early = [], pause = 1000;

function connect() {
  stream?.close();
  loaded = false, early = [];
  stream = new EventSource("/stream");
  stream.onopen = load;
  stream.onmessage = ({ data }) => {
    state.heard = performance.now();
    const message = JSON.parse(data);
    loaded ? take(message) : early.push(message);
  };
  stream.addEventListener("dropped", load);
  stream.onerror = () => {
    lost(true);
    if (stream.readyState !== EventSource.CLOSED) return;
    setTimeout(connect, pause); // refused: full, or we are logged out
    pause = Math.min(pause * 2, 15000);
  };
}

async function load() {
  const answer = await fetch("/api/state").catch(() => null);
  if (answer?.status === 401) return location.assign("/login");
  if (!answer?.ok) return;
  const { clock, nodes, sources, events, pictures } = await answer.json();
  Object.assign(state, { sources, nodes, pictures, heard: performance.now(), ahead: Date.parse(clock) - Date.now() });
  state.events = new Map(events.reverse().map((shown) => [shown.event.id, shown]));
  if (!state.sources[state.shown]) state.shown = Object.keys(sources)[0] ?? null;
  loaded = true, pause = 1000;
  lost(false);
  early.splice(0).forEach(take);
  drawAll();
}

function take({ source, tick, events, standing, node }) {
  const [name] = source.split("/");
  const known = (state.sources[source] ??= { node: name, source: source.slice(name.length + 1), history: [] });
  state.shown ??= source;
  known.standing = standing ?? known.standing;
  if (node) (state.nodes[name] ??= {}).standing = node;
  if (tick && tick.media_start !== known.tick?.media_start) {
    known.tick = tick;
    known.history = [...known.history, brief(tick)].slice(-SECONDS);
  }
  for (const shown of events) state.events.set(shown.event.id, shown);
  if (source === state.shown) drawSource();
  if (events.length) drawEvents();
  drawHealth();
}

function brief(tick) {
  const judges = Object.fromEntries(judgesOf(tick).map(([name, probabilities]) => [name, top(probabilities)]));
  return { media_start: tick.media_start, label: tick.label, judges };
}

function lost(is) {
  document.body.classList.toggle("lost", is);
  drawAlarm();
}

function drawAll() {
  drawHealth();
  drawModel();
  drawSource();
  drawEvents();
}

// --- What a person does.

const THEMES = { "": ["dark", "Dark"], dark: ["light", "Light"], light: ["", "Auto"] };
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  $("theme").textContent = { "": "Auto", dark: "Dark", light: "Light" }[name];
  $("theme").ariaLabel = `Colours: ${{ "": "as the system", dark: "dark", light: "light" }[name]}`;
  localStorage.setItem("theme", name);
  drawAll();
}

$("theme").onclick = () => theme(THEMES[document.documentElement.dataset.theme ?? ""][0]);
$("all").onclick = () => {
  state.all = !state.all;
  $("all").ariaPressed = state.all;
  $("all").textContent = state.all ? "Likeliest" : "All classes";
  drawSource();
};
$("more").onclick = () => { state.cards += 2 * CARDS; drawEvents(); };
$("close").onclick = () => $("event").close();
$("event").onclose = () => {
  const button = [...$("list").querySelectorAll("button")].find(({ dataset }) => dataset.id === state.open);
  state.open = null;
  $("clip").removeAttribute("src");
  $("clip").load();
  button?.focus();
};
$("correct").onclick = () => judge({ verdict: "ack" });
$("wrong").onclick = () => judge({ verdict: "wrong" });
$("was").onsubmit = (event) => { event.preventDefault(); judge({ verdict: "label", label: $("truth").value }); };
$("newer").onclick = () => walk(-1);
$("older").onclick = () => walk(1);
$("event").onkeydown = (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || ["SELECT", "VIDEO"].includes(event.target.tagName)) return;
  ({ c: () => judge({ verdict: "ack" }), w: () => judge({ verdict: "wrong" }), ArrowLeft: () => walk(-1), ArrowRight: () => walk(1) })[event.key]?.();
};
darkness.onchange = drawAll;
addEventListener("resize", drawSource);
addEventListener("choose", ({ detail }) => { state.shown = detail; drawAll(); });

setInterval(() => {
  $("clock").textContent = clock(Date.now() + (state.ahead ?? 0));
  if (performance.now() - state.heard > SILENCE_MS && loaded) { lost(true); connect(); }
}, 1000);
theme(localStorage.getItem("theme") ?? "");
connect();
picture();