//! Private parts of the library that have tests. These are here, as a library with tests of its own is compiled twice, and this one
//! has thirty thousand lines of structs.

use messor_proto::JsonError;

#[path = "../../src/json/number.rs"]
pub mod number;
#[expect(dead_code, reason = "the reader, which needs the rest, is not here")]
#[path = "../../src/json/scan.rs"]
pub mod scan;
