import { defineConfig } from "vitest/config";

const resolve = { preserveSymlinks: true }; // as in vite.config.ts

export default defineConfig({
  test: {
    projects: [
      { resolve, test: { name: "unit", include: ["src/**/*.test.ts"], environment: "node" } },
      {
        resolve,
        test: {
          name: "browser",
          include: ["test/**/*.test.ts"],
          environment: "node",
          fileParallelism: false,
          testTimeout: 60_000,
          expect: { poll: { timeout: 10_000 } }, // a busy machine draws late
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
