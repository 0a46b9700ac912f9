//! Where files come from and what they are called in the sandbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use messor_proto::mesos::DurationInfo;
use messor_proto::mesos::command_info::Uri;

use crate::{Bench, servers, uri};

fn mode(bench: &Bench, path: &str) -> u32 {
    fs::metadata(bench.sandbox().join(path)).unwrap().permissions().mode() & 0o777
}

#[test]
fn local_files_keep_their_name_and_permissions() {
    let bench = Bench::new();
    let source = bench.source("app.conf", b"x=1");
    fs::set_permissions(&source.value, fs::Permissions::from_mode(0o640)).unwrap();
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("app.conf"), "x=1");
    assert_eq!(mode(&bench, "app.conf"), 0o640);
}

#[test]
fn executable_means_executable_by_all_and_no_extraction() {
    let bench = Bench::new();
    let source = bench.source("run.tar", b"#!/bin/sh\n");
    bench.fetch(Uri { executable: Some(true), ..source }).unwrap();
    assert_eq!(mode(&bench, "run.tar"), 0o755);
    assert_eq!(fs::read_dir(bench.sandbox()).unwrap().count(), 1);
}

#[test]
fn u071_output_file_names_the_file_in_a_new_subdirectory() {
    let bench = Bench::new();
    let source = bench.source("a", b"content");
    bench.fetch(Uri { output_file: Some("lib/deep/b".into()), ..source.clone() }).unwrap();
    assert_eq!(bench.read("lib/deep/b"), "content");
    for escape in ["../outside/a", "/messor-fetch-evil", "a/../../outside/b"] {
        let error = bench.error(Uri { output_file: Some(escape.into()), ..source.clone() });
        assert!(error.contains("must be a relative path inside the sandbox"), "{error}");
    }
    bench.assert_outside_untouched();
}

#[test]
fn output_file_does_not_follow_a_link_out_of_the_sandbox() {
    let bench = Bench::new();
    std::os::unix::fs::symlink(bench.outside(), bench.sandbox().join("way")).unwrap();
    let source = bench.source("a", b"content");
    bench.error(Uri { output_file: Some("way/precious".into()), ..source });
    std::os::unix::fs::symlink(bench.outside().join("precious"), bench.sandbox().join("b")).unwrap();
    let source = bench.source("b", b"new");
    bench.fetch(source).unwrap();
    assert_eq!(bench.read("b"), "new");
    bench.assert_outside_untouched();
}

#[test]
fn relative_paths_are_of_the_frameworks_home() {
    let bench = Bench::new();
    bench.source("tool", b"tool");
    let mut info = bench.info(vec![uri("tool")]);
    let error = messor_fetch::fetch(&info).unwrap_err().to_string();
    assert!(error.contains("'tool'") && error.contains("--frameworks_home"), "{error}");
    info.frameworks_home = Some(bench.root.path().to_str().unwrap().to_owned());
    messor_fetch::fetch(&info).unwrap();
    assert_eq!(bench.read("tool"), "tool");
}

#[test]
fn errors_name_the_uri_without_its_credentials() {
    let bench = Bench::new();
    let error = bench.error(uri("ftp://me:secret@name"));
    assert!(error.starts_with("'ftp://***@name' cannot be fetched: it ends without a file name"), "{error}");
    let error = bench.error(uri("/no/such/file"));
    assert!(error.contains("'/no/such/file' cannot be read"), "{error}");
    let error = bench.error(uri(bench.outside().to_str().unwrap()));
    assert!(error.contains("is a directory"), "{error}");
}

#[test]
fn http_follows_redirects_and_sends_credentials() {
    let bench = Bench::new();
    let (address, requests) = servers::http(|path| match path {
        "/moved.txt" => {
            b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()
        }
        "/there" => servers::ok("hello"),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
    });
    bench.fetch(uri(&format!("http://me:pw@{address}/moved.txt"))).unwrap();
    assert_eq!(bench.read("moved.txt"), "hello");
    let first = requests.recv().unwrap();
    assert!(first.to_ascii_lowercase().contains("authorization: basic bwu6chc="), "{first}");

    let error = bench.error(uri(&format!("http://me:pw@{address}/missing")));
    assert_eq!(
        error,
        format!(
            "'http://***@{address}/missing' cannot be fetched: the server answered HTTP 404, and only 200 is a download"
        )
    );
}

#[test]
fn http_to_nobody_and_a_cut_download_are_errors() {
    let bench = Bench::new();
    let (address, _requests) =
        servers::http(|_| b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\nabc".into());
    bench.error(uri(&format!("http://{address}/short")));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = bench.error(uri(&format!("http://{closed}/a")));
    assert!(error.contains("the request failed"), "{error}");
}

#[test]
fn u029_a_stalled_download_is_aborted() {
    let bench = Bench::new();
    let mut info = bench.info(vec![uri(&format!("http://{}/slow", servers::stalling_http()))]);
    info.stall_timeout = Some(DurationInfo { nanoseconds: 200_000_000 });
    let error = messor_fetch::fetch(&info).unwrap_err().to_string();
    assert!(error.ends_with("the download stalled: nothing came for 200ms"), "{error}");
}

#[test]
fn https_from_a_server_that_does_not_speak_tls_is_refused() {
    let bench = Bench::new();
    let (address, _requests) = servers::http(|_| servers::ok("plain"));
    bench.error(uri(&format!("https://{address}/a")));
    assert_eq!(fs::read(bench.sandbox().join("a")).unwrap_or_default(), b"");
}

#[test]
fn ftp_downloads_by_passive_mode_from_the_named_host() {
    let bench = Bench::new();
    let (address, commands) = servers::ftp("by ftp", "226 done\r\n");
    bench.fetch(uri(&format!("ftp://me:pw@{address}/pub/a%20b.txt"))).unwrap();
    assert_eq!(bench.read("a%20b.txt"), "by ftp");
    let seen: Vec<String> = commands.iter().take(5).collect();
    assert_eq!(seen, ["USER me", "PASS pw", "TYPE I", "PASV", "RETR pub/a b.txt"]);
}

#[test]
fn ftp_that_ends_without_success_is_an_error() {
    let bench = Bench::new();
    let (address, _commands) = servers::ftp("half", "426 aborted\r\n");
    let error = bench.error(uri(&format!("ftp://{address}/a.txt")));
    assert!(error.contains("cannot be fetched: the FTP server or the way to it failed"), "{error}");
}
