"use strict";
// Counts are drawn as greys, white for none; every pane shows the same part of the same scan.
const scan = JSON.parse(document.getElementById("scan").textContent);
const byId = (id) => document.getElementById(id);
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const counts = (packed) => Float32Array.from(new Uint16Array(bytes(packed.values).buffer), (value) => value * packed.step);
const images = { restored: scan.restored.map(counts), rapid: scan.rapid && scan.rapid.map(counts) };
const scores = scan.scores && scan.scores.map((view) => new Int8Array(bytes(view).buffer));

const FLICKER_MS = 600; // below three changes a second, which is safe for everyone
const SMALLEST_ZOOM = 0.5, LARGEST_ZOOM = 16;
const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const state = { upper: scan.window, root: true, overlay: false, views: null, flicker: false, swapped: false };
const [top_, bottom, left, right] = scan.body; // what fits into a pane at zoom 1
const home = { row: (top_ + bottom) / 2, column: (left + right) / 2 };
const place = { zoom: 1, ...home }; // what lies in the middle of a pane

// The slider is logarithmic: from a hundredth of the largest count to all of it.
const slider = byId("window");
const smallest = Math.max(scan.largest / 1000, 1);
const fromSlider = () => smallest * (scan.largest / smallest) ** (slider.value / 100);
const toSlider = (upper) => (100 * Math.log(upper / smallest)) / Math.max(Math.log(scan.largest / smallest), 1e-6);

function painted(kind, view) {
  const values = images[kind][view], length = scan.rows * scan.columns;
  const picture = new ImageData(scan.columns, scan.rows), pixels = new Uint32Array(picture.data.buffer);
  const marks = state.overlay && scores && kind === "restored" ? scores[view] : null;
  const beyond = scan.beyond * scan.scoreSteps;
  for (let at = 0; at < length; at++) {
    const share = Math.min(1, values[at] / state.upper);
    const grey = Math.round(255 * (1 - (state.root ? Math.sqrt(share) : share)));
    let red = grey, green = grey, blue = grey;
    if (marks && Math.abs(marks[at]) > beyond) {
      const weight = 0.75, tint = marks[at] > 0 ? [194, 47, 47] : [42, 98, 196];
      red += weight * (tint[0] - red); green += weight * (tint[1] - green); blue += weight * (tint[2] - blue);
    }
    pixels[at] = (255 << 24) | (blue << 16) | (green << 8) | red;
  }
  const canvas = document.createElement("canvas");
  canvas.width = scan.columns; canvas.height = scan.rows;
  canvas.getContext("2d").putImageData(picture, 0, 0);
  return canvas;
}

let panes = [], pictures = {};

function repaint() {
  pictures = {};
  draw();
}

function picture(kind, view) {
  const key = `${kind} ${view}`;
  return (pictures[key] ??= painted(kind, view));
}

function scale(canvas) {
  return place.zoom * Math.min(canvas.width / (right - left), canvas.height / (bottom - top_));
}

function draw() {
  for (const pane of panes) {
    const { canvas } = pane, ratio = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * ratio), height = Math.round(canvas.clientHeight * ratio);
    if (canvas.width !== width || canvas.height !== height) { canvas.width = width; canvas.height = height; }
    const kind = shownKind(pane), size = scale(canvas), brush = canvas.getContext("2d");
    brush.setTransform(1, 0, 0, 1, 0, 0);
    brush.clearRect(0, 0, width, height);
    brush.imageSmoothingEnabled = size < 1; // shrunk, pixels are averaged: to leave some out could lose a lesion
    brush.imageSmoothingQuality = "high";
    brush.setTransform(size, 0, 0, size, width / 2 - place.column * size, height / 2 - place.row * size);
    brush.drawImage(picture(kind, pane.view), 0, 0);
    pane.figure.className = kind;
    Object.assign(canvas.dataset, { shows: kind, scale: size, row: place.row, column: place.column });
    pane.name.textContent = `${scan.views[pane.view]}, ${kind === "rapid" ? "rapid × k" : "restored"}`;
  }
}

function shownKind(pane) {
  if (!images.rapid || !state.swapped) return pane.kind;
  return pane.kind === "rapid" ? "restored" : "rapid";
}

function arrange() {
  const kinds = images.rapid && !state.flicker ? ["rapid", "restored"] : ["restored"];
  panes = state.views.flatMap((view) => kinds.map((kind) => pane(view, kind)));
  byId("panes").replaceChildren(...panes.map((one) => one.figure));
  for (const button of byId("view-buttons").children) {
    button.setAttribute("aria-pressed", String(button.dataset.views === state.views.join(" ")));
  }
  draw();
}

function pane(view, kind) {
  const figure = document.createElement("figure"), caption = document.createElement("figcaption");
  const name = document.createElement("b"), hint = document.createElement("span"), canvas = document.createElement("canvas");
  hint.textContent = kind === "rapid" ? " measured" : " processed";
  if (!state.flicker) caption.append(name, hint); else caption.append(name);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${scan.views[view]} view, ${kind}`);
  figure.append(caption, canvas, ...scan.sides[view].map(side));
  const one = { view, kind, figure, canvas, name };
  listen(one);
  return one;
}

// Which side of the patient lies at an edge, as the object's orientation says; nothing where it does not.
function side(letter, edge) {
  const mark = document.createElement("span");
  mark.className = `side ${edge ? "right" : "left"}`;
  mark.textContent = letter;
  return mark;
}

function zoomBy(factor, canvas, x, y) {
  const before = scale(canvas);
  const row = place.row + (y - canvas.height / 2) / before, column = place.column + (x - canvas.width / 2) / before;
  place.zoom = Math.min(LARGEST_ZOOM, Math.max(SMALLEST_ZOOM, place.zoom * factor));
  const after = scale(canvas);
  move(row - (y - canvas.height / 2) / after, column - (x - canvas.width / 2) / after);
}

function move(row, column) {
  place.row = Math.min(scan.rows, Math.max(0, row));
  place.column = Math.min(scan.columns, Math.max(0, column));
  draw();
}

function fit() {
  place.zoom = 1;
  move(home.row, home.column);
}

function listen({ canvas, view }) {
  const held = new Map();
  const at = (event) => {
    const box = canvas.getBoundingClientRect(), ratio = canvas.width / box.width;
    return { x: (event.clientX - box.left) * ratio, y: (event.clientY - box.top) * ratio };
  };
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const { x, y } = at(event);
    zoomBy(Math.exp(-event.deltaY / 400), canvas, x, y);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held.set(event.pointerId, at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const now = at(event), before = held.get(event.pointerId);
    read(view, Math.floor(place.row + (now.y - canvas.height / 2) / scale(canvas)),
      Math.floor(place.column + (now.x - canvas.width / 2) / scale(canvas)));
    if (!before) return;
    if (held.size === 2) {
      const other = [...held].find(([id]) => id !== event.pointerId)[1];
      const spread = (a, b) => Math.hypot(a.x - b.x, a.y - b.y);
      zoomBy(spread(now, other) / Math.max(spread(before, other), 1), canvas, (now.x + other.x) / 2, (now.y + other.y) / 2);
    } else {
      move(place.row - (now.y - before.y) / scale(canvas), place.column - (now.x - before.x) / scale(canvas));
    }
    held.set(event.pointerId, now);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => held.delete(event.pointerId));
  canvas.addEventListener("dblclick", fit);
}

function read(view, row, column) {
  if (row < 0 || column < 0 || row >= scan.rows || column >= scan.columns) return;
  const at = row * scan.columns + column, parts = [`${scan.views[view]}, row ${row}, column ${column}`];
  if (images.rapid) parts.push(`rapid × k ${images.rapid[view][at].toFixed(1)}`);
  parts.push(`restored ${images.restored[view][at].toFixed(2)} counts`);
  if (scores) parts.push(`10 mm window ${(scores[view][at] / scan.scoreSteps).toFixed(1)} s.d.`);
  byId("readout").textContent = parts.join(" · ");
}

let ticking = 0;
function setFlicker(wanted) {
  state.flicker = wanted; state.swapped = false;
  byId("flicker").setAttribute("aria-pressed", String(wanted));
  clearInterval(ticking);
  if (wanted && !calm) ticking = setInterval(swap, FLICKER_MS);
  arrange();
}

function swap() {
  state.swapped = !state.swapped;
  draw();
}

function showUpper() {
  byId("window-value").textContent = state.upper >= 100 ? state.upper.toFixed(0) : state.upper.toPrecision(3);
}

function button(text, views) {
  const one = document.createElement("button");
  one.textContent = text; one.dataset.views = views.join(" ");
  one.addEventListener("click", () => { state.views = views; arrange(); });
  return one;
}

const all = scan.views.map((_, view) => view);
if (all.length > 1) {
  byId("view-buttons").append(button("both", all), ...all.map((view) => button(scan.views[view], [view])));
}
state.views = innerWidth > 700 ? all : [0];
slider.value = toSlider(state.upper);
slider.addEventListener("input", () => { state.upper = fromSlider(); showUpper(); repaint(); });
byId("root").addEventListener("change", (event) => { state.root = event.target.checked; repaint(); });
byId("overlay")?.addEventListener("change", (event) => {
  state.overlay = event.target.checked; byId("legend").hidden = !state.overlay; repaint();
});
byId("flicker")?.addEventListener("click", () => setFlicker(!state.flicker));
const middle = (factor) => zoomBy(factor, panes[0].canvas, panes[0].canvas.width / 2, panes[0].canvas.height / 2);
byId("in").addEventListener("click", () => middle(1.5));
byId("out").addEventListener("click", () => middle(1 / 1.5));
byId("fit").addEventListener("click", fit);
addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "INPUT") return;
  const act = { f: () => images.rapid && setFlicker(!state.flicker), "+": () => middle(1.5), "-": () => middle(1 / 1.5), 0: fit };
  if (event.key === " " && images.rapid && event.target.tagName !== "BUTTON") { event.preventDefault(); swap(); }
  act[event.key]?.();
});
addEventListener("resize", draw);
showUpper();
arrange();
