"use strict";
// The review page of a film: outlines of faces, corrections, buttons and keys. Loaded after film.js.

// Faces of a frame with the corrections that mean their tracks, and what was drawn in this frame and is not in the film yet.
function boxesOf(photo) {
  const stale = state.film.stale;
  const boxes = photo.faces.map((face) => {
    const track = state.film.tracks.find((one) => one.track === face.track), correction = photo.corrections.findIndex((one) => one.shown === face.track);
    const text = [face.done, face.seen ? "" : "not seen in this frame", personOf(track.person), track.look, face.done === "replaced" ? "" : track.reasons.join(", ")].filter(Boolean).join("; ");
    const { xmin, ymin, xmax, ymax } = face.box;
    return { box: [xmin, ymin, xmax, ymax], kind: face.done, correction, track: face.track, text: correction < 0 ? text : `${text}; ${wordsOf(photo.corrections[correction])}` };
  });
  photo.corrections.forEach((one, correction) => {
    if (one.shown === null && one.frame === photo.frame) boxes.push({ box: one.box, kind: "pending", correction, track: null, text: wordsOf(one) });
  });
  for (const one of boxes) if (stale && one.correction >= 0 && one.kind !== "left") one.kind = photo.corrections[one.correction].do === "leave" ? "left" : "pending";
  return boxes;
}
function wordsOf(correction) {
  const words = { replace: correction.drawn ? "added by hand" : "another person", cover: "covered by hand", leave: "left: not a face" }[correction.do];
  return [words, correction.person === undefined ? "" : personOf(correction.person), correction.look || "", state.film.stale ? "may need Redo" : ""].filter(Boolean).join(", ");
}

// ---- corrections ----
async function save(corrections, said) {
  const sent = corrections.map(({ shown, ...correction }) => correction), track = state.boxes[state.selected] && state.boxes[state.selected].track;
  await load(await call("api/corrections", { corrections: sent }));
  await showFrame(state.frame);
  if (track !== undefined && track !== null) { state.selected = state.boxes.findIndex((one) => one.track === track); drawBoxes(); }
  say(said);
}
function newPerson() { return NEW_PEOPLE + crypto.getRandomValues(new Uint32Array(1))[0] % 2 ** 30; }
async function add(action) {
  if (!state.drawn) return;
  const correction = { frame: state.frame, box: state.drawn, do: action, drawn: true };
  if (action === "replace") Object.assign(correction, $("drawn-who").value ? JSON.parse($("drawn-who").value) : { person: newPerson() });
  await save([...state.film.corrections, correction], "Saved. Redo follows it and shows where it ends.");
  endAdding();
}
function corrected(one, before, change) {
  const correction = before ? { frame: before.frame, box: before.box, ...change } : { frame: state.frame, box: one.box, track: one.track, ...change };
  keepParts(correction, before, change.do === "replace" ? ["track", "drawn", "person", "look"] : ["track", "drawn"]);
  if (correction.drawn && change.do === "replace" && correction.person === undefined) correction.person = newPerson();
  return correction;
}
async function redo() {
  if ($("redo").disabled) return;
  state.original = false;
  await load(await call("api/redo", {}));
  await followRedo();
}
async function followRedo() {
  while (state.film.redo.running) {
    const { done } = state.film.redo;
    say(done ? `Doing it again: frame ${done} of ${state.film.frames} …` : "Following what was drawn …");
    await new Promise((wait) => setTimeout(wait, 300));
    state.film = await call("api/film");
  }
  await load(state.film);
  await showFrame(state.frame);
  if (state.film.redo.error) say(`${state.film.redo.error}.`, true); else say("Done again.");
}
async function fine() {
  const track = state.tracks[state.at];
  if (!track) return;
  await load(await call(`api/track/${track.track}/fine`, { fine: true }));
  const next = state.tracks[state.at] && state.tracks[state.at].track === track.track ? state.at + 1 : state.at;
  if (next < state.tracks.length) await goTo(next); else say("That was the last one here.");
}
async function go(step) {
  const at = state.at + step;
  if (at < 0 || at >= state.tracks.length) { say(step < 0 ? "This is the first one." : "This is the last one."); return; }
  say("");
  await goTo(at);
}
function second() { return Math.max(1, Math.round(state.film.frames / Math.max(state.film.seconds, 0.1))); }
function showOriginal() { state.original = !state.original; drawPicture(); }
function become() { if ($("face-who").value) act(() => correct({ do: "replace", ...JSON.parse($("face-who").value) })); }

// ---- buttons and keys ----
const somebodyNew = () => ({ person: newPerson() });
bindFaceButtons(somebodyNew);
$("face-who").addEventListener("change", become);
$("scrub").addEventListener("input", () => scrub(Number($("scrub").value)));
const step = (frames) => act(() => { state.original = false; return showFrame(state.frame + frames, true); }, true);
const KEYS = {
  ...faceKeys(somebodyNew),
  ArrowRight: (event) => step(event.shiftKey ? second() : 1), ArrowLeft: (event) => step(event.shiftKey ? -second() : -1),
};
act(async () => {
  await load();
  if (state.film.redo_problem) say(`Nothing can be done again: ${state.film.redo_problem}.`, true);
  await goTo(0);
  if (state.film.redo.running) await followRedo();
});
