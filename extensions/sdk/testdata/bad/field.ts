import type { OnRequest } from "gaia";
export const onRequest: OnRequest = () => ({ stat: 429 }); // error
