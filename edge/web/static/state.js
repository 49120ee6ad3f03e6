// What the page knows, and the words and colours it says it in.
export const $ = (id) => document.getElementById(id);
export const make = (tag, properties = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};
export const JUDGES = [["fused", "Fused"], ["rgb", "Picture"], ["flow", "Motion"], ["audio", "Sound"]];
export const NAMES = Object.fromEntries(JUDGES);
export const SECONDS = 60, CARDS = 12;
export const calm = matchMedia("(prefers-reduced-motion: reduce)");
export const darkness = matchMedia("(prefers-color-scheme: dark)");

export const state = { sources: {}, nodes: {}, pictures: [], events: new Map(), shown: null, all: false, cards: CARDS, open: null, heard: 0 };

export const top = (probabilities, count = 5) =>
  probabilities.map((p, index) => [index, p]).sort((a, b) => b[1] - a[1]).slice(0, count);

export const judgesOf = (tick) => [
  ["fused", tick.probabilities],
  ...Object.entries(tick.fusion.votes).filter(([, vote]) => vote.probabilities).map(([name, vote]) => [name, vote.probabilities]),
];

export const classes = (source = state.sources[state.shown]) => state.nodes[source?.node]?.info?.classes ?? [];
export const named = (index) => classes()[index] ?? `class ${index}`;
export const percent = (p) => `${Math.round(p * 100)}%`;
const dark = () => (document.documentElement.dataset.theme ?? (darkness.matches ? "dark" : "light")) === "dark";
export const hue = (index) => (index < 0 ? (dark() ? "#6b7683" : "#8b949e")
  : `oklch(${dark() ? 0.74 : 0.6} ${0.13 + 0.05 * (index % 2)} ${(index * 137.508 + 25) % 360})`);
export const clock = (moment) => new Date(moment).toLocaleTimeString([], { hour12: false });
export const long = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
};
export const timecode = (seconds) => [seconds / 3600, (seconds / 60) % 60, seconds % 60].map((part) => String(Math.floor(part)).padStart(2, "0")).join(":");
export const ongoing = ({ event }) => event.type !== "end" && state.sources[`${event.node}/${event.source}`]?.tick?.boot === event.boot;
export const length = (event) => (event.media_end === null ? event.seconds : event.media_end - event.media_start);
export const said = (verdict) => !verdict ? "" : { ack: "✓ correct", wrong: "✗ wrong", label: `→ ${verdict.label}` }[verdict.verdict];

export function fill(parent, count, one) {
  while (parent.children.length > count) parent.lastChild.remove();
  while (parent.children.length < count) parent.append(one());
}

export function facts(list, pairs) {
  const known = Object.entries(pairs).filter(([, value]) => value !== null && value !== undefined);
  list.replaceChildren(...known.flatMap(([name, value]) => [make("dt", { textContent: name }), make("dd", { textContent: value })]));
}
