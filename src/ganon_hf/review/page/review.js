"use strict";
// The review page of photos: what is shown; faces.js says what is done. Every change is saved by the server before it answers, nothing here.
const FILTERS = [["all", "All"], ["open", "To look at"], ["doubtful", "Doubtful"], ["covered", "Covered"], ["unsure", "Small or unsure"],
  ["rest", "The rest"], ["missing", "Not written"], ["corrected", "Corrected"]];
const ROW = 72, PAGE = 40, AHEAD = 3, KEPT = 600;
Object.assign(state, { filter: "all", numbers: [], at: 0, run: {} });
const summaries = new Map(), asked = new Set(), pictures = new Map();

// ---- the list ----
async function loadList(filter, keep) {
  const list = await call(`api/list?filter=${filter}`);
  state.filter = filter;
  state.numbers = list.numbers;
  showCounts(list.counts);
  const at = keep === undefined ? 0 : list.numbers.indexOf(keep);
  state.at = Math.max(0, at);
  $("rows").style.height = `${list.numbers.length * ROW}px`;
  $("rows").replaceChildren();
  drawRows();
}
function showCounts(counts) {
  const done = counts.all - counts.open;
  $("progress").textContent = `${done} of ${counts.all} looked at`;
  if (!$("filters").children.length) {
    for (const [name] of FILTERS) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.filter = name;
      button.addEventListener("click", () => act(async () => { await loadList(name); await show(); }));
      $("filters").append(button);
    }
  }
  for (const button of $("filters").children) {
    const [name, text] = FILTERS.find(([name]) => name === button.dataset.filter);
    button.textContent = `${text} ${counts[name]}`;
    button.setAttribute("aria-pressed", String(name === state.filter));
  }
}
async function refreshCounts() { showCounts(await call("api/counts")); }
function drawRows() {
  const pane = $("list-pane"), first = Math.max(0, Math.floor(pane.scrollTop / ROW) - 3);
  const last = Math.min(state.numbers.length, first + Math.ceil((pane.clientHeight || 600) / ROW) + 6);
  const wanted = new Set();
  for (let i = first; i < last; i++) wanted.add(state.numbers[i]);
  for (const row of [...$("rows").children]) if (!wanted.has(Number(row.dataset.number))) row.remove();
  const missing = [];
  for (let i = first; i < last; i++) {
    const number = state.numbers[i], summary = summaries.get(number);
    if (!summary && !asked.has(number)) { missing.push(number); asked.add(number); }
    if (summary) drawRow(number, i, summary);
  }
  if (missing.length) loadSummaries(missing);
}
async function loadSummaries(numbers) {
  try {
    for (let i = 0; i < numbers.length; i += PAGE) {
      for (const one of await call(`api/summaries?numbers=${numbers.slice(i, i + PAGE).join(",")}`)) summaries.set(one.number, one);
    }
  } catch (error) { say(error.message, true); }
  numbers.forEach((number) => asked.delete(number));
  while (summaries.size > KEPT) summaries.delete(summaries.keys().next().value);
  drawRows();
}
function drawRow(number, i, summary) {
  let row = $("rows").querySelector(`[data-number="${number}"]`);
  const told = JSON.stringify(summary);
  if (!row) {
    row = document.createElement("button");
    row.type = "button";
    row.dataset.number = number;
    row.tabIndex = -1;
    row.addEventListener("click", () => act(async () => { state.at = state.numbers.indexOf(number); $("list-pane").classList.remove("open"); await show(); }));
    $("rows").append(row);
  }
  row.style.top = `${i * ROW}px`;
  row.setAttribute("aria-current", String(number === state.numbers[state.at]));
  if (row.dataset.told === told) return;
  row.dataset.told = told;
  const thumbnail = summary.concern === "missing" ? Object.assign(document.createElement("div"), { className: "none" }) : new Image();
  if (summary.concern !== "missing") { thumbnail.alt = ""; thumbnail.src = `result/thumbnail/${number}?v=${summary.version}`; }
  const text = document.createElement("span"), small = document.createElement("small");
  const words = FILTERS.find(([name]) => name === summary.concern)[1];
  small.textContent = [summary.fine ? "✓ fine" : "", summary.concern === "rest" ? "" : words, summary.stale ? "needs Redo" : summary.corrected ? "corrected" : ""].filter(Boolean).join(" · ");
  text.append(summary.name, small);
  row.replaceChildren(thumbnail, text);
}

// ---- the photo ----
function preload(number, version) {
  const key = `${number} ${version}`;
  if (!pictures.has(key)) {
    const picture = new Image();
    picture.alt = "";
    picture.draggable = false;
    picture.src = `result/view/${number}?v=${version}`;
    pictures.set(key, picture);
    while (pictures.size > 2 * AHEAD + 2) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(key);
}
async function show() {
  const number = state.numbers[state.at];
  Object.assign(state, { selected: -1, drawn: null, zoom: 0, original: false });
  say("");
  if (number === undefined) { showPhoto(null); return; }
  showPhoto(await call(`api/photo/${number}`));
  scrollToRow();
  prepareNext();
}
async function prepareNext() {
  const next = state.numbers.slice(state.at + 1, state.at + 1 + AHEAD), unknown = next.filter((number) => !summaries.has(number));
  if (unknown.length) await loadSummaries(unknown);
  for (const number of next) {
    const summary = summaries.get(number);
    if (summary && summary.concern !== "missing") preload(number, summary.version);
  }
}
function scrollToRow() {
  const pane = $("list-pane"), top = state.at * ROW;
  if (top < pane.scrollTop || top + ROW > pane.scrollTop + pane.clientHeight) pane.scrollTop = Math.max(0, top - pane.clientHeight / 3);
  drawRows();
}
function showPhoto(photo) {
  state.photo = photo;
  $("name").textContent = photo ? photo.name : "No photo here";
  $("place").textContent = photo ? `${state.at + 1} of ${state.numbers.length}` : "";
  if (photo) summaries.set(photo.number, { number: photo.number, name: photo.name, concern: photo.concern, fine: photo.fine, corrected: photo.corrected, stale: photo.stale, version: photo.version });
  $("fine").classList.toggle("wanted", Boolean(photo && photo.fine));
  $("fine").lastChild.textContent = photo && photo.fine ? " ✓ Fine, next" : " Fine, next";
  $("redo").classList.toggle("wanted", Boolean(photo && photo.stale));
  $("redo").disabled = !photo || Boolean(state.run.redo_problem);
  $("redo").title = state.run.redo_problem || "";
  drawPicture();
  drawBoxes();
  drawRows();
}
function drawPicture() {
  const photo = state.photo, large = ZOOMS[state.zoom] > 1;
  let picture = null, banner = "";
  $("viewport").classList.toggle("original", state.original);
  $("original").setAttribute("aria-pressed", String(state.original));
  if (photo && state.original) {
    picture = new Image();
    picture.alt = "";
    picture.draggable = false;
    picture.addEventListener("error", () => say("The original cannot be shown: it is not there, or no picture any more.", true));
    picture.src = `original/${large ? "large" : "view"}/${photo.number}`;
    banner = "This is the original: everybody in it can be recognized.";
  } else if (photo && photo.written) {
    picture = preload(photo.number, photo.version);
    if (large && Math.max(photo.width, photo.height) > 1600) {
      const whole = new Image();
      whole.alt = "";
      whole.draggable = false;
      whole.addEventListener("load", () => { if (state.photo === photo && !state.original && ZOOMS[state.zoom] > 1) $("picture").replaceChildren(whole); });
      whole.src = `result/large/${photo.number}?v=${photo.version}`;
    }
  } else if (photo) banner = `Nothing was written: ${photo.error}. Look at the original to see why.`;
  $("banner").textContent = banner;
  $("banner").hidden = !banner;
  if (picture) { if ($("picture").firstChild !== picture) $("picture").replaceChildren(picture); } else $("picture").replaceChildren();
  fit();
}
