// What standard policies read the operator's parameters with. A parameter that no
// policy asked for, or of a wrong kind, is an error at load that names it.
import { params } from "gaia";

/** A number over 0. */
export const positive = (otherwise) => [otherwise, "a number over 0", (v) => typeof v === "number" && v > 0 && v < Infinity];

/** A whole number, 1 or more. */
export const count = (otherwise) => [otherwise, "a whole number over 0", (v) => Number.isInteger(v) && v > 0];

/** A number, at least least and at most a million. */
export const amount = (otherwise, least = 0) => [otherwise, `a number from ${least} to 1000000`, (v) => typeof v === "number" && v >= least && v <= 1e6];

const isTime = (v, least) => {
  if (typeof v === "number") return v >= least && v < Infinity;
  return typeof v === "string" && /^(\d+(\.\d+)?(ms|s|m|h))+$/.test(v) && (least === 0 || /[1-9]/.test(v));
};

/** Milliseconds, at least least, or a text with its unit. */
export const duration = (otherwise, least = 0) => [otherwise, 'a time such as "2s"', (v) => isTime(v, least)];

/** Times over 0 by name. */
export const durations = () => [{}, 'times such as "2s" by name', (v) => isPlain(v) && Object.values(v).every((e) => isTime(e, 1))];

const isPlain = (v) => typeof v === "object" && v !== null && !Array.isArray(v);

/** A text that is not empty. */
export const text = (otherwise) => [otherwise, "a text", (v) => typeof v === "string" && v !== ""];

/** One of these texts. */
export const oneOf = (...texts) => [texts[0], texts.join(" or "), (v) => texts.includes(v)];

/** A list of texts. */
export const texts = (otherwise) => [otherwise, "a list of texts", (v) => Array.isArray(v) && v.every((e) => typeof e === "string")];

/** Numbers over 0 by name. */
export const positives = () => [{}, "numbers over 0 by name", (v) => isPlain(v) && Object.values(v).every((n) => typeof n === "number" && n > 0)];

/** The parameters of these names: {NAME: kind}, where a kind is one of the above. */
export function read(kinds) {
  const names = Object.keys(kinds);
  for (const name of Object.keys(params)) {
    if (!names.includes(name)) throw new TypeError(`params.${name}: there is no such parameter (want ${names.join(", ")})`);
  }
  const values = {};
  for (const name of names) {
    const [otherwise, want, fits] = kinds[name];
    const value = params[name] ?? undefined;
    if (value !== undefined && !fits(value)) throw new TypeError(`params.${name}: want ${want}, got ${JSON.stringify(value)}`);
    values[name] = value ?? otherwise;
  }
  return values;
}
