// What the page does to agents and machines, pressed and confirmed on a real cluster, and looked for at the master. The conformance
// test `page` starts three agents that differ by their hosts' names, and says where they are: MESSOR_MASTER is host:port,
// MESSOR_PROGRAMS the folder with mesos-execute.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { open, watched } from "./browser.mjs";

const address = process.env.MESSOR_MASTER;
const programs = process.env.MESSOR_PROGRAMS;
const url = `http://${address}`;
const skip = address && programs ? false : "MESSOR_MASTER and MESSOR_PROGRAMS are not given";
const running = [];
let context;
let page;
let wrong;

async function read(path) {
  const answer = await fetch(url + path);
  assert.equal(answer.status, 200, path);
  return answer.json();
}

async function until(what, look) {
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const seen = await look();
    if (seen) return seen;
  }
  throw new Error(`${what} did not come`);
}

const agents = async () => (await read("/slaves")).slaves;
const agentAt = async (hostname) => (await agents()).find((agent) => agent.hostname === hostname);
const dialog = () => page.getByRole("dialog");
const press = (name, exact = true) => dialog().getByRole("button", { name, exact }).click();
const state = (name) => page.locator(".title-row").getByText(name, { exact: true }).waitFor();

before(async () => {
  if (skip) return;
  context = await open();
  ({ page, wrong } = await watched(context, url));
  page.setDefaultTimeout(30_000);
});

after(async () => {
  running.forEach((child) => child.kill());
  await context?.close();
});

test("an agent is drained of its task, and reactivated", { skip }, async () => {
  running.push(spawn(`${programs}/mesos-execute`, [`--master=${address}`, "--name=drained", "--command=sleep 10000", "--resources=cpus:0.1;mem:32"],
    { stdio: "ignore" }));
  const task = await until("the running task", async () => (await read("/tasks")).tasks.find((one) => one.state === "TASK_RUNNING"));
  await page.goto(`${url}/#/agents/${task.slave_id}`);
  await page.getByRole("button", { name: "Drain…" }).click();
  // Not done before it is confirmed.
  assert.ok(!(await agents()).some((agent) => agent.drain_info || agent.deactivated));
  await dialog().getByLabel(/Grace period/).fill("1");
  await press("Drain");
  await dialog().waitFor({ state: "detached" });
  await state("Drained");
  const drained = (await agents()).find((agent) => agent.id === task.slave_id);
  assert.equal(drained.drain_info.state, "DRAINED");
  assert.equal(drained.drain_info.config.max_grace_period.nanoseconds, 1e9);
  const ended = (await read(`/tasks?task_id=${encodeURIComponent(task.id)}`)).tasks[0];
  assert.equal(ended.state, "TASK_KILLED");
  await page.getByRole("button", { name: "Reactivate…" }).click();
  await press("Reactivate");
  await state("Active");
  assert.equal((await agents()).find((agent) => agent.id === task.slave_id).deactivated, false);
});

test("an agent is marked as gone once its name is typed", { skip }, async () => {
  const agent = await agentAt("gone-host");
  await page.goto(`${url}/#/agents/${agent.id}`);
  await page.getByRole("button", { name: "Mark as gone…" }).click();
  const button = dialog().getByRole("button", { name: "Mark as gone" });
  assert.equal(await button.isDisabled(), true);
  await dialog().getByRole("textbox").fill("gone-host");
  assert.equal(await button.isDisabled(), true, "half of its name is not enough");
  await dialog().getByRole("textbox").fill(`gone-host:${agent.port}`);
  await button.click();
  await page.getByText("No agent of this id is registered.").waitFor();
  assert.equal(await agentAt("gone-host"), undefined);
  const registry = await read("/registrar(1)/registry");
  assert.ok(registry.gone.slaves.some((gone) => gone.id.value === agent.id));
});

test("a machine is taken down and brought up", { skip }, async () => {
  const agent = await agentAt("down-host");
  await page.goto(`${url}/#/maintenance`);
  await page.getByRole("button", { name: "Schedule…" }).click();
  await dialog().getByRole("checkbox", { name: /down-host/ }).check();
  await press("Schedule");
  const row = page.getByRole("row", { name: /down-host/ }).first();
  await row.getByText("Draining").waitFor();
  await row.getByRole("button", { name: "Take down…" }).click();
  assert.equal((await read("/maintenance/status")).down_machines, undefined);
  // Who thinks better of it has done nothing.
  await press("Cancel");
  await dialog().waitFor({ state: "detached" });
  assert.equal((await read("/maintenance/status")).down_machines, undefined);
  await row.getByRole("button", { name: "Take down…" }).click();
  await press("Take down");
  await row.getByText("Down", { exact: true }).waitFor();
  assert.deepEqual((await read("/maintenance/status")).down_machines.map((machine) => machine.hostname), ["down-host"]);
  await until("the agent to leave", async () => !(await agents()).some((one) => one.id === agent.id));
  await row.getByRole("button", { name: "Bring up…" }).click();
  await press("Bring up");
  await page.getByText("No maintenance is scheduled.").waitFor();
  assert.equal((await read("/maintenance/status")).down_machines, undefined);
});

test("what the master refuses is shown, and the question stays", { skip }, async () => {
  await page.goto(`${url}/#/roles`);
  await page.getByRole("button", { name: "Set quota…" }).click();
  await dialog().getByRole("textbox").fill("no//role");
  await press("Next");
  await dialog().getByLabel("limit of CPUs").fill("4");
  await press("Save");
  await dialog().getByRole("alert").waitFor();
  await press("Cancel");
  await dialog().waitFor({ state: "detached" });
  // The refusal is an error of the console, too.
  wrong.splice(0, wrong.length, ...wrong.filter((one) => !/status of 400/.test(one)));
});

test("nothing went wrong meanwhile, and nobody else was asked", { skip }, () => assert.deepEqual(wrong, []));
