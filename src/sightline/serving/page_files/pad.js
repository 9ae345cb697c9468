// The drawing pad: strokes by pointer or keyboard, in units of the pad's side.

import { trace } from "./normalise.js";
import { onLanguage, word } from "./words.js";

const THICKNESS = 0.055;
const STEP = 0.04;
const MOVES = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Pad {
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.strokes = [];
    this.pointer = null;
    this.pen = null; // the keyboard's: {x, y, down}
    onLanguage(() => canvas.setAttribute("aria-label", word("pad")));
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.#up(event));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("blur", () => { this.pen = null; this.draw(); });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  undo() {
    this.strokes.pop();
    this.#end();
    this.#show();
  }

  clear() {
    this.strokes = [];
    this.#end();
    this.#show();
  }

  draw() {
    const { canvas } = this;
    const side = Math.max(1, Math.round(canvas.clientWidth * devicePixelRatio));
    if (canvas.width !== side) canvas.width = canvas.height = side;
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, side, side);
    const style = getComputedStyle(canvas);
    context.strokeStyle = context.fillStyle = style.color;
    context.lineWidth = THICKNESS * side;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) trace(context, stroke.map(({ x, y }) => [x * side, y * side]));
    if (this.pen) {
      context.strokeStyle = style.getPropertyValue("--accent");
      context.lineWidth = this.pen.down ? 5 : 2;
      context.beginPath();
      context.arc(this.pen.x * side, this.pen.y * side, 0.04 * side, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  // The stroke that is being drawn may be gone: neither pointer nor pen goes on with it.
  #end() {
    this.pointer = null;
    if (this.pen) this.pen.down = false;
  }

  #show() {
    this.draw();
    this.changed();
  }

  #point(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (event.clientX - box.left) / box.width, y: (event.clientY - box.top) / box.height };
  }

  #down(event) {
    if (this.pointer !== null || event.button > 0) return;
    this.pen = null;
    this.pointer = event.pointerId;
    this.canvas.setPointerCapture(event.pointerId);
    this.strokes.push([this.#point(event)]);
    this.#show();
  }

  #move(event) {
    if (event.pointerId !== this.pointer) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.strokes.at(-1).push(this.#point(each));
    this.#show();
  }

  #up(event) {
    if (event.pointerId === this.pointer) this.pointer = null;
  }

  #key(event) {
    if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey)) this.undo();
    else if (event.key === "Escape" || event.key === "Delete") this.clear();
    else if (event.key === " " || event.key === "Enter") this.#lift();
    else if (event.key in MOVES) this.#step(...MOVES[event.key]);
    else return;
    event.preventDefault();
  }

  #lift() {
    this.pen ??= { x: 0.5, y: 0.25, down: false };
    this.pen.down = !this.pen.down;
    if (this.pen.down) {
      this.pointer = null;
      this.strokes.push([{ x: this.pen.x, y: this.pen.y }]);
    }
    this.#show();
  }

  #step(x, y) {
    this.pen ??= { x: 0.5, y: 0.25, down: false };
    const inside = (value) => Math.min(0.97, Math.max(0.03, value));
    this.pen.x = inside(this.pen.x + STEP * x);
    this.pen.y = inside(this.pen.y + STEP * y);
    if (this.pen.down) this.strokes.at(-1).push({ x: this.pen.x, y: this.pen.y });
    this.#show();
  }
}
