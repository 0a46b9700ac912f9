//! On hardware that is made up; groups of version 1 and 2 of this host, where it has them, and fakes.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use messor_flags::AgentFlags;
use messor_linux::cgroups::{Fake, Hierarchies, Version};
use messor_types::{ContainerId, Role, parse_resources};

use super::*;
use crate::cgroups::tests::{Real, opened};
use crate::isolator::tests::{container, nested, resources};
use crate::isolator::{Container, Isolator, Recovered};
use crate::tests::skip;

/// GPUs by their numbers in the order of nvidia-smi, and what goes with them.
struct Made {
    gpus: Vec<Numbers>,
    control: Vec<Numbers>,
}

impl Hardware for Made {
    fn count(&self) -> Result<u32, HardwareError> {
        Ok(u32::try_from(self.gpus.len()).unwrap())
    }

    fn gpu(&self, index: u32) -> Result<Numbers, HardwareError> {
        let found = self.gpus.get(usize::try_from(index).unwrap()).copied();
        found.ok_or(HardwareError::Gpu { index, error: "an argument is invalid".to_string() })
    }

    fn control(&self) -> Result<Vec<Numbers>, HardwareError> {
        Ok(self.control.clone())
    }
}

fn flags(isolation: &str, resources: Option<&str>, devices: Option<&str>) -> AgentFlags {
    let mut flags = AgentFlags { resources: resources.map(str::to_string), ..AgentFlags::default() };
    flags.containers.isolation = isolation.to_string();
    flags.containers.nvidia_gpu_devices = devices.map(str::to_string);
    flags
}

/// On a host where nvidia-smi's GPUs are the minors 3, 0 and 1.
fn find(isolation: &str, resources: Option<&str>, devices: Option<&str>) -> Result<Option<Gpus>, String> {
    let flags = flags(isolation, resources, devices);
    let given = parse_resources(resources.unwrap_or_default(), &Role::parse("*").unwrap()).unwrap();
    let made = Made { gpus: vec![(195, 3), (195, 0), (195, 1)], control: vec![(195, 255), (510, 0)] };
    Gpus::find(&flags, &given, || Ok(Box::new(made))).map_err(|error| error.to_string())
}

const ISOLATION: &str = "cgroups/devices,gpu/nvidia";

fn minors(gpus: &Gpus) -> Vec<u32> {
    gpus.devices.iter().map(|(_, minor)| *minor).collect()
}

#[test]
fn gpus_are_discovered_unless_flags_name_them() {
    let all = find(ISOLATION, Some("cpus:2"), None).unwrap().unwrap();
    assert_eq!((minors(&all), all.discovered().as_deref()), (vec![0, 1, 3], Some("gpus:3")));
    assert_eq!(all.control, [(195, 255), (510, 0)]);
    let named = find(ISOLATION, Some("cpus:2;gpus:1;gpus(r):1"), Some("0, 2")).unwrap().unwrap();
    assert_eq!((minors(&named), named.discovered()), (vec![1, 3], None));
    let none = find(ISOLATION, Some("gpus:0"), None).unwrap().unwrap();
    assert_eq!((minors(&none), none.discovered()), (vec![], None));
    // Without the isolator the hardware is not asked.
    assert_eq!(find("cgroups/devices", Some("gpus:7"), None), Ok(None));
}

#[test]
fn flags_that_do_not_fit_are_refused_by_name() {
    let refused = |resources, devices| find(ISOLATION, resources, Some(devices)).unwrap_err();
    assert_eq!(
        find("posix/cpu", None, Some("0")).unwrap_err(),
        "--nvidia_gpu_devices: it goes with gpu/nvidia in --isolation"
    );
    for wrong in ["", "0,", "-1", "+1", "a", "4294967296"] {
        let error = refused(Some("gpus:1"), wrong);
        assert!(
            error.starts_with("--nvidia_gpu_devices: '") && error.ends_with("is not the number of a GPU"),
            "{error}"
        );
    }
    assert_eq!(refused(Some("gpus:2"), "1,1"), "--nvidia_gpu_devices: the GPU 1 is there twice");
    assert_eq!(refused(None, "0"), "--nvidia_gpu_devices: it needs as many 'gpus' in --resources");
    assert_eq!(
        refused(Some("gpus:0"), "0"),
        "--nvidia_gpu_devices: --resources says that there are no 'gpus'"
    );
    assert_eq!(refused(Some("gpus:2"), "0"), "--resources has 2 'gpus', and --nvidia_gpu_devices 1");
    assert_eq!(refused(Some("gpus:0.5"), "0"), "--resources: 'gpus' must be a whole number, not 0.5");
    assert_eq!(refused(Some("gpus:4"), "0,1,2,3"), "--resources has 4 'gpus', and this host 3");
    assert_eq!(
        refused(Some("gpus:1"), "3"),
        "--isolation: gpu/nvidia: the driver does not tell of the GPU 3: an argument is invalid"
    );
    let error = find(ISOLATION, Some("gpus:1"), None).unwrap_err();
    assert!(error.starts_with("--resources: 'gpus' needs --nvidia_gpu_devices"), "{error}");
}

/// This host, unless somebody lent it a GPU.
#[test]
fn the_library_of_the_driver_is_named_where_it_is_missing() {
    let (flags, none) = (flags(ISOLATION, None, None), messor_types::Resources::new());
    match Gpus::find(&flags, &none, nvml) {
        Ok(found) => skip(&format!("a host without Nvidia's driver: this one has {found:?}")),
        Err(error) => {
            let error = error.to_string();
            assert!(error.starts_with("--isolation: gpu/nvidia: the "), "{error}");
            assert!(error.contains("libnvidia-ml.so.1") || error.contains("driver"), "{error}");
        }
    }
}

fn asks(id: &str, gpus: f64) -> Container {
    let mut asks = container(id);
    asks.config.resources = resources(&[("cpus", 1.0), ("gpus", gpus)]);
    asks
}

const FILES: [(&str, &str); 3] = [("devices.allow", ""), ("devices.deny", ""), ("devices.list", "")];

/// Groups of version 1 that are files, with GPUs 0 and 1 beside what goes with them.
struct Faked {
    folder: tempfile::TempDir,
    fake: Arc<Fake>,
    isolator: Nvidia,
}

impl Faked {
    fn new() -> Faked {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("devices/mesos")).unwrap();
        let fake = Arc::new(Fake::new(&FILES));
        Faked { isolator: Faked::isolator(&folder, &fake), folder, fake }
    }

    fn isolator(folder: &tempfile::TempDir, fake: &Arc<Fake>) -> Nvidia {
        let hierarchies = Hierarchies::over(fake.clone(), folder.path(), Version::V1, &["devices"]);
        let made = Made { gpus: vec![(195, 0), (195, 1)], control: vec![(195, 255), (510, 0)] };
        let flags = flags(ISOLATION, None, None);
        let found = Gpus::find(&flags, &messor_types::Resources::new(), || Ok(Box::new(made)));
        Nvidia::over(hierarchies, found.unwrap().unwrap(), &flags, folder.path()).unwrap()
    }

    fn make_group(&self, id: &str, list: &str) {
        use messor_linux::cgroups::Store;
        let group = self.folder.path().join("devices/mesos").join(id);
        self.fake.make(&group).unwrap();
        std::fs::write(group.join("devices.list"), list).unwrap();
    }

    /// What was written since the last call: file of the container's group and line.
    fn writes(&self, seen: &mut usize) -> Vec<String> {
        let all = self.fake.writes();
        let new = all.iter().skip(*seen).map(|(file, text)| {
            let file = file.strip_prefix(self.folder.path().join("devices/mesos")).unwrap();
            format!("{} {text}", file.display())
        });
        let new = new.collect();
        *seen = all.len();
        new
    }
}

#[test]
fn containers_get_whole_gpus_that_nobody_else_has() {
    let (faked, mut seen) = (Faked::new(), 0);
    ["a", "b"].iter().for_each(|id| faked.make_group(id, ""));
    let gpus = &faked.isolator;
    gpus.prepare(&asks("a", 1.0)).unwrap();
    let control = ["devices.allow c 195:255 rwm", "devices.allow c 510:0 rwm"];
    let of = |id: &str, lines: &[&str]| lines.iter().map(|line| format!("{id}/{line}")).collect::<Vec<_>>();
    assert_eq!(faked.writes(&mut seen), of("a", &[control[0], control[1], "devices.allow c 195:0 rwm"]));
    // One that wants none can run nvidia-smi all the same, as in 1.11.0.
    gpus.prepare(&container("b")).unwrap();
    assert_eq!(faked.writes(&mut seen), of("b", &control));
    // More while it runs, but no more than there are, and then nothing changes.
    let error = gpus.update(&asks("b", 2.0)).unwrap_err().to_string();
    assert_eq!(error, "'gpus': 2 more are asked for, and 1 are free");
    assert_eq!(faked.writes(&mut seen), [""; 0]);
    gpus.update(&asks("b", 1.0)).unwrap();
    gpus.update(&asks("b", 1.0)).unwrap();
    assert_eq!(faked.writes(&mut seen), of("b", &["devices.allow c 195:1 rwm"]));
    // Less: it may not use it from then on, and another may.
    gpus.update(&asks("a", 0.0)).unwrap();
    assert_eq!(faked.writes(&mut seen), of("a", &["devices.deny c 195:0 rwm"]));
    gpus.update(&asks("b", 2.0)).unwrap();
    assert_eq!(faked.writes(&mut seen), of("b", &["devices.allow c 195:0 rwm"]));
    // What an ended container had is free again.
    gpus.cleanup(&ContainerId::new("b")).unwrap();
    gpus.cleanup(&ContainerId::new("b")).unwrap();
    gpus.update(&asks("a", 2.0)).unwrap();
    assert_eq!(faked.writes(&mut seen), of("a", &["devices.allow c 195:0 rwm", "devices.allow c 195:1 rwm"]));
}

#[test]
fn a_launch_with_too_few_gpus_fails_and_leaves_nothing() {
    let faked = Faked::new();
    ["a", "b"].iter().for_each(|id| faked.make_group(id, ""));
    let error = faked.isolator.prepare(&asks("a", 3.0)).unwrap_err().to_string();
    assert_eq!(error, "'gpus': 3 more are asked for, and 2 are free");
    let error = faked.isolator.update(&asks("none", 1.0)).unwrap_err().to_string();
    assert_eq!(error, "container none is not known");
    assert_eq!(faked.fake.writes(), []);
    // One whose group is not there gets none either; what it would have had is free when it is gone.
    assert!(faked.isolator.prepare(&asks("c", 2.0)).unwrap_err().to_string().contains("devices.allow"));
    assert!(faked.isolator.prepare(&asks("b", 1.0)).is_err());
    ["a", "b", "c"].iter().for_each(|id| faked.isolator.cleanup(&ContainerId::new(id)).unwrap());
    faked.isolator.prepare(&asks("b", 2.0)).unwrap();
    let error = faked.isolator.prepare(&asks("b", 2.0)).unwrap_err().to_string();
    assert_eq!(error, "container b is there already");
}

#[test]
fn wrong_amounts_and_images_are_refused() {
    let faked = Faked::new();
    faked.make_group("a", "");
    let error = faked.isolator.prepare(&asks("a", 0.5)).unwrap_err().to_string();
    assert_eq!(error, "'gpus' must be a whole number");
    let mut rooted = asks("b", 1.0);
    rooted.config.rootfs = Some("/roots/b".to_string());
    let error = faked.isolator.prepare(&rooted).unwrap_err().to_string();
    assert!(error.starts_with("not supported yet: GPUs in containers with images"), "{error}");
}

#[test]
fn nested_containers_use_what_is_around_them() {
    let faked = Faked::new();
    let parent = asks("a", 1.0);
    let mut child = nested(&parent, "n");
    child.config.resources = resources(&[("gpus", 1.0)]);
    faked.isolator.prepare(&child).unwrap();
    faked.isolator.update(&child).unwrap();
    faked.isolator.cleanup(&child.id).unwrap();
    assert_eq!(faked.fake.writes(), []);
    assert!(faked.isolator.supports_nesting() && !faked.isolator.supports_standalone());
}

#[test]
fn groups_tell_who_had_which_gpus() {
    let faked = Faked::new();
    let usual = "c *:* m\nb *:* m\nc 1:3 rwm\nc 136:* rwm\nb 195:0 r\n";
    faked.make_group("a", &format!("{usual}c 195:255 rwm\nc 195:1 rwm\n"));
    faked.make_group("left", &format!("{usual}c 195:0 rwm\n"));
    faked.make_group("new", "");
    let gpus = Faked::isolator(&faked.folder, &faked.fake);
    let going_on = |id: &str, gpus| Recovered { container: asks(id, gpus), pid: Some(1) };
    // One of them is gone, with its group.
    gpus.recover(&[going_on("a", 1.0), going_on("gone", 0.0)], &[ContainerId::new("left")]).unwrap();
    let error = gpus.prepare(&asks("new", 1.0)).unwrap_err().to_string();
    assert_eq!(error, "'gpus': 1 more are asked for, and 0 are free");
    gpus.cleanup(&ContainerId::new("new")).unwrap();
    gpus.cleanup(&ContainerId::new("left")).unwrap();
    gpus.prepare(&asks("new", 1.0)).unwrap();
    gpus.update(&asks("a", 0.0)).unwrap();
    let (file, line) = faked.fake.writes().pop().unwrap();
    assert!(file.ends_with("a/devices.deny") && line == "c 195:1 rwm");
    // A list that cannot be read is no list without GPUs.
    faked.make_group("odd", "c 195:zero rwm\n");
    let error = gpus.recover(&[going_on("odd", 1.0)], &[]).unwrap_err().to_string();
    assert!(error.contains("has an unknown form: 'c 195:zero rwm"), "{error}");
}

/// Two devices of this host that may be opened, and that containers may not use as a rule, taken for GPUs.
fn stand_ins() -> Option<[(&'static str, Numbers); 2]> {
    use std::os::unix::fs::MetadataExt;
    let names = ["/dev/kmsg", "/dev/cpu_dma_latency", "/dev/fuse", "/dev/mem"];
    let mut usable = names.into_iter().filter_map(|name| {
        let numbers = messor_linux::devices::numbers(std::fs::metadata(name).ok()?.rdev());
        std::fs::File::open(name).ok().map(|_| (name, numbers))
    });
    usable.next().zip(usable.next()).map(|(one, other)| [one, other])
}

/// The kernel's own word, in groups of this version, where this host has them at that place.
fn the_kernel_keeps_gpus_apart(version: Version, mounts: &[&str]) {
    let mount = mounts
        .iter()
        .find(|path| Hierarchies::find(Path::new(path)).is_ok_and(|found| found.version() == version));
    let Some(mount) = mount else {
        return skip(&format!("GPUs: control groups of {version:?} are not mounted"));
    };
    let Some(devices) = stand_ins() else { return skip("GPUs: no two devices to take for them") };
    let mut settings = AgentFlags::default();
    let Some(mut real) = Real::on(mount, &["cgroups/devices"], |_| {}) else { return };
    let folder = tempfile::tempdir().unwrap();
    settings.containers.cgroups_root.clone_from(&real.root);
    settings.containers.cgroups_hierarchy =
        <messor_flags::Location as messor_flags::FlagValue>::read(mount).unwrap();
    settings.containers.isolation = ISOLATION.to_string();
    let isolator = |settings: &AgentFlags| {
        let made = Made { gpus: devices.iter().map(|(_, numbers)| *numbers).collect(), control: Vec::new() };
        let found = Gpus::find(settings, &messor_types::Resources::new(), || Ok(Box::new(made)));
        Nvidia::make(found.unwrap().unwrap(), settings, folder.path()).unwrap()
    };
    let gpus = isolator(&settings);
    let paths = format!("/dev/null {} {}", devices[0].0, devices[1].0);
    let containers = [asks("a", 0.0), asks("b", 1.0)];
    for container in &containers {
        std::fs::create_dir_all(crate::runtime::directory(folder.path(), &container.id)).unwrap();
        real.cgroups.prepare(container).unwrap();
        gpus.prepare(container).unwrap();
    }
    let [a, b] = &containers;
    assert_eq!(opened(&mut real, a, &paths), "yes no no");
    assert_eq!(opened(&mut real, b, &paths), "yes yes no");
    gpus.update(&asks("a", 1.0)).unwrap();
    assert_eq!(opened(&mut real, a, &paths), "yes no yes");
    gpus.update(&asks("b", 0.0)).unwrap();
    assert_eq!(opened(&mut real, b, &paths), "yes no no");
    gpus.update(&asks("a", 2.0)).unwrap();
    assert_eq!(opened(&mut real, a, &paths), "yes yes yes");
    gpus.update(&asks("a", 1.0)).unwrap();
    // The next agent knows, and changes what this one did.
    let next = isolator(&settings);
    let recovered = |container: &Container| Recovered { container: container.clone(), pid: Some(1) };
    next.recover(&[recovered(a), recovered(b)], &[]).unwrap();
    assert!(
        next.update(&asks("b", 2.0))
            .unwrap_err()
            .to_string()
            .contains("2 more are asked for, and 1 are free")
    );
    next.update(&asks("b", 1.0)).unwrap();
    let answers: BTreeSet<String> = [a, b].map(|one| opened(&mut real, one, &paths)).into();
    assert_eq!(answers, BTreeSet::from(["yes no yes".to_string(), "yes yes no".to_string()]));
    next.update(&asks("a", 0.0)).unwrap();
    assert_eq!(opened(&mut real, a, &paths), "yes no no");
    for container in &containers {
        next.cleanup(&container.id).unwrap();
        real.cgroups.cleanup(&container.id).unwrap();
    }
}

#[test]
fn the_kernel_keeps_gpus_apart_in_version_1() {
    the_kernel_keeps_gpus_apart(Version::V1, &["/sys/fs/cgroup"]);
}

#[test]
fn the_kernel_keeps_gpus_apart_in_version_2() {
    the_kernel_keeps_gpus_apart(Version::V2, &["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]);
}

/// An agent that ends amid a change finds the container's GPUs as they were, or as they were to be.
#[test]
fn records_of_version_2_are_whole() {
    let folder = tempfile::tempdir().unwrap();
    let made = Made { gpus: vec![(195, 0), (195, 1)], control: Vec::new() };
    let flags = flags(ISOLATION, None, None);
    let found = Gpus::find(&flags, &messor_types::Resources::new(), || Ok(Box::new(made))).unwrap().unwrap();
    let hierarchies = Hierarchies::over(Arc::new(Fake::new(&[])), folder.path(), Version::V2, &[]);
    std::fs::write(folder.path().join("cgroup.controllers"), "").unwrap();
    let isolator = Nvidia::over(hierarchies, found, &flags, folder.path()).unwrap();
    let record = crate::runtime::directory(folder.path(), &ContainerId::new("a")).join("gpus");
    std::fs::create_dir_all(record.parent().unwrap()).unwrap();
    let recover = || isolator.recover(&[Recovered { container: asks("a", 1.0), pid: None }], &[]);
    // None was ever written.
    recover().unwrap();
    std::fs::write(&record, "195:1\n7:7\n").unwrap();
    recover().unwrap();
    assert!(isolator.prepare(&asks("b", 2.0)).unwrap_err().to_string().contains("and 1 are free"));
    std::fs::write(&record, "195\n").unwrap();
    let error = recover().unwrap_err().to_string();
    assert!(error.starts_with("cannot read ") && error.contains("/gpus"), "{error}");
}
