import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { defineConfig, type Plugin } from "vitest/config";

const VIEWER_ENTRY = "src/viewer/main.ts";

/**
 * Emits `viewer.js`, a stable name for the hashed viewer entry. Scripts that were published with
 * an unhashed address (static/js/dicom-viewer-professional.js) import that file.
 */
function stableViewerEntry(): Plugin {
  return {
    name: "noctis-stable-viewer-entry",
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        if (chunk.type === "chunk" && chunk.facadeModuleId?.endsWith(VIEWER_ENTRY)) {
          this.emitFile({
            type: "asset",
            fileName: "viewer.js",
            source: `import "./${chunk.fileName}";\n`,
          });
          return;
        }
      }
      this.error(`No chunk was built for ${VIEWER_ENTRY}.`);
    },
  };
}

const COMPRESSIBLE = /\.(js|css|wasm|svg)$/;
const FEWEST_BYTES = 1024;
/** The best compression of larger files takes longer than all others together, for a few percent. */
const MOST_BYTES_AT_BEST = 1 << 20;

/** Writes `.br` and `.gz` beside each file: whoever serves it sends what the browser takes. */
function compressedFiles(): Plugin {
  return {
    name: "noctis-compressed-files",
    apply: (_config, { command }) => command === "build" && !process.argv.includes("--watch"),
    async writeBundle({ dir }, bundle) {
      const names = Object.keys(bundle).filter((name) => COMPRESSIBLE.test(name));
      await Promise.all(
        names.map(async (name) => {
          const path = join(dir ?? "", name);
          const content = await readFile(path);
          if (content.byteLength < FEWEST_BYTES) {
            return;
          }
          const quality = content.byteLength > MOST_BYTES_AT_BEST ? 9 : 11;
          const params = { [constants.BROTLI_PARAM_QUALITY]: quality };
          await writeFile(`${path}.br`, await promisify(brotliCompress)(content, { params }));
          await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
        }),
      );
    },
  };
}

export default defineConfig({
  // Relative addresses: the built files work under any STATIC_URL.
  base: "./",
  publicDir: false,
  plugins: [stableViewerEntry(), compressedFiles()],
  // The strict Content-Security-Policy forbids eval, and worker chunks need dynamic imports.
  worker: { format: "es" },
  build: {
    outDir: fileURLToPath(new URL("../static/dist", import.meta.url)),
    emptyOutDir: true,
    manifest: true,
    target: "es2022",
    // Fonts and images stay files: no data: addresses for the policy to allow.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 6000,
    rollupOptions: {
      input: {
        viewer: VIEWER_ENTRY,
        site: "src/site/main.ts",
        offline: "src/offline/main.ts",
        "offline-reading": "src/offline/reading-worker.ts",
        "offline-worker": "src/offline/service-worker.ts",
        document: "src/styles/document.css",
        ...Object.fromEntries(
          ["de", "fr", "es", "sw"].map((code) => [`messages-${code}`, `src/messages/${code}.ts`]),
        ),
        "ohif-link": "src/site/sharing/ohif.ts",
      },
    },
  },
  test: {
    environment: "node",
    include: ["tests/**/*.test.ts"],
  },
});
