/**
 * A process that uploads as fast as the kernel takes it: `upload-child <port> <bytes>`. Answers each message with the
 * number of writes that the kernel has taken whole, and sends `{ response }` when the server has answered.
 */
import { connect } from "node:net";

const [port, bytes] = process.argv.slice(2).map(Number);
if (port === undefined || bytes === undefined || process.send === undefined) {
  throw new Error("usage: upload-child <port> <bytes>, with an IPC channel");
}

const WRITE_BYTES = 65_536;
let writesTaken = 0;

const socket = connect(port, "127.0.0.1", () => {
  socket.write(`POST /upload HTTP/1.1\r\nhost: a\r\ncontent-length: ${bytes}\r\n\r\n`);
  const piece = Buffer.alloc(WRITE_BYTES, "u");
  for (let i = 0; i < bytes / WRITE_BYTES; i++) {
    socket.write(piece, () => {
      writesTaken++;
    });
  }
});
socket.once("data", (data) => {
  process.send?.({ response: data.toString("latin1") });
  socket.destroy();
  process.disconnect();
});
process.on("message", () => {
  process.send?.({ writesTaken });
});
