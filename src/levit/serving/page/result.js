// The result of one image: headline, bars, time; and the image with its heat map.

import { percent } from "./entries.js";
import { drawHeat, fit, placeHeat } from "./heat.js";

const element = (id) => document.getElementById(id);

/** Shows an entry: its image and its labels. `onLabel` is called with the label whose bar is chosen. */
export function showEntry(entry, model, onLabel) {
  const image = element("image");
  element("viewer").hidden = element("result").hidden = false;
  element("file-name").textContent = entry.name;
  if (image.src !== entry.address) {
    element("no-preview").hidden = true;
    image.hidden = false;
    image.alt = entry.name;
    image.onload = place;
    image.onerror = () => {
      image.hidden = true;
      element("no-preview").hidden = false;
      element("frame").style.height = "";
    };
    image.src = entry.address;
  }
  showLabels(entry, model, onLabel);
}

function showLabels(entry, model, onLabel) {
  const { best, error, isUnknown } = entry;
  element("result").classList.toggle("failed", error !== null);
  element("result").classList.toggle("unknown", isUnknown);
  element("eyebrow").textContent = error || !best ? "" : isUnknown ? "No class is certain enough" : percent(best.score);
  element("headline").textContent = error ? "No result" : best ? best.name : "Classifying…";
  showNote(entry, model);
  element("labels").replaceChildren(...entry.labels.map((label) => bar(label, onLabel)));
  const hasTime = entry.milliseconds !== null && !error;
  const time = hasTime ? `Computed in ${duration(entry.milliseconds)} by the model “${entry.model}”` : "";
  element("time").textContent = time;
  element("copy").disabled = !best && !error;
  element("explain").disabled = !best;
}

/** Shows an error, if there is one, or else what there is to say about the best score. */
export function showNote(entry, model, error = entry.error) {
  const note = error ?? (entry.isUnknown ? unknownNote(entry, model) : "");
  element("note").textContent = note;
  element("note").hidden = !note;
}

/** Milliseconds as text, with a decimal where it matters. */
function duration(milliseconds) {
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)}\u00a0ms`;
}

function unknownNote(entry, model) {
  const threshold = model?.threshold ? `, and this model needs ${percent(model.threshold)}` : "";
  return `The best score is ${percent(entry.best.score)}${threshold}.`;
}

function bar(label, onLabel) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.index = label.index;
  button.setAttribute("aria-pressed", "false");
  button.title = "Show the heat map of this label";
  button.addEventListener("click", () => onLabel(label));
  const [name, score, track, fill] = ["name", "score", "track", "fill"].map((kind) => {
    const span = document.createElement("span");
    span.className = kind;
    return span;
  });
  name.textContent = label.name;
  score.textContent = percent(label.score);
  track.setAttribute("aria-hidden", "true");
  fill.style.width = `${100 * label.score}%`;
  track.append(fill);
  button.append(name, score, track);
  item.append(button);
  return item;
}

let shown = null; // the explanation on the canvas

/** Shows a heat map over the image, or none for null. */
export function showHeat(explanation) {
  shown = explanation;
  element("heat").hidden = !explanation;
  element("strength").disabled = !explanation;
  element("explain").setAttribute("aria-pressed", String(Boolean(explanation)));
  for (const button of element("labels").querySelectorAll("button")) {
    const isShown = explanation !== null && Number(button.dataset.index) === explanation.label.index;
    button.setAttribute("aria-pressed", String(isShown));
  }
  if (explanation) drawHeat(element("heat"), explanation.relative);
  fade();
  place();
}

/** Sets the opacity of the heat map to the position of the slider. */
export function fade() {
  element("heat").style.opacity = String(element("strength").value / 100);
}

/** Aligns the image and its heat map in the frame. */
export function place() {
  const [frame, image] = [element("frame"), element("image")];
  const [width, height] = shown ? [shown.width, shown.height] : [image.naturalWidth, image.naturalHeight];
  if (!width || !height) return;
  fit(element("fitted"), frame, width, height);
  if (shown) placeHeat(element("heat"), shown);
}
