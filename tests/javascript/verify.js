// Asks the libraries of npm about requests: [{"name", "secret", "headers", "body": base64}] comes in on standard input,
// {library: {name: true or why not}} goes out.
import { readFileSync } from "node:fs";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { Webhook as SvixWebhook } from "svix";

const cases = JSON.parse(readFileSync(0, "utf8"));

function verdict(Webhook, { secret, headers, body }) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64"), headers);
    return true;
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const said = {};
for (const [library, Webhook] of [["npm standardwebhooks", StandardWebhook], ["npm svix", SvixWebhook]]) {
  said[library] = Object.fromEntries(cases.map((each) => [each.name, verdict(Webhook, each)]));
}
process.stdout.write(JSON.stringify(said));
