// The page: one snapshot, then a message a second for each source; what it shows is what the device said last.
const $ = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
const JUDGES = [["fused", "Fused"], ["rgb", "Picture"], ["flow", "Motion"], ["audio", "Sound"]];
const NAMES = Object.fromEntries(JUDGES);
const SECONDS = 60, ROWS = 8, CARDS = 12, SILENCE_MS = 6000, PICTURE_MS = 200;
const HINT = "A column is a second, its colours the likeliest classes";
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const darkness = matchMedia("(prefers-color-scheme: dark)");

const state = { sources: {}, nodes: {}, pictures: [], events: new Map(), shown: null, all: false, cards: CARDS, open: null, heard: 0 };

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

const top = (probabilities, count = 5) =>
  probabilities.map((p, index) => [index, p]).sort((a, b) => b[1] - a[1]).slice(0, count);

const judgesOf = (tick) => [
  ["fused", tick.probabilities],
  ...Object.entries(tick.fusion.votes).filter(([, vote]) => vote.probabilities).map(([name, vote]) => [name, vote.probabilities]),
];

function lost(is) {
  document.body.classList.toggle("lost", is);
  drawAlarm();
}

// --- Words and colours.

const classes = (source = state.sources[state.shown]) => state.nodes[source?.node]?.info?.classes ?? [];
const named = (index) => classes()[index] ?? `class ${index}`;
const percent = (p) => `${Math.round(p * 100)}%`;
const dark = () => (document.documentElement.dataset.theme ?? (darkness.matches ? "dark" : "light")) === "dark";
const hue = (index) => (index < 0 ? (dark() ? "#6b7683" : "#8b949e")
  : `oklch(${dark() ? 0.74 : 0.6} ${0.13 + 0.05 * (index % 2)} ${(index * 137.508 + 25) % 360})`);
const clock = (moment) => new Date(moment).toLocaleTimeString([], { hour12: false });
const long = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};
const ongoing = ({ event }) => event.type !== "end" && state.sources[`${event.node}/${event.source}`]?.tick?.boot === event.boot;
const length = (event) => (event.media_end === null ? event.seconds : event.media_end - event.media_start);
const said = (verdict) => !verdict ? "" : { ack: "✓ correct", wrong: "✗ wrong", label: `→ ${verdict.label}` }[verdict.verdict];

// --- The live part.

function drawSource() {
  const source = state.sources[state.shown];
  if (!source) return;
  drawDecision(source);
  drawBars(source);
  drawMinute(source);
}

function drawDecision({ tick, source, node, standing }) {
  const box = $("decision");
  box.classList.toggle("unknown", !tick || tick.unknown);
  box.style.setProperty("--hue", tick ? hue(tick.class_index) : "");
  $("label").textContent = tick ? tick.label : "–";
  if (!tick) return;
  $("score").textContent = percent(tick.score);
  const row = tick.fusion.row ? `, by the table’s row “${tick.fusion.row}”` : "";
  const judges = Object.keys(tick.fusion.votes).length;
  $("why").textContent = tick.unknown ? "no class is likely enough"
    : `${(NAMES[tick.fusion.winner] ?? tick.fusion.winner).toLowerCase()} decides${row} · ${tick.fusion.agree} of ${judges} agree`;
  const on = [...state.events.values()].reverse().find((shown) => ongoing(shown) && shown.event.node === node && shown.event.source === source);
  $("ongoing").textContent = on ? `Event on since ${clock(on.event.start)} (${long(tick.media_start + 1 - on.event.media_start)})` : "No event on";
  announce(tick.label);
  $("live").dataset.level = standing?.level ?? "ok";
  $("caption").replaceChildren(make("span", { textContent: `${source} · ${timecode(tick.media_start)}` }),
    make("span", { textContent: tick.faults.join("; ") || `decided in ${Math.round(tick.latency_ms.clip_to_decision)} ms` }));
}

const timecode = (seconds) => [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");

let announced = "", announcedAt = 0;
function announce(label) {
  if (label === announced || performance.now() - announcedAt < 4000) return;
  announced = label, announcedAt = performance.now();
  $("said").textContent = `Now: ${label}`;
}

function drawBars({ tick, history }) {
  if (!tick) return;
  const winner = tick.fusion.winner;
  $("judges").replaceChildren(make("th", { scope: "col", textContent: "Class" }), ...JUDGES.map(([id, name]) =>
    make("th", { scope: "col", textContent: name, className: id === winner ? "winner" : "", title: id === winner ? "decides" : "" })));
  const votes = Object.fromEntries(judgesOf(tick));
  const indices = state.all ? tick.probabilities.map((_, index) => index) : likeliest(tick, history);
  fill($("classes"), indices.length, bar);
  indices.forEach((index, at) => drawRow($("classes").children[at], index, votes, tick));
}

// The likeliest of the last three seconds, so that rows do not jump about.
function likeliest(tick, history) {
  const weight = new Map();
  const add = (judges, share) => Object.entries(judges).forEach(([judge, pairs]) => pairs.forEach(([index, p]) =>
    weight.set(index, (weight.get(index) ?? 0) + p * share * (judge === "fused" ? 3 : 1))));
  history.slice(-3).forEach((second, at) => add(second.judges, at + 1));
  const order = [...weight].sort((a, b) => b[1] - a[1]).map(([index]) => index);
  for (const [index] of top(tick.probabilities, ROWS)) if (!order.includes(index)) order.push(index);
  return order.slice(0, ROWS);
}

function fill(parent, count, one) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) parent.append(one());
}

const bar = () => make("tr", {}, make("th", { scope: "row" }, make("span", { className: "chip" }), make("span")), ...JUDGES.map(([id]) =>
  make("td", {}, make("span", { className: `cell ${id}` }, make("span", { className: "bar" }, make("i")), make("b")))));

function drawRow(row, index, votes, tick) {
  row.style.setProperty("--hue", hue(index));
  row.classList.toggle("decided", index === tick.class_index);
  row.firstChild.lastChild.textContent = row.firstChild.title = named(index);
  JUDGES.forEach(([id], at) => {
    const cell = row.children[at + 1].firstChild, p = votes[id]?.[index];
    cell.querySelector("i").style.transform = `scaleX(${p ?? 0})`;
    cell.querySelector("b").textContent = p === undefined ? "–" : percent(p);
  });
}

function drawMinute({ history }) {
  const charts = $("charts");
  if (!charts.children.length) {
    for (const [id, name] of JUDGES) charts.append(make("span", { textContent: name }), make("canvas", { id: `chart-${id}`, role: "img" }));
    charts.append(make("span"), make("div", { className: "axis" }, ...["60 s ago", "45", "30", "15", "now"].map((text) => make("span", { textContent: text }))));
  }
  for (const [id, name] of JUDGES) drawChart($(`chart-${id}`), id, name, history);
}

function drawChart(canvas, id, name, history) {
  const scale = devicePixelRatio, width = canvas.parentElement.clientWidth - 80, high = id === "fused" ? 92 : 40;
  canvas.style.height = `${high}px`;
  Object.assign(canvas, { width: Math.max(1, width * scale), height: high * scale });
  const ink = canvas.getContext("2d"), step = canvas.width / SECONDS, labels = id === "fused" ? 18 * scale : 0;
  const first = SECONDS - history.length;
  history.forEach((second, at) => {
    let y = canvas.height;
    for (const [index, p] of second.judges[id] ?? []) {
      const part = p * (canvas.height - labels);
      ink.fillStyle = hue(index);
      ink.fillRect((first + at) * step + 0.5 * scale, y - part, step - scale, part);
      y -= part;
    }
  });
  if (labels) drawRuns(ink, history, first, step, scale);
  const last = history.at(-1)?.judges[id];
  canvas.ariaLabel = `${name}, last minute: ${last ? `now ${named(last[0][0])} at ${percent(last[0][1])}` : "nothing"}`;
}

$("charts").onpointermove = ({ target, offsetX }) => {
  const history = state.sources[state.shown]?.history ?? [], ago = SECONDS - 1 - Math.floor((offsetX / target.clientWidth) * SECONDS);
  const second = target.tagName === "CANVAS" ? history.at(-1 - ago) : null;
  const pairs = second?.judges[target.id.slice(6)]?.slice(0, 3);
  $("readout").textContent = pairs && ago < history.length ? `${ago} s ago: ${pairs.map(([index, p]) => `${named(index)} ${percent(p)}`).join(", ")}` : HINT;
};

// The decided label over the columns, where there is room for it.
function drawRuns(ink, history, first, step, scale) {
  ink.font = `${12 * scale}px system-ui, sans-serif`;
  ink.fillStyle = getComputedStyle(document.body).color;
  for (let begin = 0, end; begin < history.length; begin = end) {
    for (end = begin + 1; end < history.length && history[end].label === history[begin].label;) end++;
    const { label } = history[begin], room = (end - begin) * step;
    if (label !== "unknown" && ink.measureText(label).width < room) ink.fillText(label, (first + begin) * step + scale, 13 * scale);
  }
}

// --- The picture: the next is asked for once the last has come, so a slow line gets fewer.

function picture() {
  const image = $("picture"), next = () => setTimeout(picture, calm.matches ? 1000 : PICTURE_MS);
  if (!state.pictures.includes(state.shown)) show(false);
  if (document.hidden || !state.pictures.includes(state.shown) || document.body.classList.contains("lost")) return next();
  image.onload = () => { show(true); next(); };
  image.onerror = () => { show(false); setTimeout(picture, 2000); };
  image.alt = `Live picture of ${state.sources[state.shown]?.source}`;
  image.src = `/api/sources/${state.shown}/picture.jpg?${Date.now()}`;
}

function show(is) {
  $("picture").hidden = !is;
  $("no-picture").hidden = is;
}

// --- Events.

function drawEvents() {
  const all = [...state.events.values()].sort((a, b) => b.event.start_ns - a.event.start_ns);
  const shown = all.slice(0, state.cards), list = $("list");
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.id : null;
  list.replaceChildren(...shown.map(card));
  if (focused) [...list.querySelectorAll("button")].find((button) => button.dataset.id === focused)?.focus();
  if (!all.length) list.replaceChildren(make("li", { className: "empty", textContent: "Nothing yet. An event appears here once a label has lasted." }));
  $("count").textContent = all.length ? `${all.length} event${all.length === 1 ? "" : "s"}` : "";
  $("more").hidden = all.length <= state.cards;
  if (state.open) drawDialog();
}

function card(shown) {
  const { event, verdict } = shown;
  const thumb = make("span", { className: "thumb" });
  if (event.media?.thumb) thumb.append(make("img", { src: `${event.media.thumb}?${event.type}`, alt: "", loading: "lazy" }));
  if (ongoing(shown)) thumb.append(make("span", { className: "live", textContent: "ON" }));
  const text = make("span", { className: "text" },
    make("strong", {}, make("span", { textContent: event.label }), make("span", { textContent: percent(event.score) })),
    make("small", { textContent: `${clock(event.start)} · ${long(length(event))} · ${event.source}` }),
    make("small", { textContent: said(verdict) || "not judged yet" }));
  const button = make("button", { type: "button", onclick: () => open(event.id) }, thumb, text);
  button.dataset.id = event.id;
  button.style.setProperty("--hue", hue(event.class_index));
  return make("li", {}, button);
}

function open(id) {
  state.open = id;
  const { event } = state.events.get(id);
  const truths = classes(state.sources[`${event.node}/${event.source}`] ?? { node: event.node });
  $("truth").replaceChildren(...truths.filter((label) => label !== event.label).map((label) => make("option", { textContent: label })));
  const clip = $("clip");
  clip.hidden = !event.media;
  $("no-clip").hidden = Boolean(event.media);
  if (event.media) {
    Object.assign(clip, { src: event.media.clip, poster: event.media.thumb ?? "", ariaLabel: `Clip of ${event.label}` });
    if (!calm.matches) clip.play().catch(() => {});
  }
  $("answer").textContent = "";
  drawDialog();
  if (!$("event").open) $("event").showModal();
}

function drawDialog() {
  const shown = state.events.get(state.open);
  if (!shown) return;
  const { event, verdict } = shown;
  $("event-title").textContent = `${event.label} · ${percent(event.score)}`;
  $("correct").ariaPressed = verdict?.verdict === "ack";
  $("wrong").ariaPressed = verdict?.verdict === "wrong";
  if (verdict?.verdict === "label") $("truth").value = verdict.label;
  if (!$("answer").textContent && verdict) $("answer").textContent = `You said: ${said(verdict)}`;
  drawSpan(event);
  const votes = Object.entries(event.fusion.votes).map(([name, vote]) => `${NAMES[name]} ${vote.label} ${percent(vote.score)}`);
  facts($("details"), {
    When: `${clock(event.start)} – ${event.end ? clock(event.end) : "still on"} (${long(length(event))}) on ${event.node}, ${event.source}`,
    "Media time": `${timecode(event.media_start)} – ${event.media_end === null ? "" : timecode(event.media_end)}`,
    Clip: event.media ? `from ${event.media.pre_s.toFixed(1)} s before to ${event.media.post_s.toFixed(1)} s after` : "none",
    Judges: votes.join(" · "),
    "Decided by": `${NAMES[event.fusion.winner] ?? event.fusion.winner}, ${event.fusion.rule} ${event.fusion.table}`,
    Model: event.model.bundle,
    Id: event.id,
  });
  const ids = order(), at = ids.indexOf(state.open);
  $("newer").disabled = at <= 0;
  $("older").disabled = at === ids.length - 1;
}

// Where in the clip the event itself is.
function drawSpan({ media, media_start, media_end, seconds, class_index }) {
  const parts = media ? [media.pre_s, media_end === null ? seconds : media_end - media_start, media.post_s] : [1, 0, 0];
  parts.forEach((part, at) => { $("span").children[at].style.flexGrow = part; });
  $("span").style.setProperty("--hue", hue(class_index));
  $("span").hidden = !media;
}

const order = () => [...state.events.values()].sort((a, b) => b.event.start_ns - a.event.start_ns).map(({ event }) => event.id);
function walk(step) {
  const ids = order(), id = ids[ids.indexOf(state.open) + step];
  if (id) open(id);
}

async function judge(opinion) {
  $("answer").textContent = "Sending …";
  const answer = await fetch(`/api/events/${state.open}/feedback`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(opinion),
  }).catch(() => null);
  const result = await answer?.json().catch(() => null);
  if (answer?.ok) state.events.set(result.event.id, result);
  $("answer").textContent = answer?.ok ? `Kept: ${said(result.verdict)}` : `Not kept: ${result?.error ?? "the device does not answer"}`;
  drawEvents();
}

// --- How everything is.

const WORDS = { ok: "ok", warn: "warning", error: "fault", stale: "fault" };

function drawHealth() {
  const lamps = [], cards = [];
  for (const [name, node] of Object.entries(state.nodes)) {
    const prefix = Object.keys(state.nodes).length > 1 ? `${name} ` : "", { parts = {}, outbox = {}, mode = "full" } = node.standing ?? {};
    for (const [part, health] of Object.entries(parts)) {
      const queued = part === "outbox" ? Object.values(outbox).reduce((sum, account) => sum + account.queued, 0) : 0;
      lamps.push(lamp(health.level, `${prefix}${part}${part === "outbox" ? ` ${queued}` : ""}`, health.message));
      cards.push(cardOf(health.level, `${prefix}${part[0].toUpperCase()}${part.slice(1)}`, health.message, health.since, part === "outbox" ? { Waiting: queued } : {}));
    }
    lamps.push(lamp(mode === "full" ? "ok" : "warn", `${prefix}mode ${mode}`, "what is left out under load"));
  }
  for (const [name, { source, node, standing }] of Object.entries(state.sources)) {
    const s = standing ?? { level: "ok", state: "seen over MQTT" };
    lamps.unshift(lamp(s.level, `${Object.keys(state.nodes).length > 1 ? name : source} ${s.state}`, s.message));
    cards.unshift(cardOf(s.level, `Source ${Object.keys(state.nodes).length > 1 ? name : source}`, [s.state, s.message].filter(Boolean).join(": "), s.since, {
      Pictures: s.frames_per_second == null ? null : `${s.frames_per_second.toFixed(1)} a second`,
      "Sound offset": s.av_offset_ms == null ? null : `${s.av_offset_ms.toFixed(0)} ± ${(s.av_uncertainty_ms ?? 0).toFixed(0)} ms`,
      Reconnects: s.reconnects ?? null, Dropped: s.seconds_dropped == null ? null : `${s.seconds_dropped} s`, Mode: s.mode ?? null,
    }));
  }
  $("lamps").replaceChildren(...lamps);
  $("cards").replaceChildren(...cards);
  $("node").textContent = Object.keys(state.nodes).join(", ");
  drawTabs();
  drawAlarm();
}

function lamp(level, text, title) {
  const item = make("li", { className: "lamp", title }, text);
  item.dataset.level = level;
  if (level !== "ok") item.append(make("span", { className: "hidden", textContent: `: ${WORDS[level]}` }));
  return item;
}

function cardOf(level, title, message, since, figures) {
  const list = make("dl");
  facts(list, { ...figures, Since: since ? clock(since) : null });
  const box = make("div", { className: "card" }, make("h3", { className: "lamp", textContent: title }), make("p", { textContent: message || WORDS[level] }), list);
  box.dataset.level = box.firstChild.dataset.level = level;
  return box;
}

function facts(list, pairs) {
  const known = Object.entries(pairs).filter(([, value]) => value !== null && value !== undefined);
  list.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}

function drawAlarm() {
  const wrong = [];
  if (document.body.classList.contains("lost")) wrong.push("No connection to the device: what is shown is old. Trying again …");
  for (const { source, standing } of Object.values(state.sources)) {
    if (standing && standing.level !== "ok") wrong.push(`Source ${source}: ${[standing.state, standing.message].filter(Boolean).join(": ")}`);
  }
  for (const [name, { standing }] of Object.entries(state.nodes)) {
    for (const [part, health] of Object.entries(standing?.parts ?? {})) {
      if (health.level !== "ok") wrong.push(`${name}, ${part}: ${health.message}`);
    }
  }
  const alarm = $("alarm"), text = wrong.join("\n");
  if (alarm.dataset.text !== text) alarm.replaceChildren(...wrong.map((sentence) => make("p", { textContent: sentence })));
  alarm.dataset.text = text;
  alarm.hidden = !wrong.length;
  document.title = `${wrong.length ? "⚠ " : ""}Touchline ${Object.keys(state.nodes).join(", ")}`;
}

function drawTabs() {
  const names = Object.keys(state.sources), nav = $("sources");
  nav.hidden = names.length < 2;
  if (nav.dataset.names !== names.join()) {
    nav.replaceChildren(...names.map((name) => make("button", { type: "button", textContent: name, onclick: () => choose(name) })));
    nav.dataset.names = names.join();
  }
  names.forEach((name, at) => { nav.children[at].ariaPressed = name === state.shown; });
}

function choose(name) {
  state.shown = name;
  drawAll();
}

function drawModel() {
  const node = state.nodes[state.sources[state.shown]?.node] ?? Object.values(state.nodes)[0];
  const info = node?.info, rows = Object.entries(node?.rows ?? {});
  $("model").hidden = !info;
  if (!info) return;
  facts($("about"), {
    Bundle: info.model.bundle, "SHA-256": info.model.sha256.slice(0, 16), Weights: info.model.quant,
    Judges: Object.keys(info.models).join(", "), Fusion: `${info.rule}, ${info.table}`, Classes: info.classes.length,
    Event: `from ${percent(info.events.on_score)} for ${info.events.minimum_seconds} s, down to ${percent(info.events.off_score)}`,
    Touchline: info.version, Started: new Date(info.started).toLocaleString([], { hour12: false }),
  });
  $("table").hidden = !rows.length;
  $("rows").replaceChildren(...rows.map(([label, judge]) => make("p", {}, label, make("span", { textContent: (NAMES[judge] ?? judge).toLowerCase() }))));
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

setInterval(() => {
  $("clock").textContent = clock(Date.now() + (state.ahead ?? 0));
  if (performance.now() - state.heard > SILENCE_MS && loaded) { lost(true); connect(); }
}, 1000);
theme(localStorage.getItem("theme") ?? "");
connect();
picture();
