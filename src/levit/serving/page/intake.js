// The ways in which images come into the page: drop, paste, files, camera.

/** Calls `add` with a list of files whenever the user gives images. */
export function watchIntake(add) {
  const element = (id) => document.getElementById(id);
  const [files, capture] = [element("files"), element("capture")];
  element("choose").addEventListener("click", () => files.click());
  for (const input of [files, capture]) {
    input.addEventListener("change", () => {
      add([...input.files]);
      input.value = ""; // so that the same file can be chosen again
    });
  }
  watchDrop(add);
  document.addEventListener("paste", (event) => {
    const pasted = [...(event.clipboardData?.files ?? [])];
    if (pasted.length) {
      event.preventDefault();
      add(pasted);
    }
  });
  watchCamera(capture, add);
}

function watchDrop(add) {
  let depth = 0; // of the elements that the pointer has entered
  const mark = () => document.body.classList.toggle("dragging", depth > 0);
  addEventListener("dragenter", (event) => { event.preventDefault(); depth++; mark(); });
  addEventListener("dragleave", () => { depth--; mark(); });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    mark();
    add([...(event.dataTransfer?.files ?? [])]);
  });
}

/** Phones open their own camera; other devices show its picture in a dialog. */
function watchCamera(capture, add) {
  const dialog = document.getElementById("camera");
  const video = document.getElementById("video");
  const shoot = document.getElementById("shoot");
  video.addEventListener("loadeddata", () => { shoot.disabled = false; }); // the first picture is there
  const stop = () => {
    video.srcObject?.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
  };
  let isAsking = false; // for the camera; the button keeps the focus, which a disabled one would lose
  document.getElementById("photograph").addEventListener("click", async () => {
    if (matchMedia("(pointer: coarse)").matches || !navigator.mediaDevices?.getUserMedia) {
      capture.click();
      return;
    }
    if (isAsking) return; // only one stream is stopped at the end
    isAsking = true;
    try {
      video.srcObject = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    } catch {
      capture.click(); // no camera, or not allowed
      return;
    } finally {
      isAsking = false;
    }
    shoot.disabled = true;
    dialog.showModal();
  });
  shoot.addEventListener("click", () => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => blob && add([new File([blob], "photo.jpg", { type: blob.type })]), "image/jpeg", 0.95);
    dialog.close();
  });
  document.getElementById("close-camera").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", stop);
}
