// A browser that comes to a standby lands on the leader's page, wherever in the page it wanted to go. The conformance test `page`
// starts real masters over ZooKeeper: MESSOR_LEADER and MESSOR_STANDBY are host:port, as browsers see them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { open } from "./browser.mjs";

const leader = process.env.MESSOR_LEADER;
const standby = process.env.MESSOR_STANDBY;

test("a standby sends browsers to the leader", { skip: leader && standby ? false : "MESSOR_LEADER and MESSOR_STANDBY are not given" }, async () => {
  const context = await open();
  try {
    for (const [hash, heading] of [["", "Cluster"], ["#/maintenance", "Maintenance"]]) {
      const page = await context.newPage();
      page.setDefaultTimeout(30_000);
      const answer = await page.goto(`http://${standby}/${hash}`);
      assert.equal(answer.status(), 200);
      assert.equal((await answer.request().redirectedFrom()?.response())?.status(), 307);
      await page.getByRole("heading", { level: 1, name: heading, exact: true }).waitFor();
      await page.getByText("Live", { exact: true }).waitFor();
      assert.equal(new URL(page.url()).host, leader);
      assert.equal(new URL(page.url()).hash.replace("#/", ""), hash.replace("#/", ""));
      await page.close();
    }
  } finally {
    await context.close();
  }
});
