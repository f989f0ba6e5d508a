// The list of events and marks, the newest first.
import { colour, make } from "./parts.js";

const KEPT = 100;

export class EventList {
  constructor(list, none) {
    this.list = list;
    this.none = none;
    this.names = {};
  }

  replace(events) {
    this.list.replaceChildren();
    this.none.hidden = false;
    for (const event of events) this.add(event);
  }

  add(event) {
    this.none.hidden = true;
    this.list.prepend(event.type === "mark" ? markItem(event) : eventItem(event, this.names));
    while (this.list.children.length > KEPT) this.list.lastChild.remove();
  }
}

function markItem(mark) {
  const item = make("li", "mark");
  item.append(make("span", "", clock(mark.at)), make("b", "", `▼ ${mark.text || "mark"}`), make("span"));
  item.append(make("span", "where", mark.source || "all sources"));
  return item;
}

function clock(at) {
  return new Date(at).toLocaleTimeString("en-GB");
}

function eventItem(event, names) {
  const item = make("li");
  const lasts = Math.max(0, event.offset_s - event.onset_s);
  item.title = `${event.source}: ${event.au} in face ${event.track_id}, from ${event.onset_s} to ${event.offset_s} s`;
  const what = make("span", "", ` ${names[event.au] || ""}`);
  what.prepend(make("b", "", event.au));
  item.append(make("span", "muted", event.at ? clock(event.at) : `${event.onset_s.toFixed(1)} s`), what,
    make("span", "", `${lasts.toFixed(1)} s${event.offset_cut ? "+" : ""}`));
  const where = make("span", "where", ` face ${event.track_id} · ${event.source}`);
  const dot = make("span", "", "●");
  dot.style.color = colour(event.track_id);
  dot.setAttribute("aria-hidden", "true");
  where.prepend(dot);
  const strength = event.peak_intensity === undefined ? "" : `, intensity ${event.peak_intensity.toFixed(1)}`;
  item.append(where, make("span", "peak", `peak ${event.peak_probability.toFixed(2)}${strength}`));
  return item;
}
