// receiver.mjs PORT SECRET: takes webhooks as a receiver on Node.js should: checks the signature, reads the JSON.
// GET answers how many it has taken.
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const [port, secret] = process.argv.slice(2);
const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
let taken = 0;

function isGenuine(headers, body) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.`;
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).update(body).digest("base64"));
  return (headers["webhook-signature"] ?? "").split(" ").map((text) => Buffer.from(text))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
}

createServer((request, response) => {
  if (request.method === "GET") {
    response.end(String(taken));
    return;
  }
  const parts = [];
  request.on("data", (part) => parts.push(part));
  request.on("end", () => {
    const body = Buffer.concat(parts);
    if (isGenuine(request.headers, body) && JSON.parse(body).type === "task.succeeded") {
      taken++;
      response.statusCode = 204;
    } else {
      response.statusCode = 401;
    }
    response.end();
  });
}).listen(Number(port), "127.0.0.1");
