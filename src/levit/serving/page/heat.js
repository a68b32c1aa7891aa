// Heat map over an image: colors of a grid of values, stretched over the part of the image that the network sees.

// The colors of levit's overlays: violet, red, orange, yellow.
const COLORS = [[66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

/** Draws values in [0, 1], rows of numbers, on a canvas: transparent at 0. */
export function drawHeat(canvas, rows) {
  const [height, width] = [rows.length, rows[0].length];
  const grid = new ImageData(width, height);
  rows.flat().forEach((value, index) => grid.data.set([...color(value), 240 * value], 4 * index));
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(grid, 0, 0);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Aligns a canvas over the view of the network, inside a box that shows the whole image. */
export function placeHeat(canvas, explanation) {
  const { left, top, width, height } = explanation.view;
  const share = (part, whole) => `${(100 * part) / whole}%`;
  Object.assign(canvas.style, {
    left: share(left, explanation.width),
    top: share(top, explanation.height),
    width: share(width, explanation.width),
    height: share(height, explanation.height),
  });
}

/** Gives a box in a frame the shape of an image, as large as possible; the frame becomes no higher than needed. */
export function fit(box, frame, width, height) {
  const highest = Math.max(240, 0.6 * innerHeight);
  const frameHeight = Math.min(highest, (frame.clientWidth * height) / width);
  const scale = Math.min(frame.clientWidth / width, frameHeight / height);
  frame.style.height = `${frameHeight}px`;
  Object.assign(box.style, { width: `${width * scale}px`, height: `${height * scale}px` });
}

function color(value) {
  const position = Math.min(Math.max(value, 0), 1) * (COLORS.length - 1);
  const lower = Math.min(Math.floor(position), COLORS.length - 2);
  return COLORS[lower].map((channel, index) => channel + (position - lower) * (COLORS[lower + 1][index] - channel));
}
