// 5,000 agents and 100,000 tasks: the page scrolls, searches and sorts within a second. Of a cluster that is made up, whose
// tasks go on changing; and of a real master with simulated agents, where MESSOR_MASTER says which (messor-bench hold).

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
const firstRow = (text) => `document.querySelector('.rows .line .row-link .top')?.textContent === ${JSON.stringify(text)}`;

/** What is looked for, and how many there are of it. */
const FAKE = {
  some: ["worker-777", "23"], one: ["task-4711.711", "1"], first: "api-1", last: "worker-99997", agents: ["rack7.example", "100"],
};

/** The same of a real master, as its API tells. */
async function real(address) {
  const url = `http://${address}`;
  const { slaves } = await (await fetch(`${url}/slaves`)).json();
  const { tasks } = await (await fetch(`${url}/tasks?limit=1000000`)).json();
  assert.equal(slaves.length, AGENTS);
  assert.equal(tasks.length, TASKS);
  const byNumber = tasks.map((task) => task.name).sort((a, b) => Number(a.match(/\d+/)[0]) - Number(b.match(/\d+/)[0]));
  const count = (list, text) => list.filter((name) => name.includes(text)).length.toLocaleString("en-GB");
  const [some, one, host] = [byNumber[777], byNumber.at(-3), "agent47"];
  return {
    url, some: [some, count(byNumber, some)], one: [one, count(byNumber, one)], first: byNumber[0], last: byNumber.at(-1),
    agents: [host, count(slaves.map((agent) => agent.hostname), host)],
  };
}

const skip = !hasChromium() && "no Chromium";

test("of a cluster that is made up", { skip: skip || (process.env.MESSOR_MASTER && "a real master is given") }, async (t) => {
  const server = await fake();
  t.after(() => server.close());
  await within(t, { ...FAKE, url: server.url });
});

test("of a real master", { skip: skip || (!process.env.MESSOR_MASTER && "MESSOR_MASTER is not given") }, async (t) => {
  await within(t, await real(process.env.MESSOR_MASTER));
});

async function within(t, expected) {
  const context = await open();
  t.after(() => context.close());
  const { page, wrong } = await watched(context, expected.url);
  const began = Date.now();
  await page.goto(`${expected.url}/#/tasks`);
  await page.getByText("Live", { exact: true }).waitFor({ timeout: 60_000 });
  await page.locator(".found").getByText("100,000", { exact: true }).waitFor({ timeout: 60_000 });
  t.diagnostic(`${TASKS} tasks on ${AGENTS} agents are shown after ${Date.now() - began} ms`);

  // The machine may be busy with other tests: the best of three, each undone before the next.
  const best = async (deed, shown, undo, undone) => {
    const times = [];
    for (let round = 0; round < 3; round += 1) {
      times.push(await measure(page, deed, shown));
      await measure(page, undo, undone);
      if (times.at(-1) < 500) break;
    }
    return Math.min(...times);
  };
  const took = {};
  const all = [type(""), found("100,000")];
  took.search = await best(type(expected.some[0]), found(`${expected.some[1]} of 100,000`), ...all);
  took["search for one"] = await best(type(expected.one[0]), found(`${expected.one[1]} of 100,000`), ...all);
  await measure(page, type(expected.some[0]), found(`${expected.some[1]} of 100,000`));
  took["search cleared"] = await best(...all, type(expected.some[0]), found(`${expected.some[1]} of 100,000`));
  await measure(page, ...all);
  const sortBy = (name) => `[...document.querySelectorAll('[role=columnheader] button')].find((b) => b.textContent.startsWith('${name}')).click()`;
  const sorted = (name) => `document.querySelector('[aria-sort]')?.textContent.startsWith('${name}')`;
  took.sort = await best(sortBy("Task"), firstRow(expected.first), sortBy("CPUs"), sorted("CPUs"));
  await measure(page, sortBy("Task"), firstRow(expected.first));
  const scrollTo = (top) => `document.querySelector('.table .body').scrollTop = ${top}`;
  took["scroll to the end"] = await best(scrollTo(1e9), "[...document.querySelectorAll('.rows .line .row-link .top')].at(-1)?.textContent === '" + expected.last + "'",
    scrollTo(0), firstRow(expected.first));
  // Many steps, each of which is drawn.
  took["scroll, the median of 30 steps"] = await page.evaluate(async () => {
    const body = document.querySelector(".table .body");
    const times = [];
    for (let step = 0; step < 30; step += 1) {
      const begin = performance.now();
      body.scrollTop = (step * 131_071) % (body.scrollHeight - body.clientHeight);
      await new Promise(requestAnimationFrame);
      const first = Number(document.querySelector(".rows .line")?.getAttribute("aria-rowindex"));
      await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      times.push(performance.now() - begin);
      if (!(first > 0)) throw new Error("no rows");
    }
    return times.sort((a, b) => a - b)[15];
  });
  const inDocument = await page.locator(".rows .line").count();
  assert.ok(inDocument < 80, `${inDocument} rows are in the document`);

  await page.goto(`${expected.url}/#/agents`);
  await page.locator(".found").getByText("5,000", { exact: true }).waitFor();
  took["search agents"] = await best(type(expected.agents[0]), found(`${expected.agents[1]} of 5,000`), type(""), found("5,000"));

  for (const [what, millis] of Object.entries(took)) t.diagnostic(`${what}: ${Math.round(millis)} ms`);
  for (const [what, millis] of Object.entries(took)) assert.ok(millis < 1000, `${what} took ${Math.round(millis)} ms`);
  assert.deepEqual(wrong, []);
}
