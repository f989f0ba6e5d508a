// The picture of a source: the next one is asked for when this one is drawn, so that a slow line shows fewer, not older ones.
import { make } from "./parts.js";

export class Picture {
  constructor(source) {
    this.source = source;
    this.shown = this.hereNow = false;
    this.visible = !document.hidden;
    this.element = make("div", "picture");
    this.canvas = make("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `picture of ${source}`);
    this.words = make("p", "", "no picture yet");
    this.element.append(this.canvas, this.words);
    this.canvas.hidden = true;
  }

  show(isHere) { // whether it is in the part of the page that is seen
    this.hereNow = isHere;
    this.follow();
  }

  awake(visible) { // whether the page is seen
    this.visible = visible;
    this.follow();
  }

  follow() {
    const wanted = this.hereNow && this.visible;
    if (wanted && !this.socket) this.open();
    if (!wanted && this.socket) this.socket.close();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/frames?source=${encodeURIComponent(this.source)}`);
    socket.binaryType = "blob";
    this.socket = socket;
    socket.onmessage = async ({ data }) => {
      try {
        const bitmap = await createImageBitmap(data);
        if (this.canvas.width !== bitmap.width || this.canvas.height !== bitmap.height) {
          this.canvas.width = bitmap.width;
          this.canvas.height = bitmap.height;
        }
        this.canvas.getContext("2d").drawImage(bitmap, 0, 0);
        bitmap.close();
        this.canvas.hidden = false;
        this.words.hidden = true;
      } finally {
        if (socket.readyState === WebSocket.OPEN) socket.send("next");
      }
    };
    socket.onclose = () => {
      this.socket = null;
      setTimeout(() => this.follow(), 1000);
    };
  }
}
