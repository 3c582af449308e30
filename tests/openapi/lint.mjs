// Lints an OpenAPI document with Redocly's strictest rule set: node lint.mjs DOCUMENT
// Exit 0 when there is nothing to say, 1 with a line per finding. NODE_MODULES names where `npm ci` put the linter.
import { createRequire } from 'node:module';

const require = createRequire(`${process.env.NODE_MODULES}/`);
const { createConfig, lint } = require('@redocly/openapi-core');

const config = await createConfig({ extends: ['recommended-strict'] });
const findings = await lint({ ref: process.argv[2], config }).catch(({ message }) => {
  console.log(message); // it is no YAML
  process.exit(1);
});
for (const { ruleId, message, location } of findings) {
  const [{ start, pointer }] = location;
  console.log(`${process.argv[2]}${start ? `:${start.line}` : ''} ${pointer ?? ''} ${ruleId}: ${message}`);
}
process.exitCode = findings.length ? 1 : 0;
