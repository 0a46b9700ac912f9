//! Messages as they lie in the bytes.

use messor_proto::mesos::MachineId;
use messor_proto::{Wire, raw};

#[test]
fn unknown_fields_are_found() {
    let known = MachineId { hostname: Some("h".into()), ip: None }.encode_bytes();
    let mut bytes = known.clone();
    raw::put(&mut bytes, 77, b"new");
    let strange = bytes[known.len()..].to_vec();
    assert_eq!(MachineId::unknown_fields(&bytes), strange);
    assert_eq!(MachineId::unknown_fields(&known), Vec::<u8>::new());
    let all: Vec<_> = raw::fields(&bytes).map(|field| field.unwrap()).collect();
    assert_eq!((all[0].number, all[0].chunk), (1, Some(&b"h"[..])));
    assert_eq!((all[1].number, all[1].chunk, all[1].bytes), (77, Some(&b"new"[..]), &strange[..]));
    assert!(raw::fields(&bytes[..bytes.len() - 1]).last().unwrap().is_err());
}
