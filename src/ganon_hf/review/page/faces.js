"use strict";
// The review page: outlines of faces, boxes that are drawn, corrections, pointer and keys. Loaded after review.js.

// ---- boxes ----
function overlap(a, b) {
  const width = Math.min(a[2], b[2]) - Math.max(a[0], b[0]), height = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (width <= 0 || height <= 0) return 0;
  const area = (box) => (box[2] - box[0]) * (box[3] - box[1]), both = width * height;
  return both / (area(a) + area(b) - both);
}
// Faces of the report with the corrections that mean them; corrections that mean none of them have a box of their own.
function boxesOf(photo) {
  const boxes = photo.faces.map((face) => ({
    box: [face.box.xmin, face.box.ymin, face.box.xmax, face.box.ymax], kind: face.status, correction: -1,
    text: [face.status, face.look, face.reason, `score ${face.score.toFixed(2)}`].filter(Boolean).join("; "),
  }));
  photo.corrections.forEach((correction, index) => {
    const same = boxes.find((one) => one.correction < 0 && overlap(one.box, correction.box) > 0.5);
    const words = { replace: correction.drawn ? "added by hand" : "another person", cover: "covered by hand", leave: "left: not a face" }[correction.do];
    const text = [words, correction.look || ""].filter(Boolean).join(", ");
    if (same) {
      same.correction = index;
      same.text = photo.stale ? `${text}; needs Redo (now: ${same.text})` : `${same.text}; ${text}`;
      if (photo.stale) same.kind = correction.do === "leave" ? "left" : "pending";
    } else boxes.push({ box: correction.box, kind: correction.do === "leave" ? "left" : "pending", correction: index, text: photo.stale ? `${text}; needs Redo` : text });
  });
  return boxes;
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

// ---- corrections ----
async function save(corrections, said) {
  showPhoto(await call(`api/photo/${state.photo.number}/corrections`, { corrections }));
  say(said);
  await refreshCounts();
}
function newSeed() {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return String((high % 2 ** 20) * 2 ** 32 + low);
}
async function add(action) {
  if (!state.drawn) return;
  const correction = { box: state.drawn, do: action, drawn: true };
  const others = state.photo.corrections;
  await save([...others, correction], "Saved. Redo shows it.");
  select(-1);
  endAdding();
}
async function correct(change) {
  const one = state.boxes[state.selected];
  if (!one) { say("Choose a face first: click on its outline, or Tab."); return; }
  const corrections = [...state.photo.corrections], before = corrections[one.correction];
  if (change.do === "leave" && before && before.drawn) { await undo(); return; }
  const correction = { box: before ? before.box : one.box, ...change };
  if (before && before.drawn) correction.drawn = true;
  if (before && change.do === "replace") for (const part of ["seed", "look"]) if (!(part in change) && part in before) correction[part] = before[part];
  if (one.correction < 0) corrections.push(correction); else corrections[one.correction] = correction;
  await save(corrections, "Saved. Redo shows it.");
}
async function undo() {
  const one = state.boxes[state.selected];
  if (!one || one.correction < 0) { say("There is no correction of this face to take back."); return; }
  await save(state.photo.corrections.filter((_, index) => index !== one.correction), "Taken back. Redo shows it.");
}
async function redo() {
  if (!state.photo || $("redo").disabled) return;
  say("Doing this photo again …");
  $("redo").disabled = true;
  state.original = false;
  try { showPhoto(await call(`api/photo/${state.photo.number}/redo`, {})); } finally { $("redo").disabled = false; }
  say("Done again.");
  await refreshCounts();
}
async function fine() {
  if (!state.photo) return;
  if (state.photo.stale) { say("This photo has corrections that are not in the result yet: Redo comes first.", true); return; }
  showPhoto(await call(`api/photo/${state.photo.number}/fine`, { fine: true }));
  await refreshCounts();
  if (state.at + 1 < state.numbers.length) { state.at += 1; await show(); } else say("That was the last one here.");
}
async function go(step) {
  const at = state.at + step;
  if (at < 0 || at >= state.numbers.length) { say(step < 0 ? "This is the first one." : "This is the last one."); return; }
  state.at = at;
  await show();
}
function showOriginal() {
  if (!state.photo) return;
  state.original = !state.original;
  drawPicture();
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

// ---- pointer and keys ----
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
const press = (id, action) => $(id).addEventListener("click", () => act(action));
press("previous", () => go(-1));
press("next", () => go(1));
press("fine", fine);
press("redo", redo);
press("drawn-replace", () => add("replace"));
press("drawn-cover", () => add("cover"));
press("face-leave", () => correct({ do: "leave" }));
press("face-cover", () => correct({ do: "cover" }));
press("face-person", () => correct({ do: "replace", seed: newSeed() }));
press("face-look-set", () => correct({ do: "replace", look: $("face-look").value.trim() || "match" }));
press("face-undo", undo);
$("original").addEventListener("click", showOriginal);
$("add").addEventListener("click", () => { if ($("canvas").classList.contains("adding")) endAdding(); else startAdding(); });
$("drawn-cancel").addEventListener("click", endAdding);
$("zoom-in").addEventListener("click", () => zoom(1));
$("zoom-out").addEventListener("click", () => zoom(-1));
$("list-toggle").addEventListener("click", () => { $("list-toggle").setAttribute("aria-expanded", String($("list-pane").classList.toggle("open"))); drawRows(); });
$("list-pane").addEventListener("scroll", drawRows, { passive: true });
window.addEventListener("resize", drawRows);
new ResizeObserver(() => { if (!start) fit(); }).observe($("viewport"));
const KEYS = {
  j: () => act(() => go(1), true), ArrowRight: () => act(() => go(1), true), k: () => act(() => go(-1), true), ArrowLeft: () => act(() => go(-1), true),
  f: () => act(fine), r: () => act(redo), o: showOriginal, a: startAdding, "+": () => zoom(1), "=": () => zoom(1), "-": () => zoom(-1),
  z: () => zoom(state.zoom ? -state.zoom : 2), n: () => act(() => correct({ do: "leave" })), Delete: () => act(() => correct({ do: "leave" })),
  p: () => act(() => correct({ do: "replace", seed: newSeed() })), c: () => act(() => correct({ do: "cover" })), u: () => act(undo),
  l: () => { if (!$("face").hidden) $("face-look").focus(); }, Escape: () => select(-1),
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.tagName === "INPUT") {
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
    KEYS[event.key]();
  }
});
act(async () => {
  state.run = await call("api/run");
  if (state.run.redo_problem) say(`Nothing can be done again: ${state.run.redo_problem}.`, true);
  await loadList("all");
  await show();
});
