// One sample in large, with what is known about it; the part of the address after # names it.

import { Stage } from "./stage.js";
import { byId, element, fetchJson, rounded } from "./words.js";

export const LAYER_NAMES = {
  photo: "Photo", depth: "Depth", flow: "Flow", mask: "Mask", next: "Next frame", occlusion: "Occlusion",
};

export class SampleView {
  // `neighbour(row, step)` returns the row that many places on in the list, and undefined at its ends; `placeOf(row)`
  // says where a row is in the list; `closed(row)` is called at the end.
  constructor(dataset, { neighbour, placeOf, closed }) {
    [this.dataset, this.neighbour, this.placeOf] = [dataset, neighbour, placeOf];
    this.dialog = byId("sample");
    this.stage = new Stage();
    this.chosen = { layer: dataset.layers[0], motion: 0, step: 0 };
    this.offerLayers();
    this.offerNumbers("motion", dataset.motions, (motion) => `${motion + 1} of ${dataset.motions}`);
    this.offerNumbers("step", dataset.frames - 1, (step) => `frame ${step + 1} to ${step + 2}`);
    byId("flicker").hidden = !dataset.layers.includes("next");
    byId("flicker").addEventListener("click", () => this.toggleFlicker());
    byId("previous").addEventListener("click", () => this.step(-1));
    byId("following").addEventListener("click", () => this.step(1));
    byId("close").addEventListener("click", () => this.dialog.close());
    byId("link").addEventListener("click", () => this.copyLink());
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.dialog.addEventListener("close", () => {
      this.stage.end();
      const row = this.row;
      this.row = undefined;
      if (this.isFromList && location.hash) history.back();
      else if (location.hash) history.replaceState(null, "", location.pathname);
      this.isFromList = false;
      closed(row);
    });
  }

  offerLayers() {
    const buttons = this.dataset.layers.map((layer, place) => {
      const button = element("button", "", LAYER_NAMES[layer]);
      button.type = "button";
      button.dataset.layer = layer;
      button.title = `${LAYER_NAMES[layer]} (${place + 1})`;
      button.addEventListener("click", () => this.choose({ layer }));
      return button;
    });
    byId("layers").replaceChildren(...buttons);
    byId("last-layer").textContent = buttons.length;
  }

  offerNumbers(name, count, words) {
    const select = byId(name);
    byId(`${name}-choice`).hidden = count < 2;
    select.replaceChildren(...Array.from({ length: Math.max(1, count) }, (_, number) => new Option(words(number), number)));
    select.addEventListener("change", () => this.choose({ [name]: Number(select.value) }));
  }

  // Opens a sample so that the browser's way back leads to the list again.
  openFromList(row) {
    history.pushState(null, "", `#row=${row}`);
    this.isFromList = true;
    this.open(row);
  }

  // Follows an address that the user entered or went back to.
  followAddress() {
    if (!this.openAddress() && this.dialog.open) this.dialog.close();
  }

  // Opens what the address names; returns whether it names a sample.
  openAddress() {
    const named = new URLSearchParams(location.hash.slice(1));
    if (!/^\d{1,9}$/.test(named.get("row") ?? "")) return false;
    const number = (name, count) => Math.min(Number(/^\d{1,4}$/.exec(named.get(name) ?? "0") ?? 0), Math.max(0, count - 1));
    const layer = this.dataset.layers.includes(named.get("picture")) ? named.get("picture") : this.dataset.layers[0];
    this.chosen = { layer, motion: number("motion", this.dataset.motions), step: number("step", this.dataset.frames - 1) };
    this.open(Number(named.get("row")));
    return true;
  }

  async open(row) {
    this.row = row;
    if (!this.dialog.open) {
      this.dialog.showModal();
      this.dialog.focus();
    }
    this.stage.begin({ row }, this.dataset);
    byId("sample-id").textContent = `row ${row}`;
    byId("about").replaceChildren();
    this.tellPlace();
    this.writeAddress();
    try {
      const sample = await fetchJson(`/api/sample/${row}`);
      if (this.row !== row) return;
      this.sample = sample;
    } catch (error) {
      if (this.row !== row) return;
      this.sample = { row, id: `row ${row}`, failure: error.message, motions: [], windows: [] };
    }
    byId("sample-id").textContent = this.sample.id || `row ${row}`;
    this.isUsable = this.sample.failure === null;
    for (const control of this.dialog.querySelectorAll(".choices button, .choices select")) control.disabled = !this.isUsable;
    this.lengths = undefined;
    this.stage.begin(this.isUsable ? this.sample : { row }, this.dataset);
    if (this.isUsable) this.choose({});
    else {
      this.stage.say(this.sample.failure);
      byId("readout").textContent = "";
      this.tellCaption("");
      this.tellFacts();
    }
  }

  step(places) {
    const row = this.neighbour(this.row, places);
    if (row !== undefined) this.open(row);
  }

  tellPlace() {
    byId("place").textContent = this.placeOf(this.row);
    byId("previous").disabled = this.neighbour(this.row, -1) === undefined;
    byId("following").disabled = this.neighbour(this.row, 1) === undefined;
  }

  // Shows another picture, motion or step.
  choose(change) {
    if (!this.isUsable) return;
    const { motion, step } = this.chosen;
    Object.assign(this.chosen, change);
    const isOther = this.chosen.motion !== motion || this.chosen.step !== step || !this.lengths;
    this.setFlicker(false);
    this.stage.show(this.chosen.layer, this.chosen.motion, this.chosen.step);
    this.writeAddress();
    for (const button of byId("layers").children) button.ariaPressed = button.dataset.layer === this.chosen.layer;
    [byId("motion").value, byId("step").value] = [this.chosen.motion, this.chosen.step];
    this.tellCaption(this.caption());
    byId("stage").ariaLabel = `${LAYER_NAMES[this.chosen.layer]} of ${this.sample.id}`;
    if (isOther) this.readFlow();
    this.tellFacts();
  }

  async readFlow() {
    const { row } = this;
    try {
      const lengths = await this.stage.readFlow(this.chosen.motion, this.chosen.step);
      if (lengths && this.row === row) this.lengths = lengths;
    } catch (error) {
      if (error.name !== "AbortError") byId("readout").textContent = error.message;
      return;
    }
    if (this.row !== row) return;
    this.tellFacts();
    if (byId("flicker").ariaPressed !== "true") this.tellCaption(this.caption());
  }

  caption() {
    const { layer, step } = this.chosen;
    const isSingle = this.dataset.frames === 1;
    const words = {
      depth: "Relative inverse depth: bright is near.",
      flow: `The hue is the direction, as on the wheel; the fullest colour is the longest vector${this.longestWords()}. Black is unknown.`,
      mask: this.dataset.layers.includes("photo")
        ? "The photo, darkened outside of its objects, with their outlines."
        : "White: the object.",
      next: isSingle
        ? "Rendered now from depth and motion: this dataset stores no next frame."
        : `Frame ${step + 2}, as stored.`,
      occlusion: "Red: hidden by the step. Blue: leaves the picture. Green: new in the next frame.",
    };
    return words[layer] ?? "";
  }

  longestWords() {
    return this.lengths ? `, ${rounded(this.lengths.longest)} px` : "";
  }

  tellCaption(words) {
    byId("caption").textContent = words;
    byId("wheel").hidden = !(this.isUsable && this.chosen.layer === "flow") || byId("flicker").ariaPressed === "true";
  }

  tellFacts() {
    const facts = [];
    if (this.isUsable) {
      facts.push(["size", `${this.sample.width} × ${this.sample.height} px`]);
      facts.push(["object", `${rounded(100 * this.sample.object_share)} % of the picture`]);
    }
    if (this.lengths) {
      const { mean, longest, unknown } = this.lengths;
      const relative = this.dataset.lengths_are_relative ? " (relative: read back from colours)" : "";
      facts.push(["flow", `mean ${rounded(mean)} px, longest ${rounded(longest)} px${relative}`]);
      if (unknown) facts.push(["flow unknown", `${rounded(100 * unknown)} % of the pixels`]);
    }
    const window = this.sample.windows[this.chosen.motion];
    if (window) facts.push(["window", `columns ${window[2]} to ${window[3] - 1}, rows ${window[0]} to ${window[1] - 1}, seen in all frames`]);
    facts.push(...(this.sample.motions[this.chosen.motion] ?? []));
    facts.push(["row", `${this.row}`]);
    byId("about").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
  }

  setFlicker(isOn) {
    byId("flicker").ariaPressed = isOn;
    if (!isOn) this.stage.stopFlicker();
  }

  toggleFlicker() {
    if (!this.isUsable || byId("flicker").hidden) return;
    if (byId("flicker").ariaPressed === "true") {
      this.choose({});
      return;
    }
    this.setFlicker(true);
    const origin = this.dataset.frames === 1 ? " (rendered now from depth and motion)" : "";
    this.stage.flicker(this.chosen.motion, Math.max(1, this.dataset.frames - 1), (number) => {
      this.tellCaption(number ? `Frame ${number + 1}${origin}` : "Frame 1, the photo");
    });
  }

  writeAddress() {
    const { layer, motion, step } = this.chosen;
    const parts = { row: this.row, picture: layer, ...(motion && { motion }), ...(step && { step }) };
    history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
  }

  async copyLink() {
    const button = byId("link");
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy the address above";
    }
    setTimeout(() => (button.textContent = "Copy link"), 2000);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("select, input")) return;
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.shiftKey && event.key in moves) {
      if (this.isUsable) this.stage.move(...moves[event.key]);
    } else if (event.key === "ArrowLeft") this.step(-1);
    else if (event.key === "ArrowRight") this.step(1);
    else if (event.key === "f") this.toggleFlicker();
    else if (this.dataset.layers[event.key - 1]) this.choose({ layer: this.dataset.layers[event.key - 1] });
    else return;
    event.preventDefault();
  }
}
