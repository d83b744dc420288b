/** Writes the documents that are made from tables: `npm run docs`. A test fails when one of them is stale. */
import { writeFileSync } from "node:fs";
import { configurationMarkdown } from "../src/config/index.ts";

writeFileSync(new URL("../../docs/configuration.md", import.meta.url), configurationMarkdown());
