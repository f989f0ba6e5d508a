// The last half minute of a face's scores: a row for each action unit, as high as a row of its list.
export const SPAN_S = 30;
const ROW_PX = 23;
const AXIS_PX = 18;
const GAP_S = 0.6; // a longer silence is a gap

export class Timeline {
  constructor(colour) {
    this.colour = colour;
    this.moments = []; // {s, scores}
    this.canvas = document.createElement("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", "the scores of the last 30 seconds");
  }

  add(atS, scores) {
    this.moments.push({ s: atS, scores });
    while (this.moments[0].s < atS - SPAN_S - 1) this.moments.shift();
  }

  draw(nowS, codes, marks) {
    const scale = window.devicePixelRatio || 1;
    const width = this.canvas.clientWidth;
    const height = codes.length * ROW_PX + AXIS_PX;
    if (!width || !codes.length) return;
    if (this.canvas.width !== Math.round(width * scale) || this.canvas.height !== Math.round(height * scale)) {
      this.canvas.style.height = `${height}px`;
      this.canvas.width = Math.round(width * scale);
      this.canvas.height = Math.round(height * scale);
    }
    const context = this.canvas.getContext("2d");
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(this.canvas);
    const ink = (name) => style.getPropertyValue(name);
    const x = (s) => width * (1 - (nowS - s) / SPAN_S);
    this.axis(context, width, height, ink);
    const runs = this.runs();
    codes.forEach((code, row) => this.row(context, code, (row + 1) * ROW_PX - 3, ROW_PX - 6, x, runs, ink));
    this.marks(context, marks, height, x, ink);
  }

  // Moments without a gap between them.
  runs() {
    const runs = [];
    let last = -Infinity;
    for (const moment of this.moments) {
      if (moment.s - last > GAP_S) runs.push([]);
      runs.at(-1).push(moment);
      last = moment.s;
    }
    return runs;
  }

  axis(context, width, height, ink) {
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    for (const ago of [30, 20, 10, 0]) {
      const at = Math.min(width - 0.5, Math.max(0.5, Math.round(width * (1 - ago / SPAN_S)) + 0.5));
      context.strokeStyle = ink("--line");
      context.beginPath();
      context.moveTo(at, 0);
      context.lineTo(at, height - AXIS_PX);
      context.stroke();
      if (width < 160 && ago % 30) continue; // no room for all
      context.fillStyle = ink("--muted");
      context.textAlign = ago === 30 ? "left" : ago ? "center" : "right";
      context.fillText(ago === 0 ? "now" : ago === 30 ? "−30 s" : `−${ago}`, at, height - 5);
    }
  }

  row(context, code, bottom, high, x, runs, ink) {
    context.fillStyle = ink("--trough");
    context.fillRect(0, bottom, this.canvas.clientWidth, 1);
    for (const run of runs) {
      const points = run.filter(({ scores }) => code in scores);
      if (points.length < 2) continue;
      this.area(context, points, code, bottom, high, x, ink("--quiet"), 0.35);
      let part = [];
      for (const point of [...points, null]) { // the parts in which it occurs, once more, in the face's colour
        if (point && point.scores[code][1]) part.push(point);
        else {
          if (part.length > 1) {
            this.area(context, part, code, bottom, high, x, this.colour, 1);
            context.fillStyle = ink("--ink");
            context.fillRect(x(part[0].s), bottom, x(part.at(-1).s) - x(part[0].s), 2); // seen without colours, too
          }
          part = [];
        }
      }
      this.strength(context, points, code, bottom, high, x, ink("--ink"));
    }
  }

  strength(context, points, code, bottom, high, x, colour) { // the intensity as a line, 5 at the top of the row
    if (points[0].scores[code][2] === null) return;
    context.beginPath();
    for (const { s, scores } of points) context.lineTo(x(s), bottom - high * scores[code][2] / 5);
    context.lineWidth = 1;
    context.strokeStyle = colour;
    context.stroke();
  }

  area(context, points, code, bottom, high, x, colour, alpha) {
    context.beginPath();
    context.moveTo(x(points[0].s), bottom);
    for (const { s, scores } of points) context.lineTo(x(s), bottom - high * scores[code][0]);
    context.lineTo(x(points.at(-1).s), bottom);
    context.globalAlpha = alpha;
    context.fillStyle = colour;
    context.fill();
    context.globalAlpha = 1;
  }

  marks(context, marks, height, x, ink) {
    context.strokeStyle = context.fillStyle = ink("--accent");
    context.lineWidth = 1.5;
    for (const s of marks) {
      const at = x(s);
      context.setLineDash([4, 3]);
      context.beginPath();
      context.moveTo(at, 8);
      context.lineTo(at, height - AXIS_PX);
      context.stroke();
      context.setLineDash([]);
      context.beginPath();
      context.moveTo(at - 5, 0);
      context.lineTo(at + 5, 0);
      context.lineTo(at, 8);
      context.fill();
    }
  }
}
