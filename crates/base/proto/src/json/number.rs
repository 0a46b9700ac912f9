//! How Mesos prints floating-point numbers: the shortest digits that read back the same, in plain form up to
//! 21 digits before the point and down to a millionth, with `.0` behind whole numbers, else with an exponent.

use std::io::Write;

/// Prints `value`. JSON has no words for the others: an infinity is the string that the reader takes for it,
/// and what is no number at all is `null`. (Mesos prints them bare, which no parser reads.)
pub fn double(out: &mut Vec<u8>, value: f64) {
    if !value.is_finite() {
        let word: &[u8] = match value {
            f64::INFINITY => b"\"Infinity\"",
            f64::NEG_INFINITY => b"\"-Infinity\"",
            _ => b"null",
        };
        out.extend_from_slice(word);
        return;
    }
    if value.is_sign_negative() {
        out.push(b'-');
    }
    let value = value.abs();
    if !short(out, value) {
        shortest(out, value);
    }
}

/// The common cases without a search for digits: up to six decimals, as sizes, shares and times have them.
/// Exact: decimals of six places are further apart than doubles below 2^52 millionths are, so that the one
/// which divides back to `value` is the only one.
fn short(out: &mut Vec<u8>, value: f64) -> bool {
    const LIMIT: f64 = 4.0e9;
    if value >= LIMIT {
        return false;
    }
    let mut buffer = itoa::Buffer::new();
    let whole = value as u64;
    if whole as f64 == value {
        out.extend_from_slice(buffer.format(whole).as_bytes());
        out.extend_from_slice(b".0");
        return true;
    }
    let millionths = (value * 1e6).round();
    if millionths / 1e6 != value {
        return false;
    }
    let millionths = millionths as u64;
    out.extend_from_slice(buffer.format(millionths / 1_000_000).as_bytes());
    out.push(b'.');
    let mut digits = [0_u8; 6];
    let mut rest = millionths % 1_000_000;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let length = digits.iter().rposition(|digit| *digit != b'0').map_or(1, |last| last + 1);
    out.extend_from_slice(&digits[..length]);
    true
}

pub fn shortest(out: &mut Vec<u8>, value: f64) {
    // "1.2345e-7": the digits and the exponent of the first of them.
    let mut text = [0_u8; 40];
    let mut rest = &mut text[..];
    // 17 digits, a point and an exponent fit well; were they cut off, the number would read as zero.
    let _ = write!(rest, "{value:e}");
    let left = rest.len();
    let text = &text[..text.len() - left];
    let split = text.iter().position(|byte| *byte == b'e').unwrap_or(text.len());
    let exponent: i32 = std::str::from_utf8(&text[split..])
        .ok()
        .and_then(|exponent| exponent.trim_start_matches('e').parse().ok())
        .unwrap_or(0);
    let mut digits = [0_u8; 20];
    let mut length = 0;
    for byte in text[..split].iter().filter(|byte| byte.is_ascii_digit()) {
        digits[length] = *byte;
        length += 1;
    }
    let digits = &digits[..length];
    // The place of the point: `point` digits stand before it.
    let point = exponent + 1;
    if point > 0 && point <= 21 {
        let point = point as usize;
        if length <= point {
            out.extend_from_slice(digits);
            out.resize(out.len() + point - length, b'0');
            out.extend_from_slice(b".0");
        } else {
            out.extend_from_slice(&digits[..point]);
            out.push(b'.');
            out.extend_from_slice(&digits[point..]);
        }
    } else if point > -6 && point <= 0 {
        out.extend_from_slice(b"0.");
        out.resize(out.len() + point.unsigned_abs() as usize, b'0');
        out.extend_from_slice(digits);
    } else {
        out.push(digits[0]);
        if length > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.push(b'e');
        out.extend_from_slice(itoa::Buffer::new().format(exponent).as_bytes());
    }
}
