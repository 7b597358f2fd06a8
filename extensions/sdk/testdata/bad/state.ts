import { state } from "gaia";
export const onDone = () => state.set("k", { a: 1 }); // error
