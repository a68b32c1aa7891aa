// The page: images in, labels and heat maps out. All state is in this module and ends with the page.

import { Entry, percent, tile, updateTile } from "./entries.js";
import { watchIntake } from "./intake.js";
import { fade, place, showEntry, showHeat } from "./result.js";
import { explain, listModels, onKeyNeeded, predict } from "./service.js";

const PARALLEL = 4; // requests

const element = (id) => document.getElementById(id);
const entries = [];
const waiting = [];
let [models, selected, running] = [[], null, 0];

const modelOf = (name) => models.find((model) => model.name === name);

function say(text) {
  element("status").textContent = text;
}

/** Adds files to this visit, and classifies them. */
function add(files) {
  if (!files.length) return;
  document.body.classList.add("has-images");
  element("history").hidden = false;
  const added = files.map((file) => new Entry(file, element("model").value || "default"));
  for (const entry of added) {
    entries.unshift(entry);
    element("entries").prepend(tile(entry, select));
  }
  waiting.push(...added);
  select(added[0]);
  say(files.length === 1 ? `Classifying ${added[0].name}.` : `Classifying ${files.length} images.`);
  work();
}

function work() {
  while (running < PARALLEL && waiting.length) {
    running++;
    classify(waiting.shift()).finally(() => {
      running--;
      work();
    });
  }
}

async function classify(entry) {
  try {
    const { prediction, milliseconds } = await predict(entry.model, entry.file);
    prediction.file = entry.name; // the request contains the image only
    Object.assign(entry, { prediction, milliseconds });
  } catch (error) {
    entry.error = error.message;
  }
  updateTile(entry);
  if (entry !== selected) return;
  showEntry(entry, modelOf(entry.model), heatOf);
  say(entry.error ?? `${entry.name}: ${entry.best.name}, ${percent(entry.best.score)}.`);
}

function select(entry) {
  selected = entry;
  for (const other of entries) other.button.setAttribute("aria-current", String(other === entry));
  showHeat(null);
  showEntry(entry, modelOf(entry.model), heatOf);
}

/** Shows the heat map of a label of the selected image; a second time, hides it. */
async function heatOf(label) {
  const entry = selected;
  const button = element("labels").querySelector(`[data-index="${label.index}"]`);
  if (button?.getAttribute("aria-pressed") === "true") {
    showHeat(null);
    return;
  }
  element("explain").classList.add("busy");
  try {
    if (!entry.explanations.has(label.index)) {
      entry.explanations.set(label.index, await explain(entry.model, entry.file, label.index));
    }
    if (entry !== selected) return;
    showHeat(entry.explanations.get(label.index));
    say(`Heat map of ${label.name}.`);
  } catch (error) {
    element("note").textContent = error.message;
    element("note").hidden = false;
    say(error.message);
  } finally {
    element("explain").classList.remove("busy");
  }
}

async function copy() {
  const values = selected.prediction ?? { file: selected.name, labels: [], error: selected.error };
  const text = JSON.stringify(values, null, 2);
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    copyBySelection(text); // the clipboard needs https, or this machine
  }
  const button = element("copy");
  button.textContent = "Copied";
  say("Copied as JSON.");
  setTimeout(() => { button.textContent = "Copy as JSON"; }, 1500);
}

function copyBySelection(text) {
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function clear() {
  waiting.length = 0;
  entries.splice(0).forEach((entry) => entry.release());
  selected = null;
  showHeat(null);
  element("entries").replaceChildren();
  for (const id of ["viewer", "result", "history"]) element(id).hidden = true;
  document.body.classList.remove("has-images");
  element("choose").focus();
  say("All images were removed from this page.");
}

function askForKey() {
  const dialog = element("key-dialog");
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(element("key").value), { once: true });
    if (!dialog.open) dialog.showModal();
  });
}

async function start() {
  onKeyNeeded(askForKey);
  watchIntake(add);
  element("explain").addEventListener("click", () => {
    if (element("explain").getAttribute("aria-pressed") === "true") showHeat(null);
    else heatOf(selected.labels[0]);
  });
  element("strength").addEventListener("input", fade);
  element("copy").addEventListener("click", copy);
  element("clear").addEventListener("click", clear);
  element("model").addEventListener("change", chooseModel);
  addEventListener("resize", place);
  try {
    models = await listModels();
  } catch (error) {
    element("about").textContent = error.message;
    return;
  }
  const options = models.map(({ name }) => new Option(name, name));
  element("model").replaceChildren(...options);
  element("model").disabled = models.length < 2;
  describe();
}

/** Uses another model: the selected image is classified again. */
function chooseModel() {
  describe();
  if (selected) add([selected.file]);
}

function describe() {
  const model = modelOf(element("model").value);
  if (!model) return;
  const count = model.labels.length.toLocaleString("en");
  const accuracy = model.top1 ? `${percent(model.top1)} top-1 accuracy` : `${count} classes`;
  element("about").textContent = [model.source, accuracy, `${model.engine} in ${model.precision}`].join(" · ");
}

start();
