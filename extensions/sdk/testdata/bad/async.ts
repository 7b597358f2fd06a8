import type { OnRequest } from "gaia";
export const onRequest: OnRequest = async () => true; // error
