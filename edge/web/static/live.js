// The live part: the picture, the decision, a bar for each class and judge, and the last minute.
import { $, JUDGES, NAMES, SECONDS, calm, clock, fill, hue, judgesOf, long, make, named, ongoing, percent, state, timecode, top } from "./state.js";

const ROWS = 8, PICTURE_MS = 200;
const HINT = "A column is a second, its colours the likeliest classes";

export function drawSource() {
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

export function picture() {
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
