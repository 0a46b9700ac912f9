// Pictures of every page of a cluster that runs, light and dark:
//
//   node test/screenshots.mjs http://127.0.0.1:5050 ../docs/screenshots TASK
//
// TASK is the name of one whose sandbox has a folder and a stdout worth looking at. Afterwards: pngquant --ext .png --force FILES

import { mkdirSync } from "node:fs";
import { open, watched } from "./browser.mjs";

const [url, folder, wanted] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const state = await (await fetch(`${url}/master/state`)).json();
const agent = state.slaves.find((each) => Object.keys(each.reserved_resources).length > 0) ?? state.slaves[0];
const framework = state.frameworks.find((each) => each.tasks.some((task) => task.name === wanted));
const task = framework.tasks.find((each) => each.name === wanted);
const pages = {
  cluster: "#/", tasks: "#/tasks", task: `#/tasks/${framework.id}/${task.id}`, agents: "#/agents", agent: `#/agents/${agent.id}`,
  frameworks: "#/frameworks", framework: `#/frameworks/${framework.id}`, roles: "#/roles", offers: "#/offers",
  maintenance: "#/maintenance", master: "#/master",
};
const context = await open();
const { page, wrong } = await watched(context, url);
await page.setViewportSize({ width: 1200, height: 800 });
await page.goto(url);
// Charts have something to show then.
await page.waitForTimeout(45_000);
for (const [name, hash] of Object.entries(pages)) {
  await page.goto(`${url}/${hash}`);
  await page.waitForTimeout(name === "agent" ? 25_000 : 2_000);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png`, fullPage: name === "agent" || name === "task" });
  }
}
// From a task to its sandbox and to a file there.
await page.goto(`${url}/#/tasks/${framework.id}/${task.id}`);
const first = page.locator("table.files a.folder").first();
await first.waitFor();
await first.click();
await page.locator(".crumbs a").first().click();
await page.locator("table.files").getByRole("link", { name: "stdout", exact: true }).waitFor();
const sandbox = `${url}/${new URL(page.url()).hash}`;
await page.locator("table.files").getByRole("link", { name: "stdout", exact: true }).click();
const log = `${url}/${new URL(page.url()).hash}`;
for (const [name, address] of Object.entries({ sandbox, log })) {
  await page.goto(address);
  await page.waitForTimeout(2_000);
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` });
  }
}
await page.setViewportSize({ width: 400, height: 800 });
const narrow = { narrow: pages.cluster, "narrow-tasks": pages.tasks, "narrow-task": pages.task, "narrow-roles": pages.roles };
for (const [name, hash] of Object.entries({ ...narrow, "narrow-log": new URL(log).hash })) {
  await page.goto(`${url}/${hash}`);
  await page.waitForTimeout(1_500);
  for (const colorScheme of name === "narrow" ? ["light", "dark"] : ["light"]) {
    await page.emulateMedia({ colorScheme });
    await page.waitForTimeout(500);
    await page.screenshot({ path: `${folder}/${name}-${colorScheme}.png` });
  }
}
await context.close();
if (wrong.length > 0) {
  console.error(wrong.join("\n"));
  process.exit(1);
}
