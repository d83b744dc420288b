import type { us_listen_socket } from "uWebSockets.js";
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { test } from "node:test";
import { connect as connectTls } from "node:tls";
import { WebSocket } from "ws";
import { loadUws } from "../../../src/relay/uws.ts";
import { makeCertificate } from "../../support/relay/certificate.ts";
import { temporaryFolder } from "../../support/relay/start-relay.ts";
import { until } from "../../support/until.ts";

/** What `PeerAddresses` builds on: more ends than beginnings would give requests a wrong address. */
for (const secure of [false, true]) {
  const name = secure ? "TLS" : "plain";
  test(`${name}: each connection begins and ends once, however it fails; an upgraded one only begins`, async (t) => {
    const uws = loadUws({ headBytesMax: 32_768 });
    const { certFile, keyFile } = makeCertificate(await temporaryFolder(t), "localhost");
    const files = { cert_file_name: certFile, key_file_name: keyFile };
    const app = secure ? uws.SSLApp(files) : uws.App();
    let begun = 0;
    let ended = 0;
    const follow = (_res: unknown, change: unknown): void => {
      if (Number(change) > 0) begun += 1;
      else ended += 1;
    };
    app.filter(follow);
    app.ws("/ws", {}).any("/*", (res) => {
      res.end("x");
    });
    let port = 0;
    app.listen("127.0.0.1", 0, (socket: us_listen_socket) => {
      port = uws.us_socket_local_port(socket);
    });
    t.after(() => app.close());

    let connections = 0;
    let upgraded = 0;
    const dial = async (use: (socket: Socket) => void, plain = false): Promise<void> => {
      const socket =
        secure && !plain
          ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false })
          : connect({ port, host: "127.0.0.1" });
      socket.on("error", () => {});
      await once(socket, secure && !plain ? "secureConnect" : "connect");
      use(socket);
      socket.resume();
      connections += 1;
      await until(() => begun === connections, `the beginning of connection ${connections}`);
      socket.destroy();
      await until(() => ended === connections - upgraded, `the end of connection ${connections}`);
    };
    await dial(() => {});
    await dial((socket) => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    await dial((socket) => socket.write("nonsense\r\n\r\n"));
    await dial((socket) => socket.end("GET / HTTP/1.1\r\nhost: a\r\n\r\n"));
    await dial(() => {}, true);
    await dial((socket) => socket.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n"), true);
    await dial((socket) => socket.end(Buffer.from("16030100050100000100", "hex")), true);
    await dial((socket) => socket.resetAndDestroy(), true);

    const scheme = secure ? "wss" : "ws";
    const webSocket = new WebSocket(`${scheme}://127.0.0.1:${port}/ws`, {
      rejectUnauthorized: false,
    });
    await once(webSocket, "open");
    connections += 1;
    upgraded += 1;
    webSocket.terminate();
    await once(webSocket, "close");
    // Behind its end: an end told for it would be one too many here.
    await dial(() => {});
    assert.deepEqual([begun, ended], [10, 9]);
  });
}
