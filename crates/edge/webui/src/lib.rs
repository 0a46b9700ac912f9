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
        let links = ["src=\"", "href=\""].into_iter().flat_map(|attribute| page.split(attribute).skip(1));
        let links: Vec<&str> = links.filter_map(|rest| rest.split('"').next()).collect();
        assert!(links.iter().any(|link| link.ends_with(".js")), "a page without a script: {links:?}");
        // The others are endpoints, for those who have no JavaScript.
        for link in links.into_iter().filter(|link| link.starts_with("/assets/") || link.contains('.')) {
            assert!(file(link).is_some(), "{link} is not in the program");
        }
    }

    #[test]
    fn nothing_else_is_found() {
        for path in ["", "/assets", "/assets/", "/../Cargo.toml", "index.html"] {
            assert!(file(path).is_none(), "{path}");
        }
    }
}
