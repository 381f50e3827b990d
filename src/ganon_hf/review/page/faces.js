"use strict";
// The review page of photos: outlines of faces, corrections, buttons and keys. Loaded after review.js.

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
function corrected(one, before, change) {
  const correction = { box: before ? before.box : one.box, ...change };
  keepParts(correction, before, change.do === "replace" ? ["drawn", "seed", "look"] : ["drawn"]);
  return correction;
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
// ---- pointer and keys ----
const somebodyNew = () => ({ seed: newSeed() });
bindFaceButtons(somebodyNew);
$("list-toggle").addEventListener("click", () => { $("list-toggle").setAttribute("aria-expanded", String($("list-pane").classList.toggle("open"))); drawRows(); });
$("list-pane").addEventListener("scroll", drawRows, { passive: true });
window.addEventListener("resize", drawRows);
const KEYS = { ...faceKeys(somebodyNew), ArrowRight: () => act(() => go(1), true), ArrowLeft: () => act(() => go(-1), true) };
act(async () => {
  state.run = await call("api/run");
  if (state.run.redo_problem) say(`Nothing can be done again: ${state.run.redo_problem}.`, true);
  await loadList("all");
  await show();
});
