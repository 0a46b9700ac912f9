import { defineConfig } from "vite";

// `npm run dev` shows the sources against a master that runs: MESSOR_MASTER=host:port npm run dev
const master = `http://${process.env.MESSOR_MASTER ?? "127.0.0.1:5050"}`;
const served = ["/api", "/master", "/metrics", "/files", "/state", "/version"];

export default defineConfig({
  oxc: { jsx: { runtime: "automatic", importSource: "preact" } },
  build: {
    outDir: "dist/page",
    emptyOutDir: true,
    target: "es2022",
    // Nothing is put inline: the master's policy allows files of its own only.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // Of what is bundled; the page links to it.
    license: { fileName: "assets/licenses.txt" },
  },
  server: { proxy: Object.fromEntries(served.map((path) => [path, { target: master, changeOrigin: true }])) },
});
