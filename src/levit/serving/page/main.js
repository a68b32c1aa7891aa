// The page: images in, labels and heat maps out. All state is in this module and ends with the page.

import { drawThumbnail, Entry, percent, tile, updateTile } from "./entries.js";
import { watchIntake } from "./intake.js";
import { fade, place, showEntry, showHeat, showNote } from "./result.js";
import { explain, KeyError, listModels, onKeyNeeded, predict } from "./service.js";

const PARALLEL = 4; // images at once, each with a request and, for its thumbnail, its decoded pixels

const element = (id) => document.getElementById(id);
const entries = [];
const waiting = [];
let [models, selected, running] = [[], null, 0];
let batch = []; // entries that were added since all others were finished
let awaited = null; // the heat map that is awaited: {entry, index, controller}

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
  entries.unshift(...added);
  element("entries").prepend(...added.map((entry) => tile(entry, choose)));
  waiting.push(...added);
  batch.push(...added);
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
  if (running === 0) finish();
}

/** Reports the end of several images. */
function finish() {
  const classified = batch.filter((entry) => !entry.error).length;
  if (batch.length > 1) say(`${classified} of ${batch.length} images are classified. ${stateOf(selected)}`);
  batch = [];
}

function classify(entry) {
  return Promise.all([drawThumbnail(entry), requestLabels(entry)]);
}

async function requestLabels(entry) {
  try {
    const { prediction, milliseconds } = await predict(entry.model, entry.file, entry.controller.signal);
    prediction.file = entry.name; // the request contains the image only
    Object.assign(entry, { prediction, milliseconds });
    if (!models.length) loadModels(); // which needed a key, or the service was not there
  } catch (error) {
    fail(entry, error.message);
    // One "no" of the user is for all images.
    if (error instanceof KeyError) waiting.splice(0).forEach((other) => fail(other, error.message));
    return;
  }
  show(entry);
}

function fail(entry, reason) {
  entry.error = reason;
  show(entry);
}

function show(entry) {
  updateTile(entry);
  if (entry !== selected) return;
  showEntry(entry, modelOf(entry.model), heatOf);
  say(stateOf(entry));
}

function stateOf({ name, error, best }) {
  return `${name}: ${error ?? (best ? `${best.name}, ${percent(best.score)}.` : "not yet classified.")}`;
}

/** Selects an image in the list, which is below the image that it shows. */
function choose(entry) {
  select(entry);
  element("viewer").scrollIntoView({ block: "nearest" });
  say(stateOf(entry));
}

function select(entry) {
  selected = entry;
  for (const other of entries) other.button.setAttribute("aria-current", String(other === entry));
  hideHeat();
  showEntry(entry, modelOf(entry.model), heatOf);
}

/** Shows the heat map of a label of the selected image; a second time, hides it. */
async function heatOf(label) {
  const [entry, model] = [selected, modelOf(selected.model)];
  const button = element("labels").querySelector(`[data-index="${label.index}"]`);
  if (awaited?.index === label.index || button?.getAttribute("aria-pressed") === "true") {
    hideHeat();
    return;
  }
  abandon();
  const call = { entry, index: label.index, controller: new AbortController() };
  awaited = call;
  element("explain").classList.add("busy");
  try {
    const explanation = await explanationOf(call);
    if (call !== awaited) return;
    showHeat(explanation);
    showNote(entry, model);
    say(`Heat map of ${label.name}.`);
  } catch (error) {
    if (call !== awaited) return;
    showNote(entry, model, error.message);
    say(error.message);
  } finally {
    if (call === awaited) stopWaiting();
  }
}

/** Explanation of a class, for which the service is asked once, unless that fails. */
function explanationOf({ entry: { model, file, explanations }, index, controller }) {
  if (!explanations.has(index)) {
    const explanation = explain(model, file, index, controller.signal);
    explanations.set(index, explanation);
    explanation.catch(() => { if (explanations.get(index) === explanation) explanations.delete(index); });
  }
  return explanations.get(index);
}

function stopWaiting() {
  awaited = null;
  element("explain").classList.remove("busy");
}

/** Ends the request for the heat map that is awaited, so that the service does not compute it. */
function abandon() {
  awaited?.controller.abort();
  awaited?.entry.explanations.delete(awaited.index);
  stopWaiting();
}

function hideHeat() {
  abandon();
  showHeat(null);
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
  waiting.length = batch.length = 0;
  entries.splice(0).forEach((entry) => entry.release());
  selected = null;
  hideHeat();
  element("entries").replaceChildren();
  for (const id of ["viewer", "result", "history"]) element(id).hidden = true;
  document.body.classList.remove("has-images");
  element("choose").focus();
  say("All images were removed from this page.");
}

/** Asks the user for an API key; "" if the dialog is canceled. */
function askForKey(isWrong) {
  const dialog = element("key-dialog");
  element("key-wrong").hidden = !isWrong;
  element("key").value = dialog.returnValue = "";
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue && element("key").value), { once: true });
    dialog.showModal();
  });
}

function start() {
  onKeyNeeded(askForKey);
  watchIntake(add);
  element("explain").addEventListener("click", () => {
    if (awaited || element("explain").getAttribute("aria-pressed") === "true") hideHeat();
    else heatOf(selected.labels[0]);
  });
  element("strength").addEventListener("input", fade);
  element("copy").addEventListener("click", copy);
  element("clear").addEventListener("click", clear);
  element("model").addEventListener("change", chooseModel);
  element("close-key").addEventListener("click", () => element("key-dialog").close());
  addEventListener("resize", place);
  loadModels();
}

async function loadModels() {
  try {
    models = await listModels(() => { element("about").textContent ||= "The model is loading."; });
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
