import { limiter } from "gaia";
const l = limiter.tokenBucket("a", { burst: 1 }); // error
export const onRequest = () => l.admit();
