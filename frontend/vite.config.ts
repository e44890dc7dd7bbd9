import { fileURLToPath } from "node:url";
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

export default defineConfig({
  // Relative addresses: the built files work under any STATIC_URL.
  base: "./",
  publicDir: false,
  plugins: [stableViewerEntry()],
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
        document: "src/styles/document.css",
      },
    },
  },
  test: {
    environment: "node",
    include: ["tests/**/*.test.ts"],
  },
});
