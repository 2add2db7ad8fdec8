//! Numbers as people read them.

use rideplane_core::money::Decimal;

/// `12345` as `12,345`.
pub(in crate::replay) fn number(value: u64) -> String {
    grouped(&value.to_string())
}

/// `12345.60` as `12,345.60`.
pub(in crate::replay) fn amount(value: Decimal) -> String {
    let text = value.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    match text.split_once('.') {
        Some((whole, part)) => format!("{sign}{}.{part}", grouped(whole)),
        None => format!("{sign}{}", grouped(text)),
    }
}

/// Microseconds with a unit that fits: `870 µs`, `1.24 ms`, `12.4 ms`, `3.10 s`.
pub(in crate::replay) fn micros(value: u64) -> String {
    let three = |value: f64, unit: &str| {
        let places = if value < 10.0 {
            2
        } else if value < 100.0 {
            1
        } else {
            0
        };
        format!("{value:.places$} {unit}")
    };
    match value {
        0..1_000 => format!("{value} µs"),
        1_000..1_000_000 => three(value as f64 / 1e3, "ms"),
        _ => three(value as f64 / 1e6, "s"),
    }
}

/// A share in percent: `8.6 %`; of nothing it is `-`.
pub(in crate::replay) fn share(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// `payment_declined` as `payment declined`.
pub(in crate::replay) fn words(name: &str) -> String {
    name.replace('_', " ")
}

fn grouped(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [0, 999, 1_000, 15_002, 1_234_567].map(number),
            ["0", "999", "1,000", "15,002", "1,234,567"]
        );
        assert_eq!(amount("-1234567.80".parse().unwrap()), "-1,234,567.80");
        assert_eq!(amount("500".parse().unwrap()), "500");
        let times = [7, 999, 1_000, 12_345, 123_456, 1_000_000, 61_000_000].map(micros);
        assert_eq!(times, ["7 µs", "999 µs", "1.00 ms", "12.3 ms", "123 ms", "1.00 s", "61.0 s"]);
        assert_eq!((share(1, 8), share(0, 0)), ("12.5 %".to_owned(), "-".to_owned()));
    }
}
