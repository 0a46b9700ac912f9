//! Artifacts that are fetched while somebody beside swaps the places they go to for links: nothing out of the sandbox is written,
//! read, or given to another user.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use messor_testkit::files::entries;
use messor_testkit::wait_for;
use serde_json::{Value, json};

use super::abuse::{Victim, archive};
use super::host::{Host, PATIENCE, USER, task};

/// In each of which another artifact is the first.
const ROUNDS: usize = 10;
/// What nobody but root may read.
const HIDDEN: &str = "not to be read\n";

/// In each container's sandbox beside its own, every name that something is fetched to leads to the victim for a moment, and so
/// does the directory of them all. It tells that it has begun, and how often it had its way.
const RACE: &str = r#"
import os, time
own = os.getcwd()
os.chdir("../..")
names = ["dir", "out", "many.tar", "plain", "renamed", "stdout", "stderr", "link"]
count = 0
open(own + "/begun", "w").close()
while True:
    for box in os.listdir("containers"):
        box = "containers/" + box
        if os.path.abspath(box) == own:
            continue
        for name in names:
            path, link = box + "/" + name, "VICTIM/secret" if "." in name or name in ("plain", "renamed", "stdout") else "VICTIM"
            try:
                os.rename(path, path + ".was")
            except OSError:
                pass
            try:
                os.symlink(link, path)
                count += 1
                time.sleep(0.0002)
                os.unlink(path)
            except OSError:
                pass
            try:
                os.rename(path + ".was", path)
            except OSError:
                pass
    if count:
        with open(own + "/count", "w") as file:
            file.write(str(count))
"#;

/// All files below, by what is in them; links are not followed.
fn contents(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let below = entries(path).into_iter().flat_map(|path| {
        let Ok(found) = fs::symlink_metadata(&path) else { return Vec::new() };
        match (found.is_dir(), found.is_file()) {
            (true, _) => contents(&path),
            (_, true) => vec![(path.clone(), fs::read(&path).unwrap_or_default())],
            _ => Vec::new(),
        }
    });
    below.collect()
}

fn victim() -> Victim {
    let victim = Victim::new();
    let secret = victim.path().join("secret");
    fs::write(&secret, HIDDEN).expect("a file");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).expect("a file of ours");
    for name in ["file0", "file1", "put", "deep"] {
        fs::write(victim.path().join(name), "of the host\n").expect("a file");
    }
    victim
}

/// A pod with one who races, and tasks that artifacts are fetched for, one after the other.
fn raced(host: &Host, executor: &str, artifacts: &[Value], victim: &Victim, is_secret_theirs: bool) {
    let state = victim.state();
    let race = RACE.replace("VICTIM", &victim.path().display().to_string());
    let racer = format!("{executor}-racer");
    host.launch_group(executor, Vec::new(), &[task(&racer, &format!("exec python3 -c '{race}'"))]);
    let sandbox = wait_for("the racer", PATIENCE, || {
        let all = entries(&host.sandbox(executor).join("containers"));
        all.into_iter().find(|path| path.join("begun").exists())
    });
    for round in 0..ROUNDS {
        let name = format!("{executor}-{round}");
        let mut task = task(&name, "cat dir/file* out/* plain renamed >/dev/null 2>&1; true");
        let mut uris = artifacts.to_vec();
        uris.rotate_left(round % artifacts.len());
        task["command"]["uris"] = uris.into();
        host.launch_group(executor, Vec::new(), &[task]);
        // It may be launched or not; where it is not, it is said so.
        let end = host.framework.end_of(&name);
        match end["state"].as_str() {
            Some("TASK_FINISHED") => {}
            // As of any task of a pod that is not launched (scenario a-pod-whose-artifact-is-not-there).
            Some("TASK_FAILED") => {
                let message = end["message"].as_str().unwrap_or_default();
                // Refused by the agent, or by its fetcher, which says more in the sandbox.
                let is_clear = ["cannot be", "the fetcher exited with status 1; see stderr in the sandbox"]
                    .iter()
                    .any(|words| message.contains(words));
                assert!(is_clear, "{end:#}");
                assert_eq!((&end["source"], &end["reason"]), (&json!("SOURCE_EXECUTOR"), &Value::Null));
            }
            _ => panic!("{end:#}"),
        }
        assert_eq!(victim.state(), state, "round {round}");
    }
    let count = fs::read_to_string(sandbox.join("count")).unwrap_or_default();
    assert!(count.parse::<u32>().is_ok_and(|count| count > 0), "the race was none");
    if !is_secret_theirs {
        for (path, bytes) in contents(&host.sandbox(executor)) {
            let is_leaked = bytes.windows(HIDDEN.len()).any(|window| window == HIDDEN.as_bytes());
            assert!(!is_leaked, "{} was read", path.display());
        }
    }
    host.kill(&racer);
    host.framework.end_of(&racer);
    assert_eq!(victim.state(), state);
}

#[test]
fn artifacts_are_fetched_while_their_places_become_links() {
    let Some(mut host) = Host::start("cgroups/cpu,cgroups/mem,filesystem/linux", &[]) else { return };
    let before = host.traces();
    let victim = victim();
    let at = victim.path().display();
    let archives = tempfile::tempdir().expect("a temporary folder");
    fs::set_permissions(archives.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
    let many = archive(
        archives.path(),
        "many.tar",
        "mkdir -p dir/deep; for n in $(seq 0 300); do echo no > dir/file$n; done; echo no > dir/deep/file; \
         ln -s dir/file0 inner; tar cf ARCHIVE dir inner",
    );
    let zipped = archive(
        archives.path(),
        "many.zip",
        "mkdir dir; for n in $(seq 0 100); do echo no > dir/file$n; done; \
         python3 -c 'import shutil; shutil.make_archive(\"../zipped\", \"zip\", \".\")'; mv ../zipped.zip ARCHIVE",
    );
    fs::write(archives.path().join("plain"), "no\n").expect("a file");
    let plain = |output: Option<&str>| {
        let mut uri = json!({"value": archives.path().join("plain"), "extract": false});
        if let Some(output) = output {
            uri["output_file"] = output.into();
        }
        uri
    };
    let artifacts = [many, zipped, plain(None), plain(Some("renamed")), plain(Some("out/put"))];

    // Without a race: a link that came from an archive is no way out either, for what is fetched after it or from it.
    let linked = archive(
        archives.path(),
        "linked.tar",
        &format!("ln -s {at} out; ln -s {at}/file plain; tar cf ARCHIVE out plain"),
    );
    let state = victim.state();
    let fetching = |id: &str, uris: Value| {
        let mut task = task(id, "true");
        task["command"]["uris"] = uris;
        task
    };
    host.launch(&[
        fetching("put", json!([linked, plain(Some("out/put"))])),
        fetching("overwritten", json!([linked, plain(None)])),
        fetching("renamed", json!([linked, plain(Some("plain"))])),
    ]);
    for (name, may_finish) in [("put", false), ("overwritten", true), ("renamed", true)] {
        let end = host.framework.end_of(name);
        let is_refused = end["state"] == "TASK_FAILED" && end["reason"] == "REASON_CONTAINER_LAUNCH_FAILED";
        assert!(is_refused || may_finish && end["state"] == "TASK_FINISHED", "{end:#}");
        assert_eq!(victim.state(), state, "{name}");
    }

    raced(&host, "of-root", &artifacts, &victim, true);
    host.framework = host.framework_of(USER);
    raced(&host, "of-user", &artifacts, &victim, false);
    host.leaves_no_trace(&before);
}
