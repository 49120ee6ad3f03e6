// The events: a list to click, the clip of one, and what a person says of it.
import { $, NAMES, calm, classes, clock, facts, hue, length, long, make, ongoing, percent, said, state, timecode } from "./state.js";

export function drawEvents() {
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
export function walk(step) {
  const ids = order(), id = ids[ids.indexOf(state.open) + step];
  if (id) open(id);
}

export async function judge(opinion) {
  $("answer").textContent = "Sending …";
  const answer = await fetch(`/api/events/${state.open}/feedback`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(opinion),
  }).catch(() => null);
  const result = await answer?.json().catch(() => null);
  if (answer?.ok) state.events.set(result.event.id, result);
  $("answer").textContent = answer?.ok ? `Kept: ${said(result.verdict)}` : `Not kept: ${result?.error ?? "the device does not answer"}`;
  drawEvents();
}
