// From strokes to a picture as MNIST's are: the digit scaled into a box of 20 x 20 with its aspect kept, then put with its
// centre of mass into the middle of 28 x 28. Lines keep one thickness, however large the digit was drawn.
// Other sizes in proportion; but digits of a few pixels, such as the embedded ones of 8 x 8, fill their whole field.

const FIELD = 28;
const LIKE_MNIST = { box: 20, thickness: 2.6, byMass: true };
const LIKE_DIGITS = { box: 28, thickness: 6, byMass: false };
const FEW_PIXELS = 16;
const FINE = 8; // small pixels a side of each pixel that comes out

// Grey levels 0 to 255 of `size` x `size` pixels, white on black, row by row; null where nothing is drawn.
// `strokes`: lists of points {x, y} in any unit.
export function normalise(strokes, size) {
  const points = strokes.flat();
  if (points.length === 0) return null;
  const { box, thickness, byMass } = size < FEW_PIXELS ? LIKE_DIGITS : LIKE_MNIST;
  const side = size * FINE;
  const unit = side / FIELD;
  const xs = points.map((point) => point.x);
  const ys = points.map((point) => point.y);
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const extent = Math.max(right - left, bottom - top);
  // The line's own thickness is part of the box.
  const scale = extent > 0 ? ((box - thickness) * unit) / extent : 0;
  const fine = document.createElement("canvas");
  fine.width = fine.height = side;
  const context = fine.getContext("2d", { willReadFrequently: true });
  context.translate(side / 2, side / 2);
  context.strokeStyle = context.fillStyle = "#fff";
  context.lineWidth = thickness * unit;
  context.lineCap = context.lineJoin = "round";
  const place = (point) => [(point.x - (left + right) / 2) * scale, (point.y - (top + bottom) / 2) * scale];
  for (const stroke of strokes) trace(context, stroke.map(place));
  const alpha = context.getImageData(0, 0, side, side).data;
  return centred(alpha, side, size, byMass);
}

// Draw one stroke; a single point is a dot. `points`: pairs [x, y].
export function trace(context, points) {
  context.beginPath();
  if (points.length === 1) {
    context.arc(...points[0], context.lineWidth / 2, 0, 2 * Math.PI);
    context.fill();
    return;
  }
  context.moveTo(...points[0]);
  for (const point of points.slice(1)) context.lineTo(...point);
  context.stroke();
}

function centred(rgba, side, size, byMass) {
  let mass = 0;
  let massX = 0;
  let massY = 0;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const value = rgba[4 * (y * side + x) + 3];
      mass += value;
      massX += value * x;
      massY += value * y;
    }
  }
  const shiftX = byMass ? Math.round((side - 1) / 2 - massX / mass) : 0;
  const shiftY = byMass ? Math.round((side - 1) / 2 - massY / mass) : 0;
  const levels = new Float64Array(size * size);
  for (let y = 0; y < side; y++) {
    const toY = y + shiftY;
    if (toY < 0 || toY >= side) continue;
    for (let x = 0; x < side; x++) {
      const toX = x + shiftX;
      const value = rgba[4 * (y * side + x) + 3];
      if (value && toX >= 0 && toX < side) levels[Math.floor(toY / FINE) * size + Math.floor(toX / FINE)] += value;
    }
  }
  return Uint8ClampedArray.from(levels, (sum) => Math.round(sum / (FINE * FINE)));
}

// A PNG of grey levels.
export function toPng(levels, size) {
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const image = new ImageData(size, size);
  levels.forEach((level, index) => image.data.set([level, level, level, 255], 4 * index));
  canvas.getContext("2d").putImageData(image, 0, 0);
  return new Promise((done) => canvas.toBlob(done, "image/png"));
}
