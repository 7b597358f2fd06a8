import type { OnResponse } from "gaia";
export const onResponse: OnResponse = () => "later"; // error
