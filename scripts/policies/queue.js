// queue: so many requests at once, and the others wait in line instead of being refused.
//
// For a server that does a few things at a time and gets slow with more: a model on a
// GPU, a database behind HTTP. The line is one for each route, or host; the more urgent
// go first (the field Gaia-Priority, 0 to 9, else 5), and in order of arrival among
// equals. A full line refuses, or sheds the least urgent for one that is more so. Who
// waits too long gets a 429; who leaves, leaves the line.
//
// Parameters: max (8: at once), maxQueue (1000: in line), maxWait ("1m": the longest time
// there), order ("priority" or "fifo", where nobody is more urgent).
//   gaia run std/queue --route llm=http://127.0.0.1:8000 --set policies.queue.params.max=4
import { limiter } from "gaia";
import { count, duration, oneOf, read } from "./lib/params.js";

export const options = { match: { subsystem: "api" } };

const { max, maxQueue, maxWait, order } = read({ max: count(8), maxQueue: count(1000), maxWait: duration("1m", 1), order: oneOf("priority", "fifo") });

const slots = limiter.concurrency("slots", { max, maxQueue, maxWait, order });

export function onRequest(req) {
  return slots.admit(req.key, { cost: 1 });
}
