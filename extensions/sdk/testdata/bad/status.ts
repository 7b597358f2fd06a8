import { deny } from "gaia";
export const onRequest = () => deny("429"); // error
