/**
 * The server of `small_vs_direct`: uWebSockets.js gives every request the same answer, with no relay and no device behind it.
 * `node direct.js <port> <answer>`, where the answer is the JSON of {@link DirectAnswer}. Ends by SIGTERM.
 */
import { loadUws } from "../../src/relay/uws.ts";
import type { DirectAnswer } from "./direct-server.ts";

const [port = "", text = ""] = process.argv.slice(2);
const { status, fields, body }: DirectAnswer = JSON.parse(text);
const uws = loadUws({ headBytesMax: 32 * 1_024 });

uws
  .App()
  .any("/*", (response) => {
    response.cork(() => {
      response.writeStatus(status);
      for (const [name, value] of fields) response.writeHeader(name, value);
      response.end(body);
    });
  })
  .listen("127.0.0.1", Number(port), (socket) => {
    if (socket === false) throw new Error(`port ${port} is taken`);
  });
