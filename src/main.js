/**
 * The entry point in plain JavaScript, so that a Node.js too old to read TypeScript says what to do instead of
 * failing on the first type. npm scripts find the pinned Node.js of the optional dependency first on their PATH.
 */
const REQUIRED = 26;

const major = Number(process.versions.node.split(".")[0]);
if (major < REQUIRED) {
  process.stderr.write(
    `bedrock-gateway needs Node.js ${REQUIRED} or newer, and this is ${process.version} (${process.platform} ${process.arch}).\n` +
      "On Linux x64 and arm64 `npm ci` brings it (do not omit optional dependencies): `npm start` and the other scripts use it, " +
      "and so does `npx node src/main.js …`.\n" +
      `Elsewhere install Node.js ${REQUIRED} and run the same command again.\n`,
  );
  process.exit(1);
}
await import("./cli.ts");
