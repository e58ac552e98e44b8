// What the page knows, and the way to the server: to no other, and in the page's language.
import { WORDS } from "./words.js";

const stored = (name) => sessionStorage.getItem(`mintage.${name}`);

export const state = {
  language: stored("language") ?? (navigator.language.startsWith("zh") ? "zh" : "en"),
  key: takeKey(),
  page: { samples: [], trial: null, max_upload_bytes: 20_000_000 },
  reached: null, // whether the server has said what it sells
  products: [],
  card: null, // of the product that is asked
  calls: [], // newest first
};

export const words = () => WORDS[state.language];

// The fragment never leaves the browser; this tab remembers.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    sessionStorage.setItem("mintage.key", given);
    history.replaceState(null, "", location.pathname + location.search);
  }
  return given ?? stored("key");
}

export function useKey(key) {
  state.key = key;
  if (key) sessionStorage.setItem("mintage.key", key);
  else sessionStorage.removeItem("mintage.key");
}

export function changeLanguage() {
  state.language = state.language === "zh" ? "en" : "zh";
  sessionStorage.setItem("mintage.language", state.language);
}

// The trial is of pictures: a conversation's price is not known before it ends.
export const mayCall = () => Boolean(state.key ?? (state.card?.modality !== "text" && state.page.trial));

export function request(address, { headers, ...options } = {}) {
  const authorization = state.key ? { Authorization: `Bearer ${state.key}` } : {};
  return fetch(address, {
    ...options,
    headers: { "Accept-Language": state.language, ...authorization, ...headers },
  });
}

export const productAddress = ({ name }) => `/v1/products/${encodeURIComponent(name)}`;
