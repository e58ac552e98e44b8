// How values are written in the page's language.
import { state, words } from "./state.js";

export function share(value) {
  const style = { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 };
  const percent = (fraction) => fraction.toLocaleString(state.language, style);
  if (value > 0.999 && value < 1) return `> ${percent(0.999)}`;
  if (value < 0.001 && value > 0) return `< ${percent(0.001)}`;
  return percent(value);
}

export function money(amount, currency) {
  if (Number(amount) === 0) return words().free;
  try {
    const style = { style: "currency", currency, maximumFractionDigits: 18 };
    return new Intl.NumberFormat(state.language, style).format(amount);
  } catch {
    return `${amount} ${currency}`;
  }
}

// What a call costs; where its plan settles that with the month (included units, tiers) it says so.
export const charged = ({ amount, currency, final }) =>
  final === false ? words().notFinal(money(amount, currency)) : money(amount, currency);

// Exactly: prices are decimal strings, and no float touches money.
export function added(...amounts) {
  const decimals = Math.max(...amounts.map((text) => text.split(".")[1]?.length ?? 0));
  const units = amounts.map((text) => {
    const [whole, part = ""] = text.split(".");
    return BigInt(whole + part.padEnd(decimals, "0"));
  });
  const digits = units.reduce((one, other) => one + other).toString().padStart(decimals + 1, "0");
  return decimals ? `${digits.slice(0, -decimals)}.${digits.slice(-decimals)}` : digits;
}

export const tokens = (count) => count.toLocaleString(state.language);

export const points = (fall) =>
  (100 * fall).toLocaleString(state.language, { minimumFractionDigits: 1, maximumFractionDigits: 1 });

export const size = (bytes) => `${Math.floor(bytes / 100_000) / 10} MB`;
export const duration = (ms) => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

export function moment(time) {
  const sameDay = new Date().toDateString() === time.toDateString();
  const style = sameDay ? { timeStyle: "medium" } : { dateStyle: "medium", timeStyle: "short" };
  return new Intl.DateTimeFormat(state.language, style).format(time);
}

// Sentences in Chinese follow each other without a space.
export const joined = (...sentences) =>
  sentences.filter(Boolean).join(" ").replace(/([。！？]) /g, "$1");
