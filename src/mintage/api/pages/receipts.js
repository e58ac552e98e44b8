// A receipt: its id, and on demand what it states and the envelope that proves it.
import { make } from "./dom.js";
import { words } from "./state.js";

export function receiptOf(receipt) {
  const whole = { id: receipt.id, statement: statement(receipt), ...receipt };
  return make("details", { class: "receipt" },
    make("summary", {}, `${words().receipt} `, make("code", {}, receipt.id)),
    make("pre", { tabindex: "0" }, JSON.stringify(whole, null, 2)));
}

function statement(receipt) {
  try {
    const bytes = Uint8Array.from(atob(receipt.envelope.payload), (c) => c.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined; // a receipt of another form is shown as it is
  }
}
