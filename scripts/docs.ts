/** Writes the documents that are made from tables: `npm run docs`. A test fails when one of them is stale. */
import { writeFileSync } from "node:fs";
import { configurationMarkdown } from "../src/config/index.ts";
import { apiMarkdown, declaredRoutes } from "./api-page.ts";
import { errorsMarkdown } from "./errors-page.ts";

/** This file is `<built>/scripts/docs.js`, one build folder below the repository. */
function write(name: string, text: string): void {
  writeFileSync(new URL(`../../docs/${name}`, import.meta.url), text);
}

write("configuration.md", configurationMarkdown());
write("errors.md", errorsMarkdown());
write("api.md", apiMarkdown(await declaredRoutes()));
