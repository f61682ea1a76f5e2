// Follows a task with the npm package "ws" and prints what it hears, a JSON text a line:
//   node wsclient.mjs FOLDER_OF_NODE_MODULES URL [KEY]
import { createRequire } from "node:module";

const [folder, url, key] = process.argv.slice(2);
const WebSocket = createRequire(`${folder}/`)("ws");
const socket = new WebSocket(url, { headers: key ? { Authorization: `Bearer ${key}` } : {} });
socket.on("message", (data, isBinary) => console.log(JSON.stringify({ text: data.toString(), isBinary })));
socket.on("ping", () => console.log(JSON.stringify({ ping: true })));
socket.on("unexpected-response", (_, response) => {
  console.log(JSON.stringify({ refused: response.statusCode }));
  process.exit();
});
socket.on("close", (code, reason) => console.log(JSON.stringify({ code, reason: reason.toString() })));
