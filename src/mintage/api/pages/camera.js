// Photographing: a phone's own camera by its file chooser, elsewhere a live picture in a dialog.
import { find } from "./dom.js";
import { words } from "./state.js";

const QUALITY = 0.92;
let stream = null;

export function listenForPhotos(whenTaken) {
  const phone = matchMedia("(hover: none)").matches;
  // Over plain http, but from this machine itself, a browser gives no live picture.
  const live = !phone && Boolean(navigator.mediaDevices?.getUserMedia);
  find("photo").hidden = !phone;
  find("camera").hidden = !live;
  find("photo-file").addEventListener("change", (event) => {
    whenTaken([...event.target.files]);
    event.target.value = "";
  });
  find("camera").addEventListener("click", open);
  find("shutter").addEventListener("click", async () => {
    const file = await taken();
    find("viewfinder").close();
    whenTaken([file]);
  });
  find("camera-close").addEventListener("click", () => find("viewfinder").close());
  find("viewfinder").addEventListener("close", stop);
}

async function open() {
  find("camera-trouble").hidden = true;
  find("shutter").disabled = true;
  find("viewfinder").showModal();
  try {
    const opened = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (!find("viewfinder").open) return release(opened); // closed meanwhile
    stream = opened;
    find("live").srcObject = stream;
    await find("live").play();
    find("shutter").disabled = false;
    find("shutter").focus();
  } catch (error) {
    stop();
    const refused = error.name === "NotAllowedError";
    find("camera-trouble").textContent = refused ? words().cameraRefused : words().cameraMissing;
    find("camera-trouble").hidden = false;
  }
}

function taken() {
  const live = find("live");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [live.videoWidth, live.videoHeight];
  canvas.getContext("2d").drawImage(live, 0, 0);
  const name = `${words().photoName}.jpg`;
  return new Promise((done) => {
    canvas.toBlob((blob) => done(new File([blob], name, { type: "image/jpeg" })), "image/jpeg", QUALITY);
  });
}

const release = (opened) => opened.getTracks().forEach((track) => track.stop());

function stop() {
  if (stream) release(stream);
  stream = null;
  find("live").srcObject = null;
}
