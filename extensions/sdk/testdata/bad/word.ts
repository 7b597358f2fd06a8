import { dney } from "gaia"; // error
export const onRequest = () => dney();
