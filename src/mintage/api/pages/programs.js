// How to call the product from a program: curl and Python, ready to paste.
import { find } from "./dom.js";
import { words } from "./state.js";

export function renderPrograms({ name, modality }) {
  if (modality === "text") renderChatPrograms(name);
  else renderPicturePrograms(name);
}

function renderChatPrograms(product) {
  const body = JSON.stringify({ model: product, messages: [{ role: "user", content: "Hello" }] });
  find("curl").textContent = [
    `curl ${location.origin}/v1/chat/completions \\`,
    '    -H "Authorization: Bearer $MINTAGE_KEY" -H "Content-Type: application/json" \\',
    `    -d '${body}'`,
  ].join("\n");
  find("python").textContent = [
    "# pip install openai",
    "import os",
    "",
    "from openai import OpenAI",
    "",
    `client = OpenAI(base_url=${JSON.stringify(`${location.origin}/v1`)}, api_key=os.environ["MINTAGE_KEY"])`,
    "answer = client.chat.completions.create(",
    `    model=${JSON.stringify(product)},`,
    '    messages=[{"role": "user", "content": "Hello"}],',
    ")",
    "print(answer.choices[0].message.content, answer.usage, answer.mintage)",
  ].join("\n");
}

function renderPicturePrograms(product) {
  const address = `${location.origin}/v1/products/${encodeURIComponent(product)}/predict`;
  find("curl").textContent = [
    'curl --data-binary @cat.jpg -H "Content-Type: image/jpeg" \\',
    '    -H "Authorization: Bearer $MINTAGE_KEY" \\',
    `    -H "Idempotency-Key: $(od -An -tx8 -N8 /dev/urandom | tr -d ' ')" \\`,
    `    ${address}`,
  ].join("\n");
  find("python").textContent = [
    "# pip install httpx",
    "import os, pathlib, uuid",
    "",
    "import httpx",
    "",
    "response = httpx.post(",
    `    ${JSON.stringify(address)},`,
    '    content=pathlib.Path("cat.jpg").read_bytes(),',
    "    headers={",
    `        "Authorization": f"Bearer {os.environ['MINTAGE_KEY']}",`,
    '        "Content-Type": "image/jpeg",',
    '        "Idempotency-Key": str(uuid.uuid4()),  # the same again: charged once',
    "    },",
    "    timeout=60,",
    ")",
    "answer = response.raise_for_status().json()",
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
