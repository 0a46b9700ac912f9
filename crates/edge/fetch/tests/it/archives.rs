//! Archives, good and evil.

use std::fs;
use std::io::{Cursor, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use messor_proto::mesos::command_info::Uri;
use tar::{EntryType, Header};

use crate::Bench;

/// One entry with its raw name and link, since the library would refuse to write the evil ones.
fn entry(kind: EntryType, name: &str, link: &str, content: &str) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(content.len() as u64);
    header.set_mode(0o4755);
    header.set_mtime(1_000_000_000);
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(content.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn tar(entries: &[(EntryType, &str, &str, &str)]) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        entries.iter().flat_map(|(k, name, link, content)| entry(*k, name, link, content)).collect();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

fn good_tar() -> Vec<u8> {
    tar(&[
        (EntryType::Directory, "./", "", ""),
        (EntryType::Directory, "app/", "", ""),
        (EntryType::Regular, "app/run", "", "run"),
        (EntryType::Symlink, "app/link", "run", ""),
        (EntryType::Link, "app/hard", "app/run", ""),
        (EntryType::Fifo, "app/fifo", "", ""),
    ])
}

fn packed(name: &str) -> Vec<u8> {
    let tar = good_tar();
    if name.ends_with("gz") {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    } else if name.ends_with("bz2") {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    } else if name.ends_with("xz") {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(&tar).unwrap();
        encoder.finish().unwrap()
    } else {
        tar
    }
}

#[test]
fn every_kind_of_tar_is_extracted_beside_the_archive() {
    for name in ["a.tar", "a.tgz", "a.tar.gz", "a.tbz2", "a.tar.bz2", "a.txz", "a.tar.xz"] {
        let bench = Bench::new();
        let source = bench.source(name, &packed(name));
        bench.fetch(source).unwrap();
        assert!(bench.sandbox().join(name).exists(), "{name}");
        assert_eq!(bench.read("app/run"), "run", "{name}");
        assert_eq!(bench.read("app/link"), "run", "{name}");
        let run = fs::metadata(bench.sandbox().join("app/run")).unwrap();
        assert_eq!(run.ino(), fs::metadata(bench.sandbox().join("app/hard")).unwrap().ino());
        assert_eq!(run.mtime(), 1_000_000_000);
        assert_eq!(run.permissions().mode() & 0o7777, 0o755, "set-id bits are dropped");
        assert_eq!(fs::metadata(bench.sandbox().join("app")).unwrap().mtime(), 1_000_000_000);
    }
}

#[test]
fn the_first_bytes_tell_the_kind_whatever_the_suffix() {
    let bench = Bench::new();
    let source = bench.source("a.tgz", &good_tar());
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("app/run"), "run");
}

#[test]
fn extract_false_and_other_suffixes_keep_the_file() {
    let bench = Bench::new();
    let source = bench.source("a.tar", &good_tar());
    bench.fetch(Uri { extract: Some(false), ..source }).unwrap();
    let source = bench.source("b.jar", b"jar");
    bench.fetch(source).unwrap();
    assert!(!bench.sandbox().join("app").exists());
    assert_eq!(fs::read(bench.sandbox().join("a.tar")).unwrap(), good_tar());
    assert_eq!(bench.read("b.jar"), "jar");
}

#[test]
fn a_bare_gzip_file_loses_its_suffix() {
    let bench = Bench::new();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(b"text").unwrap();
    let source = bench.source("notes.gz", &encoder.finish().unwrap());
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("notes"), "text");
}

#[test]
fn broken_archives_name_the_file() {
    for name in ["a.tar", "a.tgz", "a.zip", "a.txz", "a.tbz2", "a.gz"] {
        let bench = Bench::new();
        let source = bench.source(name, &[7; 2000]);
        let error = bench.error(source);
        assert!(error.contains(&format!("sandbox/{name}' cannot be extracted")), "{error}");
    }
}

#[test]
fn a_leading_slash_is_dropped() {
    let bench = Bench::new();
    let source = bench.source("a.tar", &tar(&[(EntryType::Regular, "/messor-fetch-evil", "", "evil")]));
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("messor-fetch-evil"), "evil");
    bench.assert_outside_untouched();
}

#[test]
fn entries_that_would_leave_the_sandbox_fail_the_fetch() {
    let file = EntryType::Regular;
    let link = EntryType::Symlink;
    let hard = EntryType::Link;
    let cases: &[&[(EntryType, &str, &str, &str)]] = &[
        &[(file, "../outside/evil", "", "evil")],
        &[(file, "a/../../outside/evil", "", "evil")],
        // Through a link to a directory, relative and in two steps.
        &[(link, "way", "../outside", ""), (file, "way/evil", "", "evil")],
        &[(link, "up", "..", ""), (link, "way", "up/outside", ""), (file, "way/evil", "", "evil")],
        &[(link, "way", "../outside", ""), (EntryType::Directory, "way/evil", "", "")],
        &[(link, "way", "../outside", ""), (link, "way/evil", "x", "")],
        &[(link, "way", "../outside", ""), (EntryType::Fifo, "way/evil", "", "")],
        // A second name for a file outside, then written through.
        &[(hard, "mine", "../outside/precious", ""), (file, "mine", "", "evil")],
        &[(link, "way", "../outside", ""), (hard, "mine", "way/precious", ""), (file, "mine", "", "evil")],
        &[(EntryType::Char, "tty", "", "")],
        &[(EntryType::Block, "disk", "", "")],
    ];
    for (index, case) in cases.iter().enumerate() {
        let bench = Bench::new();
        let source = bench.source("a.tar", &tar(case));
        let error = bench.error(source);
        assert!(error.contains("cannot be extracted: entry '"), "case {index}: {error}");
        bench.assert_outside_untouched();
    }
}

#[test]
fn a_link_out_is_replaced_and_never_written_through() {
    let bench = Bench::new();
    let precious = bench.outside().join("precious");
    let source = bench.source(
        "a.tar",
        &tar(&[
            (EntryType::Symlink, "file", precious.to_str().unwrap(), ""),
            (EntryType::Regular, "file", "", "mine"),
        ]),
    );
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("file"), "mine");
    bench.assert_outside_untouched();
}

#[test]
fn a_directory_replaced_by_a_link_does_not_change_what_it_points_to() {
    let bench = Bench::new();
    let before = fs::metadata(bench.outside()).unwrap();
    let outside = bench.outside();
    let source = bench.source(
        "a.tar",
        &tar(&[
            (EntryType::Directory, "d/", "", ""),
            (EntryType::Symlink, "d", outside.to_str().unwrap(), ""),
        ]),
    );
    bench.error(source);
    let after = fs::metadata(bench.outside()).unwrap();
    assert_eq!((before.mtime(), before.mode()), (after.mtime(), after.mode()));
}

#[test]
fn zip_archives_keep_modes_and_links_inside() {
    let bench = Bench::new();
    let source = bench.source(
        "a.zip",
        &zip(&[("bin/", "", None), ("bin/run", "run", None), ("bin/link", "run", Some(()))]),
    );
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("bin/link"), "run");
    assert_eq!(fs::metadata(bench.sandbox().join("bin/run")).unwrap().permissions().mode() & 0o777, 0o750);
}

#[test]
fn evil_zip_archives_fail_the_fetch() {
    let cases: [&[(&str, &str, Option<()>)]; 3] = [
        &[("../outside/evil", "evil", None)],
        &[("way", "../outside", Some(())), ("way/evil", "evil", None)],
        &[("a/../../outside/evil", "evil", None)],
    ];
    for case in cases {
        let bench = Bench::new();
        let source = bench.source("a.zip", &zip(case));
        let error = bench.error(source);
        assert!(error.contains("cannot be extracted: entry '"), "{error}");
        bench.assert_outside_untouched();
    }
}

/// Entries of a name, a content, and whether the content is the target of a link.
fn zip(entries: &[(&str, &str, Option<()>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().unix_permissions(0o750);
    for (name, content, link) in entries {
        if link.is_some() {
            writer.add_symlink(*name, *content, options).unwrap();
        } else if name.ends_with('/') {
            writer.add_directory(*name, options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}
