//! Volumes that tasks of several users share, by groups of their own (`--volume_gid_range`).

use std::fs;
use std::os::unix::fs::MetadataExt;

use messor_testkit::{get, scalar, wait_for};
use serde_json::{Value, json};

use super::host::{Host, OTHER_USER, PATIENCE, USER, in_container, task_of, with};

/// How many groups no volume has.
fn free(host: &Host) -> Option<f64> {
    let metrics = get(host.cluster.agents[0], "/metrics/snapshot").ok()?.json();
    assert_eq!(metrics["volume_gid_manager/volume_gids_total"], 4.0);
    metrics["volume_gid_manager/volume_gids_free"].as_f64()
}

fn wait_for_free(host: &Host, wanted: f64) {
    wait_for("groups of volumes to be free", PATIENCE, || (free(host)? == wanted).then_some(()));
}

#[test]
fn users_share_volumes_by_groups() {
    let isolation = "filesystem/linux,volume/sandbox_path";
    let Some(mut host) = Host::start(isolation, &["--volume_gid_range=[54300-54303]"]) else { return };
    let before = host.traces();
    let disk = json!({"persistence": {"id": "v"}, "volume": {"container_path": "kept", "mode": "RW"}});
    let bare = with(scalar("disk", 8.0), "reservations", json!([{"type": "DYNAMIC", "role": "web"}]));
    let kept = with(bare.clone(), "disk", disk);
    let with_volume = |mut task: Value| {
        task["resources"].as_array_mut().expect("a list").push(kept.clone());
        task
    };
    let made = vec![
        json!({"type": "RESERVE", "reserve": {"resources": [bare]}}),
        json!({"type": "CREATE", "create": {"volumes": [kept]}}),
    ];
    host.launch_after(made, &[with_volume(task_of(USER, "first", "id -G; echo first > kept/file"))]);
    host.ends("first", "TASK_FINISHED");
    let of_the_group = |text: &str| text.split_whitespace().any(|group| group == "54300");
    assert!(of_the_group(&host.stdout("first")), "{}", host.output("first"));
    let volume = host.cluster.folder().join("agent0/volumes/roles/web/v");
    let found = fs::metadata(&volume).expect("a volume");
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o2020), (0, 54300, 0o2020));
    // Another user finds the volume as open as the first one did.
    let command = "id -G; rm kept/file && echo second > kept/file && stat -c %g kept/file";
    host.launch(&[with_volume(task_of(OTHER_USER, "second", command))]);
    host.ends("second", "TASK_FINISHED");
    assert!(of_the_group(host.stdout("second").lines().next().unwrap_or_default()));
    assert!(host.stdout("second").ends_with("\n54300\n"), "{}", host.output("second"));
    wait_for_free(&host, 3.0);

    // Tasks of a pod share the volume, which is mounted for their executor, and a part of its sandbox.
    let in_common = json!({"volumes": [{"container_path": "common", "mode": "RW", "source":
        {"type": "SANDBOX_PATH", "sandbox_path": {"type": "PARENT", "path": "shared"}}}]});
    let writer =
        "rm kept/file && echo of the pod > kept/file && echo told > common/new && mv common/new common/told";
    let reader = "until cat common/told; do sleep 0.05; done 2>/dev/null; \
                  rm common/told && stat -c %g common/. && until test -e common/go; do sleep 0.05; done";
    let pod = [with_volume(task_of(USER, "writer", writer)), task_of(OTHER_USER, "reader", reader)];
    host.launch_group("pod", Vec::new(), &pod.map(|task| in_container(task, in_common.clone())));
    host.ends("writer", "TASK_FINISHED");
    assert_eq!(fs::read_to_string(volume.join("file")).expect("it is kept"), "of the pod\n");
    wait_for_free(&host, 2.0);
    let shared = fs::canonicalize(host.sandbox("pod")).expect("a sandbox").join("shared");
    wait_for("the reader to have read", PATIENCE, || (!shared.join("told").exists()).then_some(()));
    // The next agent knows which groups there are.
    host.cluster.kill("agent0");
    let flags = host.flags.clone();
    host.cluster.restart_agent(0, &flags);
    wait_for_free(&host, 2.0);
    assert_eq!(fs::metadata(&shared).expect("it is shared").gid(), 54301);
    fs::write(shared.join("go"), "").expect("a file");
    host.ends("reader", "TASK_FINISHED");
    wait_for_free(&host, 3.0);
    let found = fs::metadata(&shared).expect("the sandbox stays for a while");
    assert_eq!((found.gid(), found.mode() & 0o2020), (0, 0));
    host.leaves_no_trace(&before);

    let has = |all: &[Value]| all.iter().any(|resource| resource["disk"]["persistence"]["id"] == "v");
    let offer = host.framework.offer_of(has);
    host.framework.accept(&offer, vec![json!({"type": "DESTROY", "destroy": {"volumes": [kept]}})]);
    wait_for_free(&host, 4.0);
    assert!(!volume.exists());
}
