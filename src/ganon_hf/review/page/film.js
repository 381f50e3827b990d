"use strict";
// The review page of a film: frames, strips, what is done. film_faces.js says what becomes of faces. The server saves every change.
const FILTERS = [["all", "All"], ["open", "To look at"], ["doubtful", "Doubtful"], ["covered", "Covered"], ["rest", "The rest"], ["left", "Left"], ["corrected", "Corrected"]];
const BARS = { replaced: "R", covered: "C", doubtful: "?", left: "–" };
const AHEAD = 2, KEPT = 8;
Object.assign(state, { film: null, filter: "all", tracks: [], at: 0, frame: 0, wanted: null });
const pictures = new Map();

// ---- the film ----
async function load(film) {
  state.film = film || await call("api/film");
  const shown = state.tracks[state.at];
  state.tracks = state.film.tracks.filter((track) => passes(track, state.filter));
  state.at = Math.max(0, state.tracks.findIndex((track) => shown && track.track === shown.track));
  $("name").textContent = state.film.name;
  $("scrub").max = state.film.frames - 1;
  $("redo").classList.toggle("wanted", state.film.stale);
  $("redo").disabled = Boolean(state.film.redo_problem) || state.film.redo.running;
  $("redo").title = state.film.redo_problem || (state.film.parts ? "Only the parts that corrections touch" : "All of the film: its parts were not kept");
  showCounts();
  fillPeople();
  drawStrips();
}
function isCorrected(track) { return state.film.corrections.some((one) => one.shown === track.track); }
function passes(track, name) {
  if (name === "all") return true;
  if (name === "open") return !track.fine;
  return name === "corrected" ? isCorrected(track) : track.concern === name;
}
function showCounts() {
  const { tracks } = state.film;
  $("progress").textContent = `${tracks.filter((track) => track.fine).length} of ${tracks.length} faces looked at`;
  $("filters").replaceChildren(...FILTERS.map(([name, text]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.filter = name;
    button.textContent = `${text} ${tracks.filter((track) => passes(track, name)).length}`;
    button.setAttribute("aria-pressed", String(name === state.filter));
    button.addEventListener("click", () => act(async () => { state.filter = name; await load(state.film); await goTo(0); }));
    return button;
  }));
}
// A number that was drawn by hand says nothing.
const NEW_PEOPLE = 2 ** 20;
function personOf(person) { return person < 0 ? "" : person < NEW_PEOPLE ? `person ${person}` : "somebody new"; }
// People whom a face can become; the look makes it the very same one.
function fillPeople() {
  const people = new Map(state.film.tracks.filter((track) => track.person >= 0 && track.look).map((track) => [track.person, track.look]));
  for (const [id, first] of [["drawn-who", "somebody new"], ["face-who", "as it is"]]) {
    const options = [["", first], ...[...people].map(([person, look]) => [JSON.stringify({ person, look }), `${personOf(person)} (${look})`])];
    $(id).replaceChildren(...options.map(([value, text]) => Object.assign(document.createElement("option"), { value, textContent: text })));
  }
}

// ---- a frame ----
function preload(frame) {
  const key = `${frame} ${state.film.version}`;
  if (!pictures.has(key)) {
    const picture = new Image();
    picture.alt = "";
    picture.draggable = false;
    picture.src = `result/view/${frame}?v=${state.film.version}`;
    pictures.set(key, picture);
    while (pictures.size > KEPT) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(key);
}
async function showFrame(frame, keep = false) {
  const number = Math.min(state.film.frames - 1, Math.max(0, frame));
  const track = keep && state.boxes[state.selected] ? state.boxes[state.selected].track : undefined;
  const details = await call(`api/frame/${number}`);
  state.frame = number;
  state.photo = { frame: number, width: state.film.width, height: state.film.height, seconds: details.seconds, corrections: state.film.corrections,
    faces: details.faces.map((face) => ({ ...face, box: { xmin: face.box[0], ymin: face.box[1], xmax: face.box[2], ymax: face.box[3] } })) };
  Object.assign(state, { drawn: null, selected: -1 });
  $("scrub").value = number;
  $("place").textContent = `${details.seconds.toFixed(2)} s, frame ${number} of ${state.film.frames}`;
  $("scrub").setAttribute("aria-valuetext", $("place").textContent);
  drawPicture();
  drawBoxes();
  if (track !== undefined) { state.selected = state.boxes.findIndex((one) => one.track === track); drawBoxes(); }
  drawNow();
  for (let i = 1; i <= AHEAD; i++) if (number + i < state.film.frames) preload(number + i);
}
function drawPicture() {
  const large = ZOOMS[state.zoom] > 1, whole = new Image();
  $("viewport").classList.toggle("original", state.original);
  $("original").setAttribute("aria-pressed", String(state.original));
  $("banner").textContent = state.original ? "This is the original: everybody in it can be recognized." : "";
  $("banner").hidden = !state.original;
  whole.alt = "";
  whole.draggable = false;
  if (state.original) {
    whole.addEventListener("error", () => say("The original cannot be shown: it is not there, or no film any more.", true));
    whole.src = `original/${state.frame}`;
    $("picture").replaceChildren(whole);
  } else {
    const picture = preload(state.frame), photo = state.photo;
    if ($("picture").firstChild !== picture) $("picture").replaceChildren(picture);
    if (large && Math.max(photo.width, photo.height) > 1600) {
      whole.addEventListener("load", () => { if (state.photo === photo && !state.original) $("picture").replaceChildren(whole); });
      whole.src = `result/large/${state.frame}?v=${state.film.version}`;
    }
  }
  fit();
}
// While the slider moves only the last wanted frame is shown.
function scrub(frame) {
  const waits = state.wanted !== null;
  state.wanted = frame;
  if (!waits) act(async () => { const wanted = state.wanted; state.wanted = null; state.original = false; await showFrame(wanted, true); });
}

// ---- strips ----
function drawStrips() {
  const rows = state.tracks.map((track, index) => {
    const row = document.createElement("div"), name = document.createElement("button"), small = document.createElement("small");
    const [from, to] = track.seconds, words = FILTERS.find(([one]) => one === track.concern)[1];
    row.className = "track";
    row.dataset.track = track.track;
    name.type = "button";
    name.textContent = track.track < 0 ? `Added ${-track.track}` : `Face ${track.track + 1}`;
    small.textContent = [`${from.toFixed(1)} to ${to.toFixed(1)} s`, personOf(track.person), track.look, track.concern === "rest" ? "" : words,
      track.fine ? "✓ fine" : "", isCorrected(track) ? state.film.stale ? "needs Redo" : "corrected" : ""].filter(Boolean).join(" · ");
    name.append(document.createElement("br"), small);
    name.addEventListener("click", () => act(() => goTo(index)));
    row.append(name, stripOf(track, index));
    return row;
  });
  for (const one of state.film.corrections.filter((correction) => correction.shown === null)) {
    const row = document.createElement("div"), name = document.createElement("button");
    row.className = "track";
    name.type = "button";
    name.textContent = `Added in frame ${one.frame}: needs Redo`;
    name.addEventListener("click", () => act(() => showFrame(one.frame)));
    row.append(name);
    rows.push(row);
  }
  $("strips").replaceChildren(...rows);
  drawNow();
}
function stripOf(track, index) {
  const strip = document.createElement("div"), bars = document.createElement("div"), picture = new Image(), now = document.createElement("div");
  const first = track.stretches[0][0], count = track.stretches[track.stretches.length - 1][1] - first + 1;
  strip.className = "strip";
  bars.className = "bars";
  now.className = "now";
  picture.src = `strip/${track.track}?v=${state.film.version}`;
  picture.loading = "lazy";
  const words = ([from, to, done, seen]) => `${done}${seen ? "" : ", not seen"}, frame ${from} to ${to}`;
  picture.alt = track.stretches.map(words).join("; ");
  for (const stretch of track.stretches) {
    const bar = document.createElement("div"), [from, to, done, seen] = stretch;
    bar.className = `bar ${done}${seen ? "" : " unseen"}`;
    bar.style.left = `${(from - first) / count * 100}%`;
    bar.style.width = `${(to - from + 1) / count * 100}%`;
    bar.textContent = BARS[done];
    bar.title = words(stretch);
    bars.append(bar);
  }
  strip.addEventListener("click", (event) => {
    const frame = strip.getBoundingClientRect();
    act(async () => { await goTo(index, Math.min(first + count - 1, first + Math.floor((event.clientX - frame.left) / frame.width * count))); });
  });
  strip.append(picture, bars, now);
  return strip;
}
function drawNow() {
  for (const row of $("strips").children) {
    const track = state.film.tracks.find((one) => String(one.track) === row.dataset.track), now = row.querySelector(".now");
    if (!track) continue;
    const first = track.stretches[0][0], last = track.stretches[track.stretches.length - 1][1];
    row.setAttribute("aria-current", String(state.tracks[state.at] === track));
    now.hidden = state.frame < first || state.frame > last;
    now.style.left = `${(state.frame - first + 0.5) / (last - first + 1) * 100}%`;
  }
}
async function goTo(index, frame) {
  const track = state.tracks[index];
  state.original = false;
  if (!track) { await showFrame(state.frame); return; }
  state.at = index;
  const reasons = track.stretches.filter(([, , done]) => done === track.concern);
  const [first, last] = reasons.find(([, , , seen]) => seen) || reasons[0] || track.stretches[0];
  await showFrame(frame === undefined ? Math.floor((first + last) / 2) : frame);
  const chosen = state.boxes.findIndex((one) => one.track === track.track);
  if (chosen >= 0) { state.selected = chosen; drawBoxes(); }
  const row = [...$("strips").children].find((one) => one.dataset.track === String(track.track));
  if (row && matchMedia("(min-width: 901px)").matches) row.scrollIntoView({ block: "nearest" });
}
