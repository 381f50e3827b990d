// What this page keeps while it is open: the photo that was chosen and the last result. The server deletes both within a minute, and
// somebody who looks at single faces needs longer. The photo is sent again when it is needed; nothing is stored in the browser.
window.ganonSpace = (() => {
  const SEND_AGAIN_AFTER = 20_000; // milliseconds; the server deletes after 45 seconds, and a request may wait
  const FILE_NAME = "anonymized.jpg";
  const held = { photo: null, result: null };

  async function contentOf(file) {
    const answer = await fetch(file.url);
    return answer.ok ? answer.blob() : null;
  }

  // On a phone the result lies below the screen, and with it the bar that says how far the work is.
  function showProgress() {
    const place = document.getElementById("slider");
    if (place && place.getBoundingClientRect().top > window.innerHeight) place.scrollIntoView({ block: "center" });
  }

  async function holdPhoto(photo) {
    held.photo = null;
    if (!photo) return;
    showProgress();
    const content = await contentOf(photo);
    if (content) held.photo = { path: photo.path, name: photo.orig_name || "photo", content, sent: Date.now() };
  }

  // The first of an event's inputs is the photo; the others pass.
  async function withPhoto(...values) {
    const [photo, ...others] = values;
    if (!photo || held.photo?.path !== photo.path || Date.now() - held.photo.sent < SEND_AGAIN_AFTER) return values;
    const form = new FormData();
    form.append("files", held.photo.content, held.photo.name);
    const answer = await fetch(new URL("gradio_api/upload", document.baseURI), { method: "POST", body: form });
    if (!answer.ok) return values; // the server says that the photo has been deleted
    held.photo.path = (await answer.json())[0];
    held.photo.sent = Date.now();
    return [{ ...photo, path: held.photo.path }, ...others];
  }

  async function holdResult(pair) {
    held.result = null;
    const content = pair?.[1] ? await contentOf(pair[1]) : null;
    if (content) held.result = new File([content], FILE_NAME, { type: content.type });
  }

  function download() {
    if (!held.result) return;
    const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(held.result), download: FILE_NAME });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  }

  // The anonymized picture alone, by the share sheet of the device; only the person who presses the button can send it.
  async function share() {
    if (!held.result) return;
    try {
      await navigator.share({ files: [held.result] });
    } catch (problem) {
      if (problem.name !== "AbortError") throw problem; // closing the sheet is no error
    }
  }

  const canShare = () => Boolean(navigator.canShare?.({ files: [new File([""], FILE_NAME, { type: "image/jpeg" })] }));
  document.documentElement.classList.toggle("can-share", canShare());

  return { holdPhoto, withPhoto, holdResult, download, share };
})();
