// The form of filters: which samples pass, and whether sizes have to be measured for that.

import { byId, counted } from "./words.js";

export class Filters {
  // `changed()` is called after every change.
  constructor(changed) {
    this.form = byId("filters");
    this.fields = this.form.elements;
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", changed);
    this.form.addEventListener("reset", () => setTimeout(changed));
    const more = byId("more");
    more.addEventListener("click", () => {
      const isOpen = byId("others").classList.toggle("open");
      more.ariaExpanded = isOpen;
      more.textContent = isOpen ? "Fewer filters" : "More filters";
    });
  }

  // Offers the kinds of motions and of pictures that a dataset has.
  offer(dataset, names, hasFailed) {
    const kind = this.fields.kind;
    const chosen = kind.value;
    kind.replaceChildren(new Option("any", ""), ...dataset.kinds.map((words, place) => new Option(words, place)));
    kind.value = chosen in dataset.kinds ? chosen : "";
    byId("state-choice").hidden = !hasFailed;
    byId("kind-choice").hidden = dataset.kinds.length < 2;
    if (!this.fields.layer.options.length) {
      const layers = dataset.layers.filter((layer) => layer !== "next");
      this.fields.layer.append(...layers.map((layer) => new Option(names[layer].toLowerCase(), layer)));
    }
    this.form.hidden = false;
  }

  get layer() {
    return this.fields.layer.value;
  }

  get needsMeasures() {
    return ["flow-from", "flow-to", "object-from", "object-to"].some((name) => this.fields[name].value !== "");
  }

  // Returns the samples that pass. `measureOf(row)` is the measured size, undefined if it is not measured.
  pass(samples, measureOf) {
    const { text, state, kind } = this.fields;
    const wanted = text.value.trim().toLowerCase();
    const limit = (name, absent) => (this.fields[name].value === "" ? absent : Number(this.fields[name].value));
    const flow = [limit("flow-from", -Infinity), limit("flow-to", Infinity)];
    const object = [limit("object-from", -Infinity) / 100, limit("object-to", Infinity) / 100];
    const needsMeasures = this.needsMeasures;
    const isWithin = (value, [low, high]) =>
      (low === -Infinity && high === Infinity) || (value !== null && value >= low && value <= high);
    return samples.filter((sample) => {
      if (wanted && !sample.id.toLowerCase().includes(wanted)) return false;
      if (state.value && sample.failed !== (state.value === "failed")) return false;
      if (kind.value && !sample.kinds.includes(Number(kind.value))) return false;
      if (!needsMeasures) return true;
      const measure = measureOf(sample.row);
      return measure !== undefined && isWithin(measure.flow_px, flow) && isWithin(measure.object_share, object);
    });
  }

  tellCount(passed, all, isMeasuring) {
    const part = `${passed.toLocaleString("en")} of ${counted(all, "sample")}`;
    const isPreliminary = isMeasuring && this.needsMeasures;
    byId("count").textContent = isPreliminary ? `${part} so far` : passed === all ? counted(all, "sample") : part;
  }

  // Shows how far the measurement is.
  tellProgress(state) {
    const box = byId("measuring");
    const isOver = state.measured >= state.usable;
    box.hidden = !state.wanted || (isOver && !state.error);
    const [bar, words] = box.children;
    [bar.max, bar.value] = [Math.max(1, state.usable), state.measured];
    bar.hidden = Boolean(state.error);
    words.textContent = state.error
      ? `The measurement stopped: ${state.error}`
      : `Measuring flow and objects once: ${state.measured.toLocaleString("en")} of ${state.usable.toLocaleString("en")}`;
  }
}

export const emptyWords = (all, isComplete) => {
  if (all) return "No sample passes these filters.";
  return isComplete ? "This dataset has no samples." : "No sample is made yet. They appear here as they are made.";
};

