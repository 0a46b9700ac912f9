//! The fetcher against local servers and hostile archives.

mod archives;
mod caching;
mod servers;
mod sources;

use std::fs;
use std::path::Path;

use messor_proto::mesos::command_info::Uri;
use messor_proto::mesos::fetcher::FetcherInfo;
use messor_proto::mesos::fetcher::fetcher_info::{Item, item::Action};
use tempfile::TempDir;

/// A sandbox in a directory of its own, beside which "outside" must stay as it is.
struct Bench {
    root: TempDir,
}

impl Bench {
    fn new() -> Bench {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("sandbox")).unwrap();
        fs::create_dir(root.path().join("outside")).unwrap();
        fs::write(root.path().join("outside/precious"), "precious").unwrap();
        Bench { root }
    }

    fn sandbox(&self) -> std::path::PathBuf {
        self.root.path().join("sandbox")
    }

    fn outside(&self) -> std::path::PathBuf {
        self.root.path().join("outside")
    }

    /// A file that can be fetched, with its path as the URI.
    fn source(&self, name: &str, content: &[u8]) -> Uri {
        let path = self.root.path().join(name);
        fs::write(&path, content).unwrap();
        uri(path.to_str().unwrap())
    }

    fn info(&self, uris: Vec<Uri>) -> FetcherInfo {
        let item = |uri| Item { uri, action: Action::BypassCache as i32, cache_filename: None };
        FetcherInfo {
            sandbox_directory: self.sandbox().to_str().unwrap().to_owned(),
            items: uris.into_iter().map(item).collect(),
            ..FetcherInfo::default()
        }
    }

    fn fetch(&self, uri: Uri) -> Result<(), messor_fetch::FetchError> {
        messor_fetch::fetch(&self.info(vec![uri]))
    }

    fn error(&self, uri: Uri) -> String {
        self.fetch(uri).unwrap_err().to_string()
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.sandbox().join(path)).unwrap()
    }

    /// Nothing beside the sandbox was added or changed.
    fn assert_outside_untouched(&self) {
        let names: Vec<_> = fs::read_dir(self.outside()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, ["precious"]);
        assert_eq!(fs::read_to_string(self.outside().join("precious")).unwrap(), "precious");
        assert!(!Path::new("/messor-fetch-evil").exists());
    }
}

fn uri(value: &str) -> Uri {
    Uri { value: value.to_owned(), ..Uri::default() }
}
