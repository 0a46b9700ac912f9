//! By way of the cache, as the agent says: into its file, and from there into the sandbox.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use messor_proto::mesos::command_info::Uri;
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::item::Action;

use crate::{Bench, servers, uri};

impl Bench {
    fn cache(&self) -> PathBuf {
        self.root.path().join("cache")
    }

    fn cached(&self, uri: Uri, action: Action, file: &str) -> FetcherInfo {
        fs::create_dir_all(self.cache()).unwrap();
        let mut info = self.info(vec![uri]);
        info.cache_directory = Some(self.cache().to_str().unwrap().to_owned());
        info.items[0].action = action as i32;
        info.items[0].cache_filename = Some(file.to_owned());
        info
    }
}

#[test]
fn a_download_is_kept_and_then_taken_from_the_cache() {
    let bench = Bench::new();
    let (address, requests) = servers::http(|_| servers::ok("hello"));
    let from = uri(&format!("http://{address}/a"));
    messor_fetch::fetch(&bench.cached(from.clone(), Action::DownloadAndCache, "c1-a")).unwrap();
    assert_eq!(bench.read("a"), "hello");
    assert_eq!(fs::read_to_string(bench.cache().join("c1-a")).unwrap(), "hello");
    let again = Uri { output_file: Some("lib/b".into()), executable: Some(true), ..from };
    messor_fetch::fetch(&bench.cached(again, Action::RetrieveFromCache, "c1-a")).unwrap();
    assert_eq!(bench.read("lib/b"), "hello");
    assert_eq!(fs::metadata(bench.sandbox().join("lib/b")).unwrap().permissions().mode() & 0o777, 0o755);
    assert_eq!(requests.try_iter().count(), 1, "it was asked for once");
    // The cached file itself stays as it was.
    assert_eq!(fs::metadata(bench.cache().join("c1-a")).unwrap().permissions().mode() & 0o111, 0);
}

#[test]
fn archives_are_extracted_from_the_cache_by_the_name_of_the_uri() {
    let bench = Bench::new();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(4);
    header.set_mode(0o644);
    archive.append_data(&mut header, "inner", &b"text"[..]).unwrap();
    let source = bench.source("app.tar", &archive.into_inner().unwrap());
    let info = bench.cached(Uri { extract: Some(true), ..source }, Action::DownloadAndCache, "c1-app.tar");
    messor_fetch::fetch(&info).unwrap();
    assert_eq!(bench.read("inner"), "text");
    assert_eq!(fs::read_dir(bench.sandbox()).unwrap().count(), 1, "the archive stays in the cache");
    assert!(bench.cache().join("c1-app.tar").exists());
}

#[test]
fn what_is_not_in_the_cache_and_names_that_lead_out_of_it_are_errors() {
    let bench = Bench::new();
    let error = |action, file: &str| {
        let info = bench.cached(bench.source("a", b"content"), action, file);
        messor_fetch::fetch(&info).unwrap_err().to_string()
    };
    assert!(error(Action::RetrieveFromCache, "c1-a").contains("c1-a' of the cache cannot be read"));
    for name in ["../outside/precious", "", ".", "..", "a/b", "/messor-fetch-evil", "a/"] {
        let said = error(Action::DownloadAndCache, name);
        assert!(said.contains("is not a plain name"), "{name}: {said}");
    }
    std::os::unix::fs::symlink(bench.outside().join("precious"), bench.cache().join("c2-a")).unwrap();
    assert!(error(Action::RetrieveFromCache, "c2-a").contains("cannot be read"));
    let mut info = bench.cached(bench.source("a", b"content"), Action::DownloadAndCache, "c3-a");
    info.cache_directory = None;
    let said = messor_fetch::fetch(&info).unwrap_err().to_string();
    assert!(said.contains("names no cache_directory"), "{said}");
    bench.assert_outside_untouched();
}

#[test]
fn sizes_are_told_without_a_download() {
    let bench = Bench::new();
    let (address, requests) = servers::http(|path| match path {
        "/a" => b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1234\r\n\r\n".into(),
        "/unknown" => b"HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n".into(),
        _ => b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into(),
    });
    let info = bench.info(vec![
        uri(&format!("http://me:secret@{address}/a")),
        uri(&format!("http://me:secret@{address}/unknown")),
        uri(&format!("http://me:secret@{address}/none")),
        bench.source("file", b"12345"),
        uri("/no/such/file"),
        uri(bench.outside().to_str().unwrap()),
    ]);
    let sizes = messor_fetch::sizes(&info);
    assert_eq!((sizes[0].clone(), sizes[3].clone()), (Ok(1234), Ok(5)));
    let said = |place: usize| sizes[place].clone().unwrap_err();
    assert!(said(1).contains("does not say how large") && !said(1).contains("secret"), "{}", said(1));
    assert!(said(2).contains("404") && said(4).contains("cannot be read") && said(5).contains("directory"));
    assert!(requests.try_iter().all(|head| head.starts_with("HEAD ")));
}
