// A small server for tests: the built page as a master serves it, with the same policy, and an API of one's own beside it.

import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join, normalize } from "node:path";

const PAGE = new URL("../dist/page", import.meta.url).pathname;
const TYPES = { html: "text/html; charset=utf-8", js: "text/javascript; charset=utf-8", css: "text/css; charset=utf-8", svg: "image/svg+xml" };
const POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
  + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** Serves on a free port (or `port`) of the loopback; `api(request, response)` answers what is no file of the page. */
export async function serve(api, port = 0) {
  const server = createServer(async (request, response) => {
    const path = new URL(request.url, "http://page").pathname;
    if (path === "/" || path === "/favicon.svg" || path.startsWith("/assets/")) {
      const file = join(PAGE, normalize(path === "/" ? "/index.html" : path));
      try {
        const body = await readFile(file);
        response.writeHead(200, { "Content-Type": TYPES[file.split(".").pop()], "Content-Security-Policy": POLICY });
        response.end(body);
      } catch {
        response.writeHead(404).end();
      }
      return;
    }
    try {
      await api(request, response);
    } catch (error) {
      response.writeHead(502, { "Content-Type": "text/plain" }).end(String(error));
    }
  });
  await new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => { server.closeAllConnections(); server.close(); } };
}
