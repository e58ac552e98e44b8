// The key in use: shown by its last characters, asked for where nothing else would do.
import { find } from "./dom.js";
import { mayCall, state, useKey, words } from "./state.js";

export function showKey(asked = false) {
  find("key-form").hidden = !state.card || (mayCall() && !asked);
  find("key-button").setAttribute("aria-expanded", String(!find("key-form").hidden));
  find("key-hint").textContent = state.page.trial ? words().keyHintTrial : words().keyHint;
  find("key-button").hidden = !mayCall();
  find("key-button").title = state.key ? words().keyChange : words().keyEnter;
  find("key-state").textContent = state.key ? words().keyOwn(state.key.slice(-4)) : words().keyTrial;
}

// `why` is said beside the field, and to whoever does not see it, where something waits for the key.
export function askForKey(why = "") {
  showKey(true);
  if (why) find("key-hint").textContent = find("status").textContent = why;
  find("key-form").scrollIntoView({ block: "nearest" });
  find("key").focus();
}

export function listenForKeys(whenGiven) {
  find("key-button").addEventListener("click", () => (find("key-form").hidden ? askForKey() : showKey()));
  find("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const key = find("key").value.trim();
    find("key").value = "";
    if (!key) return;
    useKey(key);
    whenGiven();
  });
}
