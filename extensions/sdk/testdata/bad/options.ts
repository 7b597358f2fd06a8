import type { Options } from "gaia";
export const options: Options = { isolation: "shared" }; // error
