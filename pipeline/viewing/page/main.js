// The page: the list of samples, its filters, and what is still being made and measured.

import { emptyWords, Filters } from "./filters.js";
import { Grid } from "./grid.js";
import { LAYER_NAMES, SampleView } from "./sample.js";
import { byId, counted, fetchJson } from "./words.js";

const LOOK_MS = 2000; // while the dataset is being written
const MEASURE_MS = 500;
const IDLE_MS = 15000;

const measures = new Map(); // row -> { flow_px, object_share }
const measureOf = (row) => measures.get(row);
let dataset, samples = [], passed = [], view, state = {}, index = {}, timer;

const grid = new Grid(byId("grid"), (position) => view.openFromList(passed[position].row));
grid.measureOf = measureOf;
const filters = new Filters(() => apply());

function complain(words) {
  byId("trouble").textContent = words;
  byId("trouble").hidden = !words;
}

// Shows the samples that pass the filters.
function apply() {
  if (filters.needsMeasures && !state.wanted) {
    state.wanted = true;
    fetchJson("/api/measure", { method: "POST" }).then(look, (error) => complain(error.message));
  }
  passed = filters.pass(samples, measureOf);
  places = undefined;
  tellCount();
  grid.show(passed, filters.layer, index.generation);
  byId("nothing").hidden = passed.length > 0;
  byId("nothing").textContent = emptyWords(samples.length, state.complete);
  byId("keys").hidden = passed.length === 0;
}

const isMeasuring = () => Boolean(state.wanted && !state.error && !(state.measured >= state.usable));

function tellCount() {
  filters.tellCount(passed.length, samples.length, isMeasuring());
}

let places; // row -> position among the samples that pass
function positionOf(row) {
  places ??= new Map(passed.map((sample, position) => [sample.row, position]));
  return places.get(row);
}

async function readIndex() {
  dataset = await fetchJson("/api/dataset");
  index = await fetchJson("/api/index");
  samples = index.rows.map((row, place) => ({
    row,
    id: index.ids[place],
    failed: index.failed[place],
    reason: index.reasons[row],
    kinds: index.kinds[place],
  }));
  document.title = `${dataset.name} – fakeflow`;
  byId("name").textContent = dataset.name;
  byId("name").title = dataset.place;
  filters.offer(dataset, LAYER_NAMES, index.failed.includes(true));
}

// Looks at what was made and measured since the last time.
async function look() {
  clearTimeout(timer);
  try {
    const first = measures.generation === index.generation ? measures.size : 0;
    state = await fetchJson(`/api/state?first=${first}`);
    if (state.generation !== measures.generation) measures.clear();
    measures.generation = state.generation;
    state.rows.forEach((row, place) => {
      measures.set(row, { flow_px: state.flow_px[place], object_share: state.object_share[place] });
    });
    tellState();
    if (state.revision !== index.revision) {
      await readIndex();
      apply();
    } else if (state.rows.length) {
      if (filters.needsMeasures) applyKept();
      else grid.tellMeasures();
    }
    filters.tellProgress(state);
    tellCount();
    complain("");
  } catch (error) {
    complain(error instanceof TypeError ? "The server does not answer. Is `pipeline view` still running?" : error.message);
  }
  timer = setTimeout(look, isMeasuring() ? MEASURE_MS : state.complete === false ? LOOK_MS : IDLE_MS);
}

// Applies the filters again; samples are only added, so the view stays where it is.
function applyKept() {
  const before = passed.length;
  const now = filters.pass(samples, measureOf);
  if (now.length !== before) apply();
  else grid.tellMeasures();
}

function tellState() {
  const made = [counted(state.usable, "usable sample"), ...(state.failed ? [`${state.failed.toLocaleString("en")} failed`] : [])];
  const missing = state.all - state.usable - state.failed;
  if (missing) made.push(`${missing.toLocaleString("en")} not made yet`);
  const facts = dataset.facts.map(([name, words]) => `${name} ${words}`.trim());
  byId("facts").textContent = [...made, ...facts].join(" · ");
}

addEventListener("keydown", (event) => {
  const isTyping = event.target.matches?.("input, select");
  if (event.key === "/" && !isTyping && !byId("sample").open) {
    event.preventDefault();
    filters.form.elements.text.focus();
    filters.form.elements.text.select();
  } else if (event.key === "Escape" && isTyping && !byId("sample").open) {
    event.target.blur();
    grid.focus(grid.focused);
  } else if (event.key.startsWith("Arrow") && event.target === document.body && passed.length) {
    event.preventDefault();
    grid.focus(grid.focused);
  }
});
addEventListener("popstate", () => view?.followAddress());

try {
  await readIndex();
  state = await fetchJson("/api/state");
  tellState();
  view = new SampleView(dataset, {
    neighbour: (row, step) => (positionOf(row) === undefined ? undefined : passed[positionOf(row) + step]?.row),
    placeOf: (row) =>
      positionOf(row) === undefined ? "not among the samples that pass the filters" : `${(positionOf(row) + 1).toLocaleString("en")} of ${passed.length.toLocaleString("en")}`,
    closed: (row) => grid.focus(positionOf(row) ?? grid.focused),
  });
  apply();
  view.openAddress();
  look();
} catch (error) {
  byId("name").textContent = "The dataset cannot be shown";
  complain(error.message);
}
