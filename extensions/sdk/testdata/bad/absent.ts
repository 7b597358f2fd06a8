import type { OnRequest } from "gaia";
export const onRequest: OnRequest = (req) => req.deadline - req.now > 5; // error
