import { policy, test } from "gaia/test";

test("no such hook", () => { policy().onReqest(); }); // error
