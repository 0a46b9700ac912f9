// Every page, on a real cluster with running tasks. The conformance test `page` starts the cluster and says where it is:
// MESSOR_MASTER is host:port, MESSOR_PROGRAMS the folder with mesos-execute.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { after, before, test } from "node:test";
import { open, watched } from "./browser.mjs";

const address = process.env.MESSOR_MASTER;
const programs = process.env.MESSOR_PROGRAMS;
const url = `http://${address}`;
const running = [];
let context;
let page;
let wrong;
let cluster;

const skip = address && programs ? false : "MESSOR_MASTER and MESSOR_PROGRAMS are not given";

async function read(path) {
  const answer = await fetch(url + path);
  assert.equal(answer.status, 200, path);
  return answer.json();
}

async function call(body) {
  const answer = await fetch(`${url}/api/v1`, {
    method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, body: JSON.stringify(body),
  });
  assert.ok(answer.ok, `${body.type}: ${answer.status} ${answer.ok ? "" : await answer.text()}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : undefined;
}

function execute(name, command, ...flags) {
  const child = spawn(`${programs}/mesos-execute`, [`--master=${address}`, `--name=${name}`, `--command=${command}`,
    "--resources=cpus:0.1;mem:32", ...flags], { stdio: "ignore" });
  running.push(child);
  return child;
}

async function until(what, look) {
  for (const end = Date.now() + 30_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 100))) {
    const seen = await look();
    if (seen) return seen;
  }
  throw new Error(`${what} did not come`);
}

const go = (hash) => page.goto(`${url}/${hash}`);
const heading = (name) => page.getByRole("heading", { level: 1, name, exact: true }).waitFor();
const dialog = () => page.getByRole("dialog");

before(async () => {
  if (skip) return;
  context = await open();
  ({ page, wrong } = await watched(context, url));
  page.setDefaultTimeout(30_000);
  execute("steady", "mkdir -p conf/deep; echo key=value > conf/deep/app.conf; i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done");
  execute("failing", "echo what went wrong >&2; exit 3");
  cluster = await until("the running task", async () => {
    const state = await read("/state");
    const framework = state.frameworks.find((each) => each.tasks.some((task) => task.name === "steady" && task.state === "TASK_RUNNING"));
    return framework && { state, framework, task: framework.tasks.find((task) => task.name === "steady") };
  });
  cluster.agent = cluster.task.slave_id;
});

after(async () => {
  running.forEach((child) => child.kill());
  await context?.close();
});

test("the cluster, and a task from its launch to the log in its sandbox", { skip }, async () => {
  await go("#/");
  await heading("Cluster");
  await page.getByText("Live", { exact: true }).waitFor();
  await page.getByRole("img", { name: /CPUs used by tasks/ }).waitFor();
  await page.getByText(/^localhost:\d+ leads$/).waitFor();
  // It comes by the stream, without asking again.
  execute("followed", "echo first words; sleep 0.3; echo and more; while true; do date +%s%N; sleep 0.2; done");
  const happening = page.locator(".happenings a", { hasText: "followed" }).first();
  await happening.waitFor();
  await happening.click();
  await heading("followed");
  await page.getByRole("list", { name: "States over time" }).getByText("Running").waitFor();
  const log = page.getByRole("log");
  await log.getByText("first words").waitFor();
  const length = async () => (await log.innerText()).length;
  const now = await length();
  await until("more of the log", async () => (await length()) > now + 60);
  // The page has not been asked for again.
  const visits = await page.evaluate(() => performance.getEntriesByType("navigation").length + performance.getEntriesByName(`${location.origin}/state`).length);
  assert.equal(visits, 1);
});

test("a sandbox: its folders, a file, the other output", { skip }, async () => {
  await go(`#/tasks/${cluster.framework.id}/${cluster.task.id}`);
  await heading("steady");
  await page.getByRole("link", { name: "conf/" }).click();
  await heading("Sandbox");
  await page.getByRole("link", { name: "deep/" }).click();
  await page.getByRole("link", { name: "app.conf", exact: true }).click();
  await page.getByRole("log").getByText("key=value").waitFor();
  const down = page.getByRole("link", { name: "Download app.conf" });
  const answer = await fetch(new URL(await down.getAttribute("href"), url));
  assert.equal(await answer.text(), "key=value\n");
  assert.match(answer.headers.get("content-disposition"), /attachment/);

  await go("#/tasks?state=failed");
  await page.getByRole("link", { name: "failing" }).first().click();
  await page.getByText("exited with status 3").first().waitFor();
  await page.getByRole("button", { name: "stderr" }).click();
  await page.getByRole("log").getByText("what went wrong").waitFor();
  // What a task that has ended wrote is not asked for again and again.
  await page.getByRole("status").filter({ hasText: /· the task has ended$/ }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Follow" }).count(), 0);
  await go(`#/tasks/${cluster.framework.id}/${cluster.task.id}`);
  await page.getByRole("status").filter({ hasText: /· following$/ }).waitFor();
});

test("by the keyboard alone", { skip }, async () => {
  await go("#/");
  await heading("Cluster");
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await heading("Tasks");
  await page.getByRole("grid", { name: "tasks" }).getByText("steady").first().waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("steady");
  await page.getByRole("status").filter({ hasText: /^1 of/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await heading("steady");
  await page.goBack();
  await heading("Tasks");
  assert.equal(await page.getByRole("searchbox").inputValue(), "steady");
  // The first stop leads past the links.
  await go("#/frameworks");
  await heading("Frameworks");
  await page.reload();
  await heading("Frameworks");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.getByRole("button", { name: "Close" }).press("Enter");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
  await page.keyboard.press("?");
  await page.keyboard.press("g");
  await page.keyboard.press("a");
  await heading("Agents");
  await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "detached" });
});

test("an agent: resources, reservations, volumes, containers; deactivated and back", { skip }, async () => {
  const agent_id = { value: cluster.agent };
  const reserved = (name, value) => ({ name, type: "SCALAR", scalar: { value }, reservations: [{ type: "DYNAMIC", role: "store", principal: "p" }] });
  await call({ type: "RESERVE_RESOURCES", reserve_resources: { agent_id, resources: [reserved("disk", 64)] } });
  await call({ type: "CREATE_VOLUMES", create_volumes: { agent_id, volumes: [{ ...reserved("disk", 32), disk: { persistence: { id: "kept-data", principal: "p" }, volume: { mode: "RW", container_path: "data" } } }] } });
  await go("#/agents");
  await heading("Agents");
  await page.getByRole("grid", { name: "agents" }).locator(`a[href="#/agents/${cluster.agent}"]`).click();
  await page.getByRole("heading", { name: "Resources by role" }).waitFor();
  await page.getByText("kept-data", { exact: true }).waitFor();
  await page.getByRole("cell", { name: "dynamic" }).first().waitFor();
  await page.getByRole("img", { name: /^Memory of steady: memory \d/ }).waitFor();
  const drawn = page.locator(".containers canvas").first();
  await drawn.waitFor();
  // A chart is drawn, not only there.
  await until("a line in the chart", () => drawn.evaluate((canvas) => {
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.some((value) => value > 0);
  }));

  await page.getByRole("button", { name: "Drain…" }).click();
  await dialog().getByText("Grace period").waitFor();
  await page.keyboard.press("Escape");
  await dialog().waitFor({ state: "detached" });
  await page.getByRole("button", { name: "Deactivate…" }).click();
  await dialog().getByRole("button", { name: "Deactivate", exact: true }).click();
  await page.locator(".title-row").getByText("Deactivated").waitFor();
  assert.equal((await read(`/slaves?slave_id=${cluster.agent}`)).slaves[0].deactivated, true);
  await page.getByRole("button", { name: "Reactivate…" }).click();
  await dialog().getByRole("button", { name: "Reactivate", exact: true }).click();
  await page.locator(".title-row").getByText("Active", { exact: true }).waitFor();
  // What cannot be taken back has to be typed first.
  await page.getByRole("button", { name: "Mark as gone…" }).click();
  assert.equal(await dialog().getByRole("button", { name: "Mark as gone" }).isDisabled(), true);
  await dialog().getByRole("button", { name: "Cancel" }).click();
});

test("frameworks, and one torn down", { skip }, async () => {
  execute("short-lived", "sleep 1000");
  await go("#/frameworks");
  await heading("Frameworks");
  await page.getByRole("searchbox").fill("mesos-execute");
  const id = await until("its framework", async () => (await read("/frameworks")).frameworks.find((f) => f.tasks.some((task) => task.name === "short-lived"))?.id);
  await page.locator(`a[href="#/frameworks/${id}"]`).click();
  await page.getByRole("grid", { name: "tasks of the framework" }).getByText("short-lived").first().waitFor();
  const name = await page.getByRole("heading", { level: 1 }).innerText();
  await page.getByRole("button", { name: "Tear down…" }).click();
  const tearDown = dialog().getByRole("button", { name: "Tear down" });
  assert.equal(await tearDown.isDisabled(), true);
  await dialog().getByRole("textbox").fill(name);
  await tearDown.click();
  await page.locator(".title-row").getByText("Ended").waitFor();
  assert.ok((await read("/frameworks")).completed_frameworks.some((framework) => framework.id === id));
});

test("roles and quota", { skip }, async () => {
  await go("#/roles");
  await heading("Roles and quota");
  await page.getByRole("button", { name: "Set quota…" }).click();
  await dialog().getByRole("textbox").fill("team/service");
  await dialog().getByRole("button", { name: "Next" }).click();
  await dialog().getByLabel("limit of CPUs").fill("4");
  await dialog().getByLabel("Weight").fill("2");
  await dialog().getByRole("button", { name: "Save" }).click();
  const row = page.getByRole("row", { name: /service/ });
  await row.getByText("/ 4").waitFor();
  const quota = await call({ type: "GET_QUOTA" });
  assert.equal(quota.get_quota.status.configs.find((config) => config.role === "team/service").limits.cpus.value, 4);
  // It is below its parent, which can be closed.
  await page.getByRole("button", { name: "Close team", exact: true }).click();
  await row.waitFor({ state: "detached" });
});

test("offers that a framework holds", { skip }, async () => {
  const stop = new AbortController();
  const scheduler = await fetch(`${url}/api/v1/scheduler`, {
    method: "POST", headers: { "Content-Type": "application/json", Accept: "application/json" }, signal: stop.signal,
    body: JSON.stringify({ type: "SUBSCRIBE", subscribe: { framework_info: { user: "root", name: "holder", roles: ["hold"], capabilities: [{ type: "MULTI_ROLE" }] } } }),
  });
  assert.equal(scheduler.status, 200);
  await go("#/offers");
  await page.getByRole("grid", { name: "offers" }).getByText("holder").first().waitFor();
  stop.abort();
});

test("maintenance, scheduled and cancelled", { skip }, async () => {
  await go("#/maintenance");
  await heading("Maintenance");
  await page.getByText("No maintenance is scheduled.").waitFor();
  await page.getByRole("button", { name: "Schedule…" }).click();
  await dialog().getByRole("checkbox").first().check();
  await dialog().getByLabel("Lasts, in minutes").fill("30");
  await dialog().getByRole("button", { name: "Schedule", exact: true }).click();
  await page.getByText("for 30 m").waitFor();
  const schedule = await read("/maintenance/schedule");
  assert.equal(schedule.windows[0].unavailability.duration.nanoseconds, 30 * 60e9);
  await page.getByRole("button", { name: "Cancel…" }).click();
  await dialog().getByRole("button", { name: "Take out" }).click();
  await page.getByText("No maintenance is scheduled.").waitFor();
});

test("the master: replicas, metrics, flags", { skip }, async () => {
  await go("#/master");
  await page.locator(".title-row").getByText("Leading").waitFor();
  await page.getByText("Registry and replicas").waitFor();
  await page.getByRole("searchbox").fill("master/uptime_secs");
  await page.getByRole("grid", { name: "metrics" }).getByText("master/uptime_secs").waitFor();
  await page.getByRole("button", { name: "Flags" }).click();
  await page.getByRole("searchbox").fill("work_dir");
  await page.getByRole("grid", { name: "flags" }).getByText("work_dir").waitFor();
});

test("what an agent and the master write themselves", { skip }, async () => {
  await go(`#/agents/${cluster.agent}`);
  await page.getByRole("link", { name: "what the agent writes" }).click();
  await heading("Log of the agent");
  await page.getByRole("log").getByText("Registered with master").first().waitFor();
  await go("#/master");
  await page.getByRole("link", { name: "Log of this master" }).click();
  await heading("Log");
  await page.getByRole("log").getByText("TASK_RUNNING of task steady").first().waitFor();
});

test("links to the page of Apache Mesos lead somewhere right", { skip }, async () => {
  const { agent, framework, task } = cluster;
  await go(`#/slaves/${agent}`);
  await page.getByRole("heading", { name: "Resources by role" }).waitFor();
  await go(`#/agents/${agent}/frameworks/${framework.id}`);
  await heading(framework.name);
  for (const tail of ["", "/browse"]) {
    await go(`#/agents/${agent}/frameworks/${framework.id}/executors/${task.id}${tail}`);
    await heading("Sandbox");
    await page.getByRole("link", { name: "stdout", exact: true }).waitFor();
    assert.match(page.url(), /browse\?path=/);
  }
  const path = new URLSearchParams(page.url().split("?")[1]).get("path");
  await go("#/");
  await go(`#/slaves/${agent}/browse?path=${encodeURIComponent(path)}`);
  await page.getByRole("link", { name: "stdout", exact: true }).waitFor();
  await go("#/nothing/here");
  await heading("Not here");
});

test("every page at 400 px, light and dark, with names for all that can be used", { skip }, async () => {
  const { agent, framework, task } = cluster;
  const hashes = ["#/", "#/tasks", `#/tasks/${framework.id}/${task.id}`, "#/agents", `#/agents/${agent}`, "#/frameworks",
    `#/frameworks/${framework.id}`, "#/roles", "#/offers", "#/maintenance", "#/master"];
  await page.setViewportSize({ width: 400, height: 800 });
  const grounds = new Set();
  for (const colorScheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme });
    for (const hash of hashes) {
      await go(hash);
      await page.getByRole("heading", { level: 1 }).waitFor();
      await page.getByText("Live", { exact: true }).waitFor();
      const seen = await page.evaluate(() => ({
        width: document.documentElement.scrollWidth,
        headings: document.querySelectorAll("h1").length,
        ground: getComputedStyle(document.body).backgroundColor,
        nameless: [...document.querySelectorAll("button, a, input, select, [role=meter], [role=img], [role=grid]")].filter((element) =>
          !element.getAttribute("aria-label") && !element.textContent.trim() && !element.closest("label") && !element.labels?.length,
        ).map((element) => element.outerHTML.slice(0, 120)),
      }));
      assert.ok(seen.width <= 400, `${hash} is ${seen.width} px wide`);
      assert.equal(seen.headings, 1, hash);
      assert.deepEqual(seen.nameless, [], hash);
      grounds.add(seen.ground);
    }
  }
  assert.equal(grounds.size, 2);
  // The reader's choice is kept.
  await page.getByRole("button", { name: /^Colours: auto/ }).click();
  await page.reload();
  await page.getByRole("button", { name: /^Colours: light/ }).waitFor();
  assert.ok(grounds.has(await page.evaluate(() => getComputedStyle(document.body).backgroundColor)));
});

test("nothing went wrong meanwhile, and nobody else was asked", { skip }, () => assert.deepEqual(wrong, []));
