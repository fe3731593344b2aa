import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/** Where the build goes before tools/console.sh puts it into ../dist. */
const out = ".build";

/** Lays a brotli and a gzip form beside every file that shrinks: the server sends them as they are. */
function compress(): Plugin {
  return {
    name: "compress",
    apply: "build",
    closeBundle() {
      const folder = join(out, "assets");
      for (const name of readdirSync(folder)) {
        if (!/\.(js|css|svg)$/.test(name)) continue;
        const file = join(folder, name);
        const data = readFileSync(file);
        writeFileSync(`${file}.br`, brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 10 } }));
        writeFileSync(`${file}.gz`, gzipSync(data, { level: 9 }));
      }
    },
  };
}

const api = process.env["STERLING_SERVER"] ?? "http://127.0.0.1:7600";

export default defineConfig({
  plugins: [react(), compress()],
  // src/gen is the TypeScript client's, a link: what it imports is found from here.
  resolve: { preserveSymlinks: true },
  // `npm run dev` serves the pages itself and sends calls to a running server.
  server: { proxy: { "^/(sterling\\.|audit/)": api } },
  build: {
    outDir: out,
    emptyOutDir: true,
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1600,
    modulePreload: { polyfill: false },
    rollupOptions: {
      output: {
        manualChunks(id) {
          if (/node_modules[\\/](antd|@ant-design|@rc-component|rc-[a-z-]+|dayjs)[\\/]/.test(id)) return "antd";
          return id.includes("node_modules") ? "vendor" : undefined;
        },
      },
    },
  },
});
