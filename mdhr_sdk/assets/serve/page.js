// The page: one connection for all results, a card for each source, the list of events.
import { EventList } from "./events.js";
import { SourceCard } from "./source.js";

const SILENT_MS = 4000; // the server tells states twice a second
const at = (id) => document.getElementById(id);
const cards = new Map();
const events = new EventList(at("events"), at("none"));
let names = {};
let socket = null;
let waitMs = 500;
let heardMs = 0;

function card(name) {
  if (!cards.has(name)) {
    const made = new SourceCard(name, names, send);
    cards.set(name, made);
    at("empty").hidden = true;
    at("sources").append(made.element);
  }
  return cards.get(name);
}

function show(result) {
  card(result.source).show(result);
  const note = /\((.*)\)/.exec(result.model || "");
  if (at("model").textContent !== result.model) {
    at("model").textContent = at("model").title = result.model;
    const untrained = note !== null && note[1].startsWith("untrained");
    at("warning").hidden = !untrained;
    at("warning").textContent = untrained ? "▲ Untrained model: its scores mean nothing." : "";
  }
}

const heard = {
  hello(message) {
    names = events.names = message.names;
    for (const [name, result] of Object.entries(message.newest)) {
      card(name).forget();
      card(name).remember(message.history[name] || []);
      show(result);
    }
    events.replace(message.events);
    heard.status({ sources: message.status });
  },
  frame(message) {
    show(message);
    for (const event of message.events) {
      const atMs = Date.parse(message.captured_at) - 1000 * (message.timestamp_s - event.onset_s);
      events.add({ type: "event", ...event, at: message.captured_at ? atMs : null });
    }
  },
  status(message) {
    for (const [name, status] of Object.entries(message.sources)) card(name).tell(status);
    for (const [name, one] of cards) {
      if (name in message.sources || !one.forgotten) continue;
      one.element.remove();
      cards.delete(name);
    }
    const wanted = Object.keys(message.sources).map((name) => card(name).element);
    const shown = [...cards.values()].map((one) => one.element);
    const there = [...at("sources").children].filter((one) => shown.includes(one));
    if (wanted.some((one, index) => one !== there[index])) at("sources").append(...wanted); // in the order of the command
  },
  mark(message) {
    events.add(message);
    for (const [name, one] of cards) if (!message.source || message.source === name) one.mark();
  },
};

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws`);
  link("connecting", "◌ connecting");
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    heardMs = performance.now();
    waitMs = 500;
    link("on", "● connected");
    heard[message.type]?.(message);
  };
  socket.onclose = () => {
    link("off", "✕ not connected");
    for (const one of cards.values()) one.unlinked();
    setTimeout(connect, waitMs * (0.75 + Math.random() / 2));
    waitMs = Math.min(5000, 2 * waitMs);
  };
}

function link(kind, words) {
  const chip = at("link");
  if (chip.textContent === words) return;
  chip.className = `chip ${kind}`;
  chip.textContent = words;
}

async function send(kind, body) {
  let words = "not sent: no connection to the program";
  try {
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const answer = await fetch(`/${kind}`, options);
    const told = (await answer.json()).told;
    words = told === "done" ? "Marked" : told === "asked" ? "Neutral: asked for. Keep a neutral face." : told;
  } catch { /* told below */ }
  at("said").textContent = words;
  setTimeout(() => { if (at("said").textContent === words) at("said").textContent = ""; }, 4000);
}

function mark() {
  send("mark", { source: "", text: at("note").value.trim() });
  at("note").value = "";
}

at("mark").addEventListener("submit", (event) => { event.preventDefault(); mark(); });
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches("input, textarea")) return;
  if (event.key.toLowerCase() === "m") mark();
  if (event.key.toLowerCase() === "n") send("calibrate", { source: "", track_id: null });
});
document.addEventListener("visibilitychange", () => {
  for (const one of cards.values()) one.watch(!document.hidden);
});

let drawnMs = 0;
function draw(nowMs) {
  if (nowMs - drawnMs > 90) { // timelines roll eleven times a second
    drawnMs = nowMs;
    for (const one of cards.values()) one.draw(nowMs / 1000);
    if (socket.readyState === WebSocket.OPEN && nowMs - heardMs > SILENT_MS) socket.close();
  }
  requestAnimationFrame(draw);
}

connect();
requestAnimationFrame(draw);
