//! How numbers are printed: the cases, and laws.

use crate::private::number::{double, shortest};
use proptest::prelude::*;

fn print(value: f64) -> String {
    let mut out = Vec::new();
    double(&mut out, value);
    String::from_utf8(out).expect("digits are ASCII")
}

#[test]
fn prints_as_mesos_does() {
    let cases: [(f64, &str); 23] = [
        (0.0, "0.0"),
        (-0.0, "-0.0"),
        (1024.0, "1024.0"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (0.25, "0.25"),
        (1606232317.0, "1606232317.0"),
        (1606232317.123456, "1606232317.123456"),
        (1e16, "10000000000000000.0"),
        (1e20, "100000000000000000000.0"),
        (1e21, "1e21"),
        (1.5e21, "1.5e21"),
        (123456789012345680000.0, "123456789012345680000.0"),
        (1e-6, "0.000001"),
        (1.5e-6, "0.0000015"),
        (1e-7, "1e-7"),
        (1.25e-10, "1.25e-10"),
        (f64::MAX, "1.7976931348623157e308"),
        (5e-324, "5e-324"),
        (0.30000000000000004, "0.30000000000000004"),
        (9007199254740993.0, "9007199254740992.0"),
        (f64::NAN, "null"),
        (f64::NEG_INFINITY, "\"-Infinity\""),
    ];
    for (value, text) in cases {
        assert_eq!(print(value), text);
    }
}

proptest! {
    #[test]
    fn reads_back_the_same(value in any::<f64>().prop_filter("finite", |value| value.is_finite())) {
        prop_assert_eq!(print(value).parse::<f64>().expect("a number").to_bits(), value.to_bits());
    }

    #[test]
    fn decimals_print_shortest(millionths in 0_u64..4_000_000_000_000_000) {
        let value = millionths as f64 / 1e6;
        let mut whole = Vec::new();
        shortest(&mut whole, value);
        prop_assert_eq!(print(value), String::from_utf8(whole).expect("digits are ASCII"));
    }
}
