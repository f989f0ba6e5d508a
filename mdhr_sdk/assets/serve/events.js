// The list of events and marks, the newest first.
import { colour, make } from "./parts.js";

const KEPT = 100;

export class EventList {
  constructor(list, none) {
    this.list = list;
    this.none = none;
  }

  replace(events) {
    this.list.replaceChildren();
    this.none.hidden = false;
    for (const event of events) this.add(event);
  }

  add(event) {
    this.none.hidden = true;
    this.list.prepend(event.type === "mark" ? markItem(event) : eventItem(event));
    while (this.list.children.length > KEPT) this.list.lastChild.remove();
  }
}

function markItem(mark) {
  const item = make("li", "mark");
  const at = new Date(mark.at).toLocaleTimeString("en-GB");
  item.append(make("span", "", at), make("b", "", `▼ ${mark.text || "mark"}`), make("span"));
  item.append(make("span", "where", mark.source || "all sources"));
  return item;
}

function eventItem(event) {
  const item = make("li");
  const lasts = Math.max(0, event.offset_s - event.onset_s);
  const chip = make("b", "", event.au);
  item.append(make("span", "muted", `${event.onset_s.toFixed(1)} s`), chip,
    make("span", "", `${lasts.toFixed(1)} s${event.offset_cut ? "+" : ""}, peak ${event.peak_probability.toFixed(2)}`));
  const where = make("span", "where", ` face ${event.track_id} · ${event.source}`);
  const dot = make("span", "", "●");
  dot.style.color = colour(event.track_id);
  dot.setAttribute("aria-hidden", "true");
  where.prepend(dot);
  item.append(where);
  return item;
}
