//! Lists what `npm run build` left in webui/dist/page, so that it is part of the program. Nothing there: a program
//! without the page, which says so.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::io;
use std::path::{Path, PathBuf};

fn files(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { files(&path, found)? } else { found.push(path) }
    }
    Ok(())
}

fn content_type(path: &Path) -> Option<&'static str> {
    Some(match path.extension()?.to_str()? {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "woff2" => "font/woff2",
        "txt" => "text/plain; charset=utf-8",
        _ => return None,
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../../webui/dist");
    println!("cargo:rerun-if-changed={}", folder.display());
    let page = folder.join("page");
    let mut found = Vec::new();
    if page.is_dir() {
        files(&page.canonicalize()?, &mut found)?;
        found.sort();
    }
    let page = page.canonicalize().unwrap_or(page);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut list = String::from("pub static FILES: &[File] = &[\n");
    for (number, path) in found.into_iter().enumerate() {
        let name = path.strip_prefix(&page)?.to_str().ok_or("a file's name is not UTF-8")?;
        let content_type =
            content_type(&path).ok_or_else(|| format!("webui/dist/page/{name}: of no known type"))?;
        let mut hash = DefaultHasher::new();
        let bytes = std::fs::read(&path)?;
        hash.write(&bytes);
        // The compiler comes later; the page may be built anew meanwhile.
        let copy = out.join(format!("page-{number}"));
        std::fs::write(&copy, bytes)?;
        let tag = format!("\"{:016x}\"", hash.finish());
        writeln!(
            list,
            "    File {{ path: {:?}, content_type: {content_type:?}, tag: {tag:?}, bytes: include_bytes!({copy:?}) }},",
            format!("/{name}")
        )?;
    }
    list.push_str("];\n");
    std::fs::write(out.join("files.rs"), list)?;
    Ok(())
}
