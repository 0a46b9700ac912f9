//! Tokens of JSON, where the whole reader does not show them.

use crate::private::scan::{Number, plain_length};
use proptest::prelude::*;

#[test]
fn numbers() {
    assert_eq!(Number::parse("-12"), Some(Number::Signed(-12)));
    assert_eq!(Number::parse("0012"), Some(Number::Signed(12)));
    assert_eq!(Number::parse("18446744073709551615"), Some(Number::Unsigned(u64::MAX)));
    assert_eq!(Number::parse("18446744073709551616"), Some(Number::Double(18446744073709551616.0)));
    assert_eq!(Number::parse("1."), Some(Number::Double(1.0)));
    assert_eq!(Number::parse("1e-2"), Some(Number::Double(0.01)));
    for bad in ["", "-", "+1", ".5", "1e400", "1-2", "e", "inf", "nan", "1e", "0x1"] {
        assert_eq!(Number::parse(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn plain_length_is_that_of_the_simple_search(text in "[ -~\"\\\\\u{0}-\u{2f}é\u{7f}]{0,40}") {
        let simple = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
        let expected = text.bytes().position(|byte| simple(&byte)).unwrap_or(text.len());
        prop_assert_eq!(plain_length(text.as_bytes()), expected);
    }
}
