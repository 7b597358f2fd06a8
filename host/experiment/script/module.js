// What an experiment imports from "gaia/experiment". Everything here makes plain objects:
// they are what a Spec in JSON holds.
const kind = (name) => (o = {}) => ({ kind: name, ...o });

export const arrivals = {
  constant: kind("constant"), poisson: kind("poisson"), ramping: kind("ramping"), diurnal: kind("diurnal"),
  onOff: kind("onOff"), pareto: kind("pareto"), flash: kind("flash"), batch: kind("batch"),
};

export const dist = {
  constant: (value) => ({ kind: "constant", value }), uniform: (min, max) => ({ kind: "uniform", min, max }),
  exponential: (mean) => ({ kind: "exponential", mean }), lognormal: kind("lognormal"), pareto: kind("pareto"),
  choice: (values, weights) => ({ kind: "choice", values, weights }),
};
export const latency = dist;

export const keys = {
  zipf: (n, s = 1, name) => ({ n, s, name }), uniform: (n, name) => ({ n, s: 0, name }), list: (...names) => ({ names }),
};

export const limit = { gcra: kind("gcra"), fixedWindow: kind("fixedWindow") };

export const retry = { none: kind("none"), fixed: kind("fixed"), exponential: kind("exponential"), decorrelated: kind("decorrelated") };

// The last argument of a strategy: { retry, sweep }, of a limiter also { by, count }.
export const policy = (use, params, more = {}) => ({ kind: "policy", use, params, ...more });

export const strategy = new Object();
strategy.none = (more = {}) => ({ kind: "none", ...more });
strategy.oracle = (more = {}) => ({ kind: "oracle", ...more });
strategy.limiter = (name, params = {}, more = {}) => ({ kind: "limiter", limiter: name, params, ...more });
