//! Names: from the wire's to this house's, and to Rust's. Knows no descriptors.

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};

/// The word "slave" of a wire name, as this house says it; and `ACLs`, of which heck would make `AcLs`.
pub fn house(name: &str) -> String {
    name.replace("slave", "agent").replace("Slave", "Agent").replace("SLAVE", "AGENT").replace("ACLs", "Acls")
}

/// Renames the last parts of `.mesos.internal.SlaveX.Y`, but no package.
pub fn house_type(name: &str, packages: &[String]) -> String {
    let bare = name.trim_start_matches('.');
    match package_of(bare, packages) {
        Some(package) => format!(".{package}{}", house(&bare[package.len()..])),
        None => name.to_string(),
    }
}

/// The longest of `packages` that `bare` (a full name without its leading dot) lies in.
pub fn package_of<'a>(bare: &str, packages: &'a [String]) -> Option<&'a str> {
    packages
        .iter()
        .map(String::as_str)
        .filter(|package| bare.starts_with(package) && bare[package.len()..].starts_with('.'))
        .max_by_key(|package| package.len())
}

/// A Rust keyword as an identifier, the way prost-build writes it.
fn identifier(name: String) -> String {
    match name.as_str() {
        "as" | "break" | "const" | "continue" | "else" | "enum" | "false" | "fn" | "for" | "if" | "impl"
        | "in" | "let" | "loop" | "match" | "mod" | "move" | "mut" | "pub" | "ref" | "return" | "static"
        | "struct" | "trait" | "true" | "type" | "unsafe" | "use" | "where" | "while" | "dyn"
        | "abstract" | "become" | "box" | "do" | "final" | "macro" | "override" | "priv" | "typeof"
        | "unsized" | "virtual" | "yield" | "async" | "await" | "try" | "gen" => format!("r#{name}"),
        "super" | "self" | "Self" | "extern" | "crate" => format!("{name}_"),
        _ => name,
    }
}

/// A field, module or oneof, as prost-build names it.
pub fn snake(name: &str) -> String {
    identifier(name.to_snake_case())
}

/// A type or a variant, as prost-build names it.
pub fn camel(name: &str) -> String {
    identifier(name.to_upper_camel_case())
}

/// The Rust path of a type: its package, then the names it nests in.
pub fn rust_path(package: &str, nested: &[String]) -> String {
    let mut path = String::from("crate");
    for part in package.split('.') {
        path.push_str("::");
        path.push_str(&snake(part));
    }
    for (index, name) in nested.iter().enumerate() {
        path.push_str("::");
        path.push_str(&if index + 1 == nested.len() { camel(name) } else { snake(name) });
    }
    path
}

/// The module of our own generated code for a package.
pub fn module_of_package(package: &str) -> String {
    package.replace('.', "_").to_snake_case()
}

/// The static that holds the table of a type, within its package's module.
pub fn table_ident(nested: &[String]) -> String {
    nested.iter().map(|name| name.to_shouty_snake_case()).collect::<Vec<_>>().join("__")
}
