// The images of this visit: each with its file, its prediction or error, and the maps that were computed.

const THUMBNAIL = 240; // pixels

/** One image of this visit. */
export class Entry {
  constructor(file, model) {
    this.file = file;
    this.model = model;
    this.name = file.name || "pasted image";
    this.address = URL.createObjectURL(file);
    this.prediction = null;
    this.milliseconds = null;
    this.error = null;
    this.explanations = new Map(); // promises by index of the class
    this.controller = new AbortController(); // of its prediction
  }

  get best() {
    return this.prediction?.labels[0] ?? null;
  }

  get isUnknown() {
    return this.best?.index === -1;
  }

  /** Labels of the bars: without the label "unknown". */
  get labels() {
    return (this.prediction?.labels ?? []).filter((label) => label.index !== -1);
  }

  /** Frees the memory of the image, and ends the request for its prediction. */
  release() {
    this.controller.abort();
    URL.revokeObjectURL(this.address);
  }
}

/** Percentage of a score as text, in which no line ends. */
export function percent(score) {
  return `${(100 * score).toFixed(1)}\u00a0%`;
}

/** Tile of an entry in the list of this visit. */
export function tile(entry, onSelect) {
  const item = document.createElement("li");
  const button = document.createElement("button");
  button.type = "button";
  button.addEventListener("click", () => onSelect(entry));
  const picture = document.createElement("canvas");
  picture.className = "thumb";
  picture.setAttribute("aria-hidden", "true");
  const caption = document.createElement("span");
  caption.className = "caption";
  button.append(picture, caption);
  item.append(button);
  entry.button = button;
  updateTile(entry);
  return item;
}

/** Shows the state of an entry in its tile. */
export function updateTile(entry) {
  const [title, note] = summary(entry);
  const [bold, small] = [document.createElement("b"), document.createElement("span")];
  bold.textContent = title;
  small.textContent = note;
  entry.button.querySelector(".caption").replaceChildren(bold, small);
  entry.button.classList.toggle("failed", entry.error !== null);
  entry.button.classList.toggle("waiting", entry.error === null && entry.best === null);
  entry.button.setAttribute("aria-label", [...new Set([title, note, entry.name])].join(", "));
}

function summary(entry) {
  if (entry.error) return ["no result", entry.name];
  if (!entry.best) return ["…", entry.name];
  return [entry.best.name, percent(entry.best.score)];
}

/** Draws the image of an entry in its tile; the pixels of a photo are 50 MB, so the caller limits how many at once. */
export async function drawThumbnail({ button, file }) {
  const canvas = button.querySelector(".thumb");
  [canvas.width, canvas.height] = [THUMBNAIL, (THUMBNAIL * 3) / 4];
  try {
    const image = await createImageBitmap(file);
    const scale = Math.max(canvas.width / image.width, canvas.height / image.height);
    const [width, height] = [image.width * scale, image.height * scale];
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(image, (canvas.width - width) / 2, (canvas.height - height) / 2, width, height);
    image.close();
  } catch {
    // The browser cannot read this file; the tile keeps its background.
  }
}
