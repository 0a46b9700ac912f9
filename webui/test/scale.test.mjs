// 5,000 agents and 100,000 tasks that go on changing: the page scrolls, searches and sorts within a second.

import assert from "node:assert/strict";
import { test } from "node:test";
import { hasChromium, open, watched } from "./browser.mjs";
import { AGENTS, TASKS, fake } from "./fake.mjs";

/** Milliseconds in the page from a deed until the page shows it and is drawn. */
async function measure(page, deed, shown) {
  return page.evaluate(async ({ deed, shown }) => {
    const done = new Function(`return (${shown})`);
    const begin = performance.now();
    new Function(deed)();
    while (!done()) {
      if (performance.now() - begin > 20_000) throw new Error(`never shown: ${shown}`);
      await new Promise(requestAnimationFrame);
    }
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - begin;
  }, { deed, shown });
}

const type = (text) => `const field = document.querySelector('input[type=search]');
  field.value = ${JSON.stringify(text)}; field.dispatchEvent(new Event('input', { bubbles: true }));`;
const found = (text) => `document.querySelector('.found').textContent === ${JSON.stringify(text)}`;
const firstRow = (text) => `document.querySelector('.rows .line .top')?.textContent === ${JSON.stringify(text)}`;

test("a hundred thousand tasks scroll, are searched and sorted within a second", { skip: !hasChromium() && "no Chromium" }, async (t) => {
  const server = await fake();
  const context = await open();
  t.after(async () => {
    await context.close();
    server.close();
  });
  const { page, wrong } = await watched(context, server.url);
  const began = Date.now();
  await page.goto(`${server.url}/#/tasks`);
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 60_000 });
  await page.locator(".found").getByText("100,000", { exact: true }).waitFor({ timeout: 60_000 });
  t.diagnostic(`${TASKS} tasks on ${AGENTS} agents are shown after ${Date.now() - began} ms`);

  const took = {};
  took.search = await measure(page, type("worker-777"), found("23 of 100,000"));
  took["search for one"] = await measure(page, type("task-4711.711"), found("1 of 100,000"));
  took["search cleared"] = await measure(page, type(""), found("100,000"));
  took.sort = await measure(page,
    "[...document.querySelectorAll('[role=columnheader] button')].find((b) => b.textContent.startsWith('Task')).click()",
    firstRow("api-1"));
  const end = "document.querySelector('.table .body').scrollTop = 1e9";
  took["scroll to the end"] = await measure(page, end,
    "[...document.querySelectorAll('.rows .line .top')].at(-1)?.textContent === 'worker-99997'");
  // Many steps, each of which is drawn.
  took["scroll, one of 30 steps at worst"] = await page.evaluate(async () => {
    const body = document.querySelector(".table .body");
    let worst = 0;
    for (let step = 0; step < 30; step += 1) {
      const begin = performance.now();
      body.scrollTop = (step * 131_071) % (body.scrollHeight - body.clientHeight);
      await new Promise(requestAnimationFrame);
      const first = Number(document.querySelector(".rows .line")?.getAttribute("aria-rowindex"));
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      worst = Math.max(worst, performance.now() - begin);
      if (!(first > 0)) throw new Error("no rows");
    }
    return worst;
  });
  const inDocument = await page.locator(".rows .line").count();
  assert.ok(inDocument < 80, `${inDocument} rows are in the document`);

  await page.goto(`${server.url}/#/agents`);
  await page.locator(".found").getByText("5,000", { exact: true }).waitFor();
  took["search agents"] = await measure(page, type("rack7.example"), found("100 of 5,000"));

  for (const [what, millis] of Object.entries(took)) t.diagnostic(`${what}: ${Math.round(millis)} ms`);
  for (const [what, millis] of Object.entries(took)) assert.ok(millis < 1000, `${what} took ${Math.round(millis)} ms`);
  assert.deepEqual(wrong, []);
});
