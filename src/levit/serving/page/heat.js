// Heat map over an image: colors of a grid of values, stretched over the part of the image that the network sees.

// The colors of levit's overlays: violet, red, orange, yellow.
const COLORS = [[66, 10, 104], [147, 38, 103], [221, 81, 58], [252, 165, 10], [252, 255, 164]];

/** Draws values in [0, 1], rows of numbers, on a canvas: transparent at 0. */
export function drawHeat(canvas, rows) {
  const [height, width] = [rows.length, rows[0].length];
  const grid = new ImageData(width, height);
  rows.flat().forEach((value, index) => grid.data.set([...color(value), 235 * Math.sqrt(value)], 4 * index));
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(grid, 0, 0);
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, 0, 0, canvas.width, canvas.height);
}

/** Places a canvas over the view of the network, in a box {left, top, width, height} that shows the whole image. */
export function placeHeat(canvas, box, explanation) {
  const scale = [box.width / explanation.width, box.height / explanation.height];
  const { left, top, width, height } = explanation.view;
  Object.assign(canvas.style, {
    left: `${box.left + left * scale[0]}px`,
    top: `${box.top + top * scale[1]}px`,
    width: `${width * scale[0]}px`,
    height: `${height * scale[1]}px`,
  });
}

/** Largest box with the shape of an image, in the middle of a frame. */
export function fit(frame, width, height) {
  const scale = Math.min(frame.clientWidth / width, frame.clientHeight / height);
  const [boxWidth, boxHeight] = [width * scale, height * scale];
  return {
    left: (frame.clientWidth - boxWidth) / 2,
    top: (frame.clientHeight - boxHeight) / 2,
    width: boxWidth,
    height: boxHeight,
  };
}

function color(value) {
  const position = Math.min(Math.max(value, 0), 1) * (COLORS.length - 1);
  const lower = Math.min(Math.floor(position), COLORS.length - 2);
  return COLORS[lower].map((channel, index) => channel + (position - lower) * (COLORS[lower + 1][index] - channel));
}
