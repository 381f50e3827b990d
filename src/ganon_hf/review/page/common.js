"use strict";
// What the review's pages share: calls of the server, outlines, a box that is drawn, zoom, pointer and keys. A page that loads this first says
// what `state.photo` is, gives `boxesOf(photo)`, `drawPicture()`, `add(action)`, `save(corrections, said)` and `corrected(one, before, change)`,
// and says what `KEYS` do.
const LETTERS = { replaced: "R", covered: "C", doubtful: "?", pending: "+", left: "–" };
const ZOOMS = [1, 1.5, 2, 3, 4, 6];
const $ = (id) => document.getElementById(id);
const state = { photo: null, boxes: [], selected: -1, drawn: null, zoom: 0, original: false, busy: false };

async function call(address, body) {
  const request = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  const answer = await fetch(address, request).catch(() => { throw new Error("The server does not answer: is `ganon-hf review` still running?"); });
  const value = await answer.json();
  if (!answer.ok) throw new Error(value.error);
  return value;
}
function say(text, wrong = false) {
  $("said").textContent = text;
  $("said").classList.toggle("wrong", wrong);
}
// One action after the other: an answer must never meet a photo that is no longer shown. Steps that a held key repeats are left out.
let queue = Promise.resolve(), waiting = 0;
function act(action, repeated = false) {
  if (repeated && waiting > 1) return;
  waiting += 1;
  state.busy = true;
  queue = queue.then(action).catch((error) => {
    say(error.message, true);
  }).then(() => {
    waiting -= 1;
    state.busy = waiting > 0;
  });
}

// ---- boxes ----
function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]), both = width * height;
  return both / (area(a) + area(b) - both);
}
function place(element, box) {
  const { width, height } = state.photo;
  element.style.left = `${box[0] / width * 100}%`;
  element.style.top = `${box[1] / height * 100}%`;
  element.style.width = `${(box[2] - box[0]) / width * 100}%`;
  element.style.height = `${(box[3] - box[1]) / height * 100}%`;
}
function drawBoxes() {
  const photo = state.photo;
  state.boxes = photo ? boxesOf(photo) : [];
  if (state.selected >= state.boxes.length) state.selected = -1;
  const elements = state.boxes.map((one, index) => {
    const button = document.createElement("button"), letter = document.createElement("span");
    button.type = "button";
    button.className = `box ${one.kind}`;
    button.setAttribute("aria-label", `Face ${index + 1} of ${state.boxes.length}: ${one.text}`);
    button.setAttribute("aria-pressed", String(index === state.selected));
    letter.textContent = LETTERS[one.kind];
    button.append(letter);
    place(button, one.box);
    button.addEventListener("click", () => select(index));
    button.addEventListener("focus", () => { if (state.selected !== index) select(index); });
    return button;
  });
  if (state.drawn) {
    const box = document.createElement("div");
    box.className = "box pending";
    box.id = "drawn-box";
    box.append(Object.assign(document.createElement("span"), { textContent: "+" }));
    place(box, state.drawn);
    elements.push(box);
  }
  const focused = [...$("faces").children].indexOf(document.activeElement);
  $("faces").replaceChildren(...elements);
  if (focused >= 0 && state.selected >= 0) $("faces").children[state.selected].focus({ preventScroll: true });
  $("drawn").hidden = !state.drawn;
  const one = state.boxes[state.selected];
  $("face").hidden = !one || Boolean(state.drawn);
  if (!one) return;
  const correction = photo.corrections[one.correction];
  $("face-text").textContent = `Face ${state.selected + 1} of ${state.boxes.length}: ${one.text}`;
  $("face-undo").disabled = one.correction < 0;
  $("face-look").value = correction && correction.look || "";
}
function select(index) {
  state.selected = index;
  state.drawn = null;
  $("add").setAttribute("aria-pressed", "false");
  $("canvas").classList.remove("adding");
  drawBoxes();
  if (index >= 0) $("faces").children[index].focus({ preventScroll: true });
}
function draw(box) {
  const { width, height } = state.photo, least = Math.min(8, width, height);
  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const x = clamp(Math.min(box[0], box[2]), 0, width - least), y = clamp(Math.min(box[1], box[3]), 0, height - least);
  const round = (value) => Math.round(value * 10) / 10;
  state.drawn = [x, y, clamp(Math.max(box[0], box[2]), x + least, width), clamp(Math.max(box[1], box[3]), y + least, height)].map(round);
  state.selected = -1;
  drawBoxes();
}
function drawAt(x, y) {
  const heights = state.photo.faces.map((face) => face.box.ymax - face.box.ymin).sort((a, b) => a - b);
  const height = heights.length ? heights[heights.length >> 1] : Math.min(state.photo.width, state.photo.height) * 0.15, width = height * 0.8;
  draw([x - width / 2, y - height / 2, x + width / 2, y + height / 2]);
}
function moveDrawn(key, resize) {
  const [x0, y0, x1, y1] = state.drawn, step = Math.max(2, (y1 - y0) * 0.1), { width, height } = state.photo;
  let dx = { ArrowLeft: -step, ArrowRight: step }[key] || 0, dy = { ArrowUp: -step, ArrowDown: step }[key] || 0;
  if (resize) { draw([x0, y0, Math.max(x0 + 8, x1 + dx), Math.max(y0 + 8, y1 + dy)]); return; }
  dx = Math.min(width - x1, Math.max(-x0, dx));
  dy = Math.min(height - y1, Math.max(-y0, dy));
  draw([x0 + dx, y0 + dy, x1 + dx, y1 + dy]);
}

function startAdding() {
  if (!state.photo || !state.photo.width) return;
  const pane = $("viewport"), scale = $("canvas").clientWidth / state.photo.width;
  $("add").setAttribute("aria-pressed", "true");
  $("canvas").classList.add("adding");
  drawAt((pane.scrollLeft + Math.min(pane.clientWidth, $("canvas").clientWidth) / 2) / scale, (pane.scrollTop + Math.min(pane.clientHeight, $("canvas").clientHeight) / 2) / scale);
  document.activeElement.blur();
}
function endAdding() {
  state.drawn = null;
  $("add").setAttribute("aria-pressed", "false");
  $("canvas").classList.remove("adding");
  drawBoxes();
}

// ---- corrections ----
// The chosen face gets a correction, or another one: `corrected` makes it from the face, its correction so far, if any, and the change.
async function correct(change) {
  const one = state.boxes[state.selected];
  if (!one) { say("Choose a face first: click on its outline, or Tab."); return; }
  const corrections = [...state.photo.corrections], before = corrections[one.correction];
  if (change.do === "leave" && before && before.drawn) { await undo(); return; }
  const correction = corrected(one, before, change);
  if (one.correction < 0) corrections.push(correction); else corrections[one.correction] = correction;
  await save(corrections, "Saved. Redo shows it.");
}
async function undo() {
  const one = state.boxes[state.selected];
  if (!one || one.correction < 0) { say("There is no correction of this face to undo."); return; }
  await save(state.photo.corrections.filter((_, index) => index !== one.correction), "Taken back. Redo shows it.");
}
// What a correction keeps of the one before it, where the change says nothing else.
function keepParts(correction, before, parts) {
  for (const part of parts) if (before && part in before && !(part in correction)) correction[part] = before[part];
}

// ---- size ----
function fit() {
  const photo = state.photo, pane = $("viewport");
  if (!photo || !photo.width) { $("canvas").style.width = $("canvas").style.height = "0"; return; }
  const scale = Math.min(pane.clientWidth / photo.width, pane.clientHeight / photo.height) * ZOOMS[state.zoom];
  $("canvas").style.width = `${photo.width * scale}px`;
  $("canvas").style.height = `${photo.height * scale}px`;
}
function zoom(step) {
  const pane = $("viewport"), before = ZOOMS[state.zoom];
  const focus = state.drawn || (state.selected >= 0 ? state.boxes[state.selected].box : null), photo = state.photo;
  state.zoom = Math.min(ZOOMS.length - 1, Math.max(0, state.zoom + step));
  const ratio = ZOOMS[state.zoom] / before, x = pane.scrollLeft + pane.clientWidth / 2, y = pane.scrollTop + pane.clientHeight / 2;
  drawPicture();
  if (focus && photo) {
    const scale = $("canvas").clientWidth / photo.width;
    pane.scrollLeft = (focus[0] + focus[2]) / 2 * scale - pane.clientWidth / 2;
    pane.scrollTop = (focus[1] + focus[3]) / 2 * scale - pane.clientHeight / 2;
  } else { pane.scrollLeft = x * ratio - pane.clientWidth / 2; pane.scrollTop = y * ratio - pane.clientHeight / 2; }
}
new ResizeObserver(() => { if (!start) fit(); }).observe($("viewport"));

// ---- pointer and keys ----
const press = (id, action) => $(id).addEventListener("click", () => act(action));
let start = null;
function pointAt(event) {
  const frame = $("canvas").getBoundingClientRect();
  return [(event.clientX - frame.left) / frame.width * state.photo.width, (event.clientY - frame.top) / frame.height * state.photo.height];
}
$("canvas").addEventListener("pointerdown", (event) => {
  const adding = $("canvas").classList.contains("adding");
  if (!state.photo || event.button !== 0 || event.target.closest("button.box") || (event.pointerType !== "mouse" && !adding)) return;
  start = { point: pointAt(event), x: event.clientX, y: event.clientY, dragged: false };
  $("canvas").setPointerCapture(event.pointerId);
  event.preventDefault();
});
$("canvas").addEventListener("pointermove", (event) => {
  if (!start) return;
  start.dragged = start.dragged || Math.hypot(event.clientX - start.x, event.clientY - start.y) > 5;
  if (start.dragged) draw([...start.point, ...pointAt(event)]);
});
$("canvas").addEventListener("pointerup", () => {
  if (start && !start.dragged) drawAt(...start.point);
  start = null;
});
$("canvas").addEventListener("pointercancel", () => { start = null; });
$("add").addEventListener("click", () => { if ($("canvas").classList.contains("adding")) endAdding(); else startAdding(); });
$("drawn-cancel").addEventListener("click", endAdding);
$("zoom-in").addEventListener("click", () => zoom(1));
$("zoom-out").addEventListener("click", () => zoom(-1));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const { tagName, type } = event.target;
  if (tagName === "SELECT" || (type === "range" && /^(Arrow|Page|Home|End)/.test(event.key))) return;
  if (tagName === "INPUT" && type !== "range") {
    if (event.key === "Enter") $("face-look-set").click();
    if (event.key === "Escape") event.target.blur();
    return;
  }
  if (state.drawn) {
    const onButton = event.target.tagName === "BUTTON";
    if (event.key.startsWith("Arrow")) moveDrawn(event.key, event.shiftKey);
    else if (event.key === "Enter" && !onButton) act(() => add("replace"));
    else if (event.key === "c") act(() => add("cover"));
    else if (event.key === "Escape") endAdding();
    else if (["+", "=", "-"].includes(event.key)) KEYS[event.key]();
    else return;
    event.preventDefault();
  } else if (KEYS[event.key]) {
    event.preventDefault();
    KEYS[event.key](event);
  }
});

// ---- what photos and films share; `person` gives the change that makes a face somebody new ----
function bindFaceButtons(person) {
  press("previous", () => go(-1));
  press("next", () => go(1));
  press("fine", fine);
  press("redo", redo);
  press("drawn-replace", () => add("replace"));
  press("drawn-cover", () => add("cover"));
  press("face-leave", () => correct({ do: "leave" }));
  press("face-cover", () => correct({ do: "cover" }));
  press("face-person", () => correct({ do: "replace", ...person() }));
  press("face-look-set", () => correct({ do: "replace", look: $("face-look").value.trim() || "match" }));
  press("face-undo", undo);
  $("original").addEventListener("click", showOriginal);
}
function faceKeys(person) {
  return {
    j: () => act(() => go(1), true), k: () => act(() => go(-1), true), f: () => act(fine), r: () => act(redo), o: showOriginal, a: startAdding,
    "+": () => zoom(1), "=": () => zoom(1), "-": () => zoom(-1), z: () => zoom(state.zoom ? -state.zoom : 2),
    n: () => act(() => correct({ do: "leave" })), Delete: () => act(() => correct({ do: "leave" })),
    p: () => act(() => correct({ do: "replace", ...person() })), c: () => act(() => correct({ do: "cover" })), u: () => act(undo),
    l: () => { if (!$("face").hidden) $("face-look").focus(); }, Escape: () => select(-1),
  };
}
