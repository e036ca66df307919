// The large picture of a sample: its kinds, the flicker between frames, and the flow vector under the pointer.

import { byId, element, signed } from "./words.js";

const SLOW_MS = 400;
const ARROW = 0.2; // length of the arrow of the longest vector, relative to the picture's shorter side
const FLICKER_MS = 500; // two frames per second, which is slow enough for everybody

export class Stage {
  constructor() {
    this.box = byId("stage");
    this.image = byId("shown");
    this.vector = byId("vector");
    this.pictures = new Map(); // url -> promise of the address of a picture in memory
    this.controller = new AbortController();
    this.point = null; // [x, y] of a pixel
    this.flow = null; // { u, v of every pixel in stored steps }
    this.box.addEventListener("pointermove", (event) => this.pointAt(event));
    this.box.addEventListener("pointerdown", (event) => this.pointAt(event));
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  // Begins with another sample; nothing of the one before is shown any more.
  begin(sample, dataset) {
    this.stopFlicker();
    this.controller.abort();
    this.controller = new AbortController();
    for (const address of this.pictures.values()) address.then(URL.revokeObjectURL, () => {});
    this.pictures.clear();
    [this.sample, this.dataset, this.point, this.flow] = [sample, dataset, null, null];
    this.image.removeAttribute("src");
    this.say("");
    this.tell();
  }

  end() {
    this.stopFlicker();
    this.controller.abort();
  }

  // Returns the address of a picture in memory.
  picture(layer, motion, step) {
    const url = `/picture/${this.sample.row}/${layer}?motion=${motion}&step=${step}`;
    if (!this.pictures.has(url)) {
      const address = fetch(url, { signal: this.controller.signal }).then(async (answer) => {
        if (!answer.ok) throw new Error((await answer.json()).error);
        return URL.createObjectURL(await answer.blob());
      });
      address.catch(() => this.pictures.delete(url));
      this.pictures.set(url, address);
    }
    return this.pictures.get(url);
  }

  async show(layer, motion, step) {
    const { signal } = this.controller;
    const name = [layer, motion, step].join();
    this.wanted = name;
    const slow = setTimeout(() => this.wanted === name && this.say("Reading…", "slow"), SLOW_MS);
    try {
      const address = await this.picture(layer, motion, step);
      if (signal.aborted || this.wanted !== name) return;
      this.say("");
      this.image.src = address;
    } catch (error) {
      if (!signal.aborted) this.say(error.message);
    } finally {
      clearTimeout(slow);
    }
    this.draw();
  }

  // Reads the exact flow of a step; returns mean and largest length in px.
  async readFlow(motion, step) {
    const { signal } = this.controller;
    this.flow = null;
    this.tell();
    const answer = await fetch(`/flow/${this.sample.row}?motion=${motion}&step=${step}`, { signal });
    if (!answer.ok) throw new Error((await answer.json()).error);
    const view = new DataView(await answer.arrayBuffer());
    const steps = Float32Array.from({ length: view.byteLength / 2 }, (_, place) => view.getInt16(2 * place, true));
    if (signal.aborted) return undefined;
    this.flow = steps;
    const lengths = this.lengths();
    this.longest = lengths.longest;
    this.tell();
    return lengths;
  }

  lengths() {
    let [sum, known, longest] = [0, 0, 0];
    for (let place = 0; place < this.flow.length; place += 2) {
      const [u, v] = [this.flow[place], this.flow[place + 1]];
      if (u === this.dataset.unknown || v === this.dataset.unknown) continue;
      const length = Math.sqrt(u * u + v * v) / this.dataset.steps_per_px;
      sum += length;
      known += 1;
      longest = Math.max(longest, length);
    }
    return { mean: known ? sum / known : 0, longest, unknown: 1 - known / (this.flow.length / 2) };
  }

  // Shows the frames in turn; `tell(number)` is called with the number of the frame that is seen.
  async flicker(motion, steps, tell) {
    const { signal } = this.controller;
    try {
      const later = Array.from({ length: steps }, (_, step) => this.picture("next", motion, step));
      this.say("");
      const frames = await Promise.all([this.picture("photo", 0, 0), ...later]);
      if (signal.aborted) return;
      let number = 0;
      const turn = () => {
        number = (number + 1) % frames.length;
        this.image.src = frames[number];
        tell(number);
      };
      this.stopFlicker();
      this.wanted = "flicker";
      this.timer = setInterval(turn, FLICKER_MS);
      turn();
    } catch (error) {
      if (!signal.aborted) this.say(error.message);
    }
  }

  stopFlicker() {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  get isFlickering() {
    return this.timer !== undefined;
  }

  // Shows some words in place of the picture.
  say(words, kind = "why") {
    for (const before of this.box.querySelectorAll("p")) before.remove();
    if (words) {
      this.image.removeAttribute("src");
      this.box.append(element("p", kind, words));
    }
  }

  // Where the picture lies in the box: the scale from its pixels to those of the screen, and its corner.
  get place() {
    const { width, height } = this.sample;
    const scale = Math.min(this.box.clientWidth / width, this.box.clientHeight / height);
    return { scale, left: (this.box.clientWidth - scale * width) / 2, top: (this.box.clientHeight - scale * height) / 2 };
  }

  pointAt(event) {
    if (!this.sample?.width) return;
    const { scale, left, top } = this.place;
    const corner = this.box.getBoundingClientRect();
    const x = Math.floor((event.clientX - corner.left - left) / scale);
    const y = Math.floor((event.clientY - corner.top - top) / scale);
    this.pointTo(x, y);
  }

  // Moves the point by some pixels; it begins in the middle.
  move(right, down) {
    const { width, height } = this.sample;
    const [x, y] = this.point ?? [Math.floor(width / 2), Math.floor(height / 2)];
    this.pointTo(Math.min(Math.max(0, x + right), width - 1), Math.min(Math.max(0, y + down), height - 1));
  }

  pointTo(x, y) {
    const { width, height } = this.sample;
    this.point = x >= 0 && y >= 0 && x < width && y < height ? [x, y] : null;
    this.tell();
  }

  // The vector at the point in px; null if it is unknown.
  get vectorPx() {
    const place = 2 * (this.point[1] * this.sample.width + this.point[0]);
    const [u, v] = [this.flow[place], this.flow[place + 1]];
    if (u === this.dataset.unknown || v === this.dataset.unknown) return null;
    return [u / this.dataset.steps_per_px, v / this.dataset.steps_per_px];
  }

  // How many times longer than the motion the arrow is drawn, so that short vectors can be seen.
  get enlarged() {
    return Math.max(1, Math.round((ARROW * Math.min(this.sample.width, this.sample.height)) / (this.longest || 1)));
  }

  tell() {
    const parts = [];
    if (this.point && this.flow) {
      const vector = this.vectorPx;
      const [x, y] = this.point;
      parts.push(`column ${x}, row ${y}`);
      if (vector) {
        const [u, v] = vector;
        parts.push(`u ${signed(u)} px`, `v ${signed(v)} px`, `|f| ${Math.sqrt(u * u + v * v).toFixed(2)} px`);
        if (this.enlarged > 1) parts.push(`(arrow: ${this.enlarged} times as long)`);
      } else parts.push("flow unknown");
    }
    byId("readout").replaceChildren(...parts.map((part) => element("span", "", part)));
    if (!parts.length && this.sample?.width) byId("readout").textContent = "Point at the picture to read its flow.";
    this.draw();
  }

  draw() {
    if (!this.sample?.width) return;
    const { scale, left, top } = this.place;
    this.box.classList.toggle("coarse", scale > 3);
    const vector = this.point && this.flow ? this.vectorPx : null;
    this.vector.toggleAttribute("hidden", !vector);
    if (!vector) return;
    const [x, y] = [left + (this.point[0] + 0.5) * scale, top + (this.point[1] + 0.5) * scale];
    const [rim, line, circle] = this.vector.children;
    const long = scale * this.enlarged;
    const ends = { x1: x, y1: y, x2: x + vector[0] * long, y2: y + vector[1] * long };
    for (const [name, value] of Object.entries(ends)) for (const one of [rim, line]) one.setAttribute(name, value);
    circle.setAttribute("cx", x);
    circle.setAttribute("cy", y);
  }
}
