//! Resources as flags write them.

use messor_types::{Resources, Role, parse_resources};
use proptest::prelude::*;

use crate::resources;

#[test]
fn text_with_roles() {
    let found = resources("cpus:4;mem:1024; ports:[31000-32000, 33000-34000] ;disks(role):{a,b};");
    assert_eq!(
        found.to_string(),
        "cpus:4; mem:1024; ports:[31000-32000, 33000-34000]; disks(reservations: [(STATIC,role)]):{a, b}"
    );
    assert_eq!(resources("cpus:1;cpus:1"), resources("cpus:2"));
    assert_eq!(resources("cpus(*):1"), resources("cpus:1"));
    assert_eq!(resources("").len() + resources("cpus:0;ports:[];disks:{}").len(), 0);
    let by_default = parse_resources("cpus:1;mem(*):1", &Role::new("prod")).unwrap();
    assert_eq!(by_default, resources("cpus(prod):1;mem:1"));
}

#[test]
fn json_in_all_forms() {
    let text = r#"[
      {"name": "cpus", "type": "SCALAR", "scalar": {"value": 8}},
      {"name": "mem", "type": "SCALAR", "scalar": {"value": 512}, "role": "*"},
      {"name": "ports", "type": "RANGES", "ranges": {"range": [{"begin": 1, "end": 9}]}, "role": "ads"},
      {"name": "disk", "type": "SCALAR", "scalar": {"value": 64},
       "disk": {"source": {"type": "PATH", "path": {"root": "/mnt/data"}}},
       "reservations": [{"type": "STATIC", "role": "eng"}]}
    ]"#;
    let found = parse_resources(text, &Role::new("prod")).unwrap();
    assert_eq!(
        found.to_string(),
        "cpus(reservations: [(STATIC,prod)]):8; mem:512; ports(reservations: [(STATIC,ads)]):[1-9]; \
         disk(reservations: [(STATIC,eng)])[PATH:/mnt/data]:64"
    );
}

#[test]
fn errors_say_what_to_do() {
    let json = |inner: &str| format!(r#"[{{"name":"disk","type":"SCALAR","scalar":{{"value":1}},{inner}}}]"#);
    let cases = [
        ("cpus".to_string(), "'cpus' is no resource"),
        ("cpus:1:2".to_string(), "'cpus:1:2' is no resource"),
        (":1".to_string(), "is no resource"),
        ("cpus(r:1".to_string(), "parentheses"),
        ("cpus(r)x:1".to_string(), "parentheses"),
        ("cpus(a/../b):1".to_string(), "role of resource 'cpus'"),
        ("cpus:big".to_string(), "value of resource 'cpus'"),
        ("cpus:1;cpus:[1-2]".to_string(), "resource 'cpus' is given with different types"),
        ("[{]".to_string(), "JSON"),
        (r#"[{"name":"cpus"}]"#.to_string(), "JSON"),
        (json(r#""revocable":{}"#), "'disk' is revocable"),
        (json(r#""role":"r","reservation":{}"#), "'disk' has a DYNAMIC reservation"),
        (json(r#""role":"r","disk":{"persistence":{"id":"x"}}"#), "'disk' is a persistent volume"),
    ];
    for (text, expected) in cases {
        let error = parse_resources(&text, &Role::star()).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "\\PC{0,60}") {
        let _ = parse_resources(&text, &Role::star());
    }

    #[test]
    fn text_near_the_notation_is_answered(text in "([a-c(){}\\[\\]:;,0-9. -]|cpus|mem|ports){0,30}") {
        let parsed = parse_resources(&text, &Role::star());
        if let Ok(found) = parsed {
            prop_assert_eq!(&found + &Resources::new(), found);
        }
    }
}
