// A source: its state, its picture, its faces.
import { Face } from "./face.js";
import { button, make, say } from "./parts.js";
import { Picture } from "./picture.js";
import { SPAN_S } from "./timeline.js";

const ICONS = { connecting: "◌", live: "●", stale: "▲", lost: "✕", reconnecting: "↻", ended: "■", silent: "▲" };

export class SourceCard {
  constructor(name, names, send) {
    this.name = name;
    this.names = names;
    this.send = send;
    this.faces = new Map();
    this.marks = [];
    this.state = "";
    this.linked = true;
    this.heardS = 0;
    this.element = make("section", "source");
    this.element.setAttribute("aria-label", `source ${name}`);
    const head = make("div", "head");
    this.chip = make("span", "chip");
    this.chip.setAttribute("role", "status");
    this.facts = make("div", "facts");
    const calibrate = button("Neutral, all", `Calibrate neutral for all faces of ${name}`, () =>
      send("calibrate", { source: name, track_id: null }));
    const mark = button("Mark", `Mark this moment in ${name}`, () => send("mark", { source: name, text: "" }));
    head.append(make("h2", "", name), this.chip, this.facts, calibrate, mark);
    this.reason = make("p", "reason");
    this.reason.hidden = true;
    const body = make("div", "body");
    this.picture = new Picture(name);
    this.list = make("div", "faces");
    this.empty = make("p", "noface", "no face");
    this.list.append(this.empty);
    body.append(this.picture.element, this.list);
    this.element.append(head, this.reason, body);
    new IntersectionObserver((seen) => this.picture.show(seen.at(-1).isIntersecting)).observe(this.element);
  }

  show(result) {
    const nowS = performance.now() / 1000;
    this.ended = result.status === "ended";
    if (this.ended) return;
    this.heardS = nowS;
    this.linked = true;
    for (const face of result.faces) this.face(face.track_id, nowS).show(face, nowS);
    this.stale = result.status === "stale";
  }

  face(trackId, nowS) {
    if (!this.faces.has(trackId)) {
      const made = new Face(trackId, this.names, () => this.send("calibrate", { source: this.name, track_id: trackId }));
      this.faces.set(trackId, made);
      this.list.append(...[...this.faces.values()].sort((a, b) => a.trackId - b.trackId).map((one) => one.element));
      made.seenS = nowS;
    }
    return this.faces.get(trackId);
  }

  // What was before this page was opened: [seconds ago, {track: {AU: [probability, occurs, intensity or null]}}].
  remember(history) {
    const nowS = performance.now() / 1000;
    for (const [ago, scores] of history) {
      for (const [track, aus] of Object.entries(scores)) this.face(Number(track), nowS - ago).remember(aus, nowS - ago);
    }
  }

  forget() {
    for (const face of this.faces.values()) face.element.remove();
    this.faces.clear();
  }

  mark() {
    this.marks.push(performance.now() / 1000);
  }

  tell(status) {
    this.status = status;
    this.linked = true;
    if (!this.heardS && status.silent_s !== undefined) this.heardS = performance.now() / 1000 - status.silent_s;
    const ms = (value) => `${Math.round(value)} ms`;
    const facts = [["in", status.fps_in === undefined ? "" : `${status.fps_in.toFixed(1)} fps`],
      ["scored", status.fps_out === undefined ? "" : `${status.fps_out.toFixed(1)} fps`],
      ["delay", status.delay_p50_ms === undefined || status.delay_p50_ms === null ? "" : `${ms(status.delay_p50_ms)}, p99 ${ms(status.delay_p99_ms)}`],
      ["dropped", status.dropped === undefined ? "" : status.dropped.toLocaleString("en")],
      ["reconnects", status.reconnects ? String(status.reconnects) : ""]];
    const told = facts.filter(([, value]) => value);
    while (this.facts.children.length < told.length) {
      const fact = make("span");
      fact.append("", make("b"));
      this.facts.append(fact);
    }
    while (this.facts.children.length > told.length) this.facts.lastChild.remove();
    told.forEach(([key, value], index) => {
      const [word, figure] = this.facts.children[index].childNodes;
      if (word.data !== `${key} `) word.data = `${key} `;
      say(figure, value);
    });
    const by = Object.entries(status.dropped_by || {}).map(([reason, count]) => `${reason} ${count}`).join(", ");
    this.facts.title = by && `dropped: ${by}`;
  }

  get forgotten() {
    return performance.now() / 1000 - this.heardS > SPAN_S;
  }

  unlinked() {
    this.linked = false;
  }

  setState(state) {
    if (this.state === state) return;
    this.state = state;
    this.chip.className = `chip ${state}`;
    say(this.chip, `${ICONS[state] || "●"} ${state}`);
    this.element.classList.toggle("still", state !== "live");
  }

  watch(visible) {
    this.picture.awake(visible);
  }

  draw(nowS) {
    const silentS = nowS - this.heardS;
    let state = this.ended ? "ended" : this.status?.state || (this.stale ? "stale" : "live");
    if (state === "live" && (silentS > 2 || !this.linked)) state = "silent";
    this.setState(state);
    const told = state !== "live" && this.linked ? this.status?.reason : "";
    const silent = this.linked ? `no result for ${Math.floor(silentS)} s` : "no connection to the program";
    say(this.reason, told || (state === "silent" ? silent : ""));
    this.reason.hidden = !this.reason.textContent;
    this.marks = this.marks.filter((one) => nowS - one < SPAN_S);
    let here = 0;
    for (const [id, face] of this.faces) {
      if (nowS - face.seenS > SPAN_S) {
        face.element.remove();
        this.faces.delete(id);
        continue;
      }
      here += nowS - face.seenS <= 1 ? 1 : 0;
      face.draw(nowS, this.marks);
    }
    this.empty.hidden = this.faces.size > 0;
    say(this.empty, here || this.heardS ? "no face" : "no result yet");
  }
}
