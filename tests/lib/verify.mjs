// Reads {"secret", "headers", "body"} a line from stdin; writes "ok" or the refusal's message for each.
import { createInterface } from "node:readline";
import { createRequire } from "node:module";

const { Webhook } = createRequire(process.argv[2] + "/")("standardwebhooks");

for await (const line of createInterface({ input: process.stdin })) {
  const { secret, headers, body } = JSON.parse(line);
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64").toString(), headers);
    console.log("ok");
  } catch (error) {
    console.log(error.message);
  }
}
