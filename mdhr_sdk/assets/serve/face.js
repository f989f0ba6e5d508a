// A face: a row for each action unit with its bar, and their last half minute.
import { button, colour, make, say } from "./parts.js";
import { Timeline } from "./timeline.js";

const BASELINE = { off: "", neutral: "neutral is taken now", applied: "relative to neutral", missing: "no neutral yet" };
const TIERS = { A: "most reliable", B: "less reliable", C: "least reliable" };

export class Face {
  constructor(trackId, names, calibrate) {
    this.trackId = trackId;
    this.names = names;
    this.rows = new Map();
    this.colour = colour(trackId);
    this.element = make("article", "face");
    this.element.style.setProperty("--face", this.colour);
    this.element.setAttribute("aria-label", `face ${trackId}`);
    const head = make("div", "head");
    this.told = make("span", "told");
    head.append(make("h3", "", `face ${trackId}`), this.told,
      button("Neutral", `Calibrate neutral for face ${trackId}`, calibrate));
    this.list = make("div", "aus");
    this.timeline = new Timeline(this.colour);
    const rows = make("div", "rows");
    rows.append(this.list, this.timeline.canvas);
    this.element.append(head, rows);
  }

  row(code, tier) {
    if (!this.rows.has(code)) {
      const element = make("div", "au");
      const name = this.names[code] || "";
      const row = { element, dot: make("span", "dot"), fill: make("i"), value: make("span", "value"),
        strength: make("span", "strength"), on: null };
      const bar = make("span", "bar");
      bar.append(row.fill);
      const letter = make("span", tier ? `tier ${tier}` : "", tier || "");
      letter.title = tier ? `reliability ${tier}: ${TIERS[tier] || ""}` : "";
      row.label = [code, name, tier && `reliability ${tier}`].filter(Boolean).join(", ");
      element.setAttribute("role", "meter");
      element.setAttribute("aria-valuemin", "0");
      element.setAttribute("aria-valuemax", "1");
      element.setAttribute("aria-label", row.label);
      element.title = row.label;
      const words = make("span", "name", name);
      element.append(row.dot, make("span", "code", code), letter, words, bar, row.value, row.strength);
      row.strength.title = "intensity, 0 to 5";
      this.list.append(element);
      this.rows.set(code, row);
    }
    return this.rows.get(code);
  }

  show(face, nowS) {
    this.seenS = nowS;
    const scores = {};
    const active = [];
    for (const [code, { probability, occurrence, tier, intensity }] of Object.entries(face.aus)) {
      const row = this.row(code, tier);
      row.probability = probability ?? 0;
      row.intensity = intensity;
      if (intensity !== null && !this.strong) this.showStrength();
      if (row.on !== occurrence) {
        row.on = occurrence;
        row.element.classList.toggle("on", occurrence);
        say(row.dot, occurrence ? "●" : "");
      }
      if (occurrence) active.push(code);
      scores[code] = [row.probability, occurrence ? 1 : 0, intensity];
    }
    this.words = [active.length ? `${active.length} of ${this.rows.size} occur` : "none occurs", BASELINE[face.baseline]];
    this.timeline.add(nowS, scores);
  }

  showStrength() { // a column of intensities, if the model tells any
    this.strong = true;
    this.list.classList.add("strong");
    document.getElementById("strength").hidden = false;
  }

  remember(scores, atS) {
    this.timeline.add(atS, scores);
  }

  draw(nowS, marks) {
    const away = nowS - this.seenS > 1;
    this.element.classList.toggle("away", away);
    say(this.told, away ? "away" : (this.words || []).filter(Boolean).join(" · "));
    for (const row of this.rows.values()) {
      const value = row.probability.toFixed(2);
      const strength = row.intensity === null ? "" : row.intensity.toFixed(1);
      if (row.value.textContent === value && row.strength.textContent === strength) continue;
      say(row.strength, strength);
      say(row.value, value);
      row.fill.style.clipPath = `inset(0 ${(100 * (1 - value)).toFixed(0)}% 0 0)`;
      row.element.setAttribute("aria-valuenow", value);
      row.element.setAttribute("aria-valuetext", `${value}${row.on ? ", occurs" : ""}${strength && `, intensity ${strength} of 5`}`);
    }
    this.timeline.draw(nowS, [...this.rows.keys()], marks);
  }
}
