//! The built web page, as bytes in the program. It must not know who serves it, nor how.
//!
//! The page is written in TypeScript (webui/ at the top) and built by npm, which not every machine has: without it the
//! program is built all the same, and [`is_built`] says no.

/// One file of the page.
pub struct File {
    /// As a browser asks for it: `/index.html`, `/assets/…`.
    pub path: &'static str,
    pub content_type: &'static str,
    /// An entity tag, in quotes: another content has another one.
    pub tag: &'static str,
    pub bytes: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/files.rs"));

/// The file at a path; `/` is the page itself.
pub fn file(path: &str) -> Option<&'static File> {
    let path = if path == "/" { "/index.html" } else { path };
    FILES.iter().find(|file| file.path == path)
}

pub fn is_built() -> bool {
    file("/").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_built_is_whole() {
        let Some(page) = file("/") else {
            assert!(FILES.is_empty(), "files without a page");
            return;
        };
        let page = std::str::from_utf8(page.bytes).expect("HTML is text");
        for attribute in ["src=\"", "href=\""] {
            for link in page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()) {
                let link = format!("/{}", link.trim_start_matches("./"));
                assert!(file(&link).is_some(), "{link} is not in the program");
            }
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for path in ["", "/assets", "/assets/", "/../Cargo.toml", "index.html"] {
            assert!(file(path).is_none(), "{path}");
        }
    }
}
