// The grid of samples: only the tiles in view exist, whatever the number of samples.

import { element, rounded } from "./words.js";
import { Thumbnails } from "./thumbnails.js";

const GAP = 12;
const CAPTION = 48;
const TAIL = 9; // characters at the end of an id that are always shown
const ROWS_BEYOND = 1; // rows of tiles above and below the view that exist as well

export class Grid {
  // `samples` are the samples to show; `open(position)` is called for the one that is chosen.
  constructor(box, open) {
    this.box = box;
    this.open = open;
    this.samples = [];
    this.tiles = new Map(); // position -> its tile
    this.thumbnails = new Thumbnails();
    this.focused = 0;
    this.layer = undefined; // kind of picture of the tiles
    this.measureOf = () => undefined;
    addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.arrange()).observe(box);
    box.addEventListener("keydown", (event) => this.onKey(event));
    box.addEventListener("click", (event) => {
      const tile = event.target.closest(".tile");
      if (tile) this.open(Number(tile.dataset.position));
    });
  }

  show(samples, layer, generation) {
    const before = this.samples[this.focused];
    const hadFocus = this.box.contains(document.activeElement);
    const isSameLook = layer === this.layer && generation === this.generation;
    [this.samples, this.layer, this.generation] = [samples, layer, generation];
    const place = before ? samples.findIndex((sample) => sample.row === before.row) : 0;
    this.focused = Math.max(0, place);
    for (const [position, cell] of [...this.tiles]) {
      cell.ariaSetSize = samples.length;
      if (!isSameLook || samples[position]?.row !== cell.row) this.remove(position);
    }
    this.box.hidden = samples.length === 0;
    this.arrange();
    if (hadFocus && !this.box.contains(document.activeElement)) this.focus(this.focused);
  }

  // Writes the sizes below the tiles in view again.
  tellMeasures() {
    for (const [position, tile] of this.tiles) this.tellMeasure(tile, this.samples[position]);
  }

  arrange() {
    const width = this.box.clientWidth;
    if (!width) return;
    this.columns = Math.max(2, Math.floor((width + GAP) / ((width < 700 ? 150 : 176) + GAP)));
    this.width = (width - GAP * (this.columns - 1)) / this.columns;
    this.height = Math.round(this.width * 0.75) + CAPTION;
    this.box.style.height = `${Math.ceil(this.samples.length / this.columns) * (this.height + GAP)}px`;
    for (const [position, tile] of this.tiles) this.put(position, tile);
    this.draw();
  }

  draw() {
    if (!this.columns) return;
    const pitch = this.height + GAP;
    const top = -this.box.getBoundingClientRect().top;
    const firstRow = Math.max(0, Math.floor(top / pitch) - ROWS_BEYOND);
    const lastRow = Math.ceil((top + innerHeight) / pitch) + ROWS_BEYOND;
    const [first, last] = [firstRow * this.columns, Math.min(this.samples.length, lastRow * this.columns)];
    for (const position of [...this.tiles.keys()]) {
      const isFocused = this.tiles.get(position).contains(document.activeElement);
      if ((position < first || position >= last) && !isFocused) this.remove(position);
    }
    for (let position = first; position < last; position++) if (!this.tiles.has(position)) this.add(position);
    if (this.focused < first || this.focused >= last) this.makeReachable(first < last ? first : 0);
    else this.makeReachable(this.focused);
  }

  // One tile can be reached by Tab; arrows lead to the others.
  makeReachable(position) {
    const active = [...this.tiles].find(([, tile]) => tile.contains(document.activeElement));
    this.focused = active ? active[0] : position;
    for (const [place, tile] of this.tiles) tile.firstChild.tabIndex = place === this.focused ? 0 : -1;
  }

  add(position) {
    const sample = this.samples[position];
    const cell = element("div", "cell");
    cell.role = "listitem";
    cell.row = sample.row;
    cell.ariaPosInSet = position + 1;
    cell.ariaSetSize = this.samples.length;
    const tile = element("button", "tile");
    tile.type = "button";
    tile.dataset.position = position;
    const picture = element("span", "picture");
    const name = element("span", "name");
    const id = [...(sample.id || `row ${sample.row}`)]; // cut in the middle: ids often begin alike
    name.append(element("span", "", id.slice(0, -TAIL).join("")), element("span", "", id.slice(-TAIL).join("")));
    name.title = sample.id;
    tile.append(picture, name, element("span", "sizes"));
    cell.append(tile);
    this.tiles.set(position, cell);
    this.put(position, cell);
    this.tellMeasure(cell, sample);
    this.box.append(cell);
    if (sample.failed) {
      picture.append(element("span", "", `failed: ${(sample.reason ?? "no reason recorded").replaceAll("_", " ")}`));
      return;
    }
    cell.url = `/thumbnail/${sample.row}/${this.layer}?generation=${this.generation}`;
    this.thumbnails.want(cell.url, (address, problem) => {
      const shown = element(address ? "img" : "span", "", problem && "cannot be read");
      if (address) [shown.src, shown.alt] = [address, ""];
      else shown.title = problem;
      picture.replaceChildren(shown);
    });
  }

  remove(position) {
    const cell = this.tiles.get(position);
    if (cell.url) this.thumbnails.giveUp(cell.url);
    cell.remove();
    this.tiles.delete(position);
  }

  put(position, cell) {
    const [column, row] = [position % this.columns, Math.floor(position / this.columns)];
    cell.style.width = `${this.width}px`;
    cell.style.height = `${this.height}px`;
    cell.style.transform = `translate(${column * (this.width + GAP)}px, ${row * (this.height + GAP)}px)`;
  }

  tellMeasure(cell, sample) {
    const measure = this.measureOf(sample.row);
    const parts = [];
    if (measure && measure.flow_px !== null) parts.push(`flow ${rounded(measure.flow_px)} px`);
    if (measure && measure.object_share !== null) parts.push(`object ${rounded(100 * measure.object_share)} %`);
    cell.querySelector(".sizes").textContent = parts.join(" · ") || `row ${sample.row}`;
  }

  // Puts the focus on a tile, and scrolls to it.
  focus(position) {
    this.focused = Math.min(Math.max(0, position), this.samples.length - 1);
    if (this.focused < 0) return;
    const top = this.box.getBoundingClientRect().top + Math.floor(this.focused / this.columns) * (this.height + GAP);
    const above = document.getElementById("filters").offsetHeight + GAP;
    const below = innerHeight - this.height - 44;
    if (top < above) scrollBy(0, top - above);
    else if (top > below) scrollBy(0, top - below);
    document.activeElement?.blur();
    this.draw();
    this.tiles.get(this.focused)?.firstChild.focus({ preventScroll: true });
    this.makeReachable(this.focused);
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const perView = this.columns * Math.max(1, Math.floor((innerHeight - 150) / (this.height + GAP)));
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -perView, PageDown: perView, Home: -Infinity, End: Infinity,
    };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const wanted = this.focused + steps[event.key];
    if (Math.abs(steps[event.key]) === this.columns && (wanted < 0 || wanted >= this.samples.length)) return;
    this.focus(wanted);
  }
}
