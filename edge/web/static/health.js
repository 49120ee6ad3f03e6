// How everything is: lamps, cards, the alarm, the sources to choose from, and the model in force.
import { $, NAMES, clock, facts, make, percent, state } from "./state.js";

const WORDS = { ok: "ok", warn: "warning", error: "fault", stale: "fault" };

export function drawHealth() {
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

export function drawAlarm() {
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
    nav.replaceChildren(...names.map((name) => make("button", { type: "button", textContent: name, onclick: () => dispatchEvent(new CustomEvent("choose", { detail: name })) })));
    nav.dataset.names = names.join();
  }
  names.forEach((name, at) => { nav.children[at].ariaPressed = name === state.shown; });
}

export function drawModel() {
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
