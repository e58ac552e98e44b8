// How to call the product from a program: curl and Python, ready to paste.
import { find } from "./dom.js";
import { words } from "./state.js";

export function renderPrograms(product) {
  const address = `${location.origin}/v1/products/${encodeURIComponent(product)}/predict`;
  find("curl").textContent = [
    'curl --data-binary @cat.jpg -H "Content-Type: image/jpeg" \\',
    '    -H "Authorization: Bearer $MINTAGE_KEY" -H "Idempotency-Key: $(uuidgen)" \\',
    `    ${address}`,
  ].join("\n");
  find("python").textContent = [
    "# pip install mintage",
    "import os",
    "",
    "import mintage",
    "",
    `client = mintage.Client("${location.origin}", os.environ["MINTAGE_KEY"])`,
    `answer = client.predict(${JSON.stringify(product)}, "cat.jpg")`,
    'print(answer["output"], answer["price"])',
  ].join("\n");
}

export function listenForCopies() {
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const source = find(button.dataset.copies);
  try {
    await navigator.clipboard.writeText(source.textContent);
    button.textContent = words().copied;
    find("status").textContent = words().copied;
    setTimeout(() => { button.textContent = words().copy; }, 1500);
  } catch {
    getSelection().selectAllChildren(source); // no clipboard over plain http: ready for Ctrl+C
  }
}
