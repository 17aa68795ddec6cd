//! Times on the command line.

/// Milliseconds since 1970 of `2026-01-31T12:00:00Z`, with an offset such as `+01:00` instead of
/// the `Z`, with or without a fraction of the second; or of `@` and the number itself.
pub(super) fn parse(text: &str) -> Result<i64, String> {
    let wrong = || "give a time as 2026-01-31T12:00:00Z, or @ and ms since 1970".to_owned();
    if let Some(number) = text.strip_prefix('@') {
        return number.parse().ok().filter(|&ms: &i64| ms >= 0).ok_or_else(wrong);
    }
    parse_date(text).filter(|&ms| ms >= 0).ok_or_else(wrong)
}

fn parse_date(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let [year, month, day] = numbers(date, '-')?;
    let (time, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = time.rfind(['+', '-'])?;
            let [hours, minutes] = numbers(&time[at + 1..], ':')?;
            let minutes = in_range(hours, 0, 23)? * 60 + in_range(minutes, 0, 59)?;
            (&time[..at], if time[at..].starts_with('-') { -minutes } else { minutes })
        }
    };
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let [hour, minute, second] = numbers(time, ':')?;
    let is_fraction =
        (1..=9).contains(&fraction.len()) && fraction.bytes().all(|b| b.is_ascii_digit());
    let millis: i64 = is_fraction.then(|| format!("{fraction:0<3}")[..3].parse().ok())??;
    let (year, month) = (in_range(year, 1970, 9999)?, in_range(month, 1, 12)?);
    let day = in_range(day, 1, days_in(year, month))?;
    let seconds = in_range(hour, 0, 23)? * 3600 + in_range(minute, 0, 59)? * 60;
    let seconds = seconds + in_range(second, 0, 59)? - offset * 60;
    let days = days_before(year) + (1..month).map(|m| days_in(year, m)).sum::<i64>() + day - 1;
    Some((days * 86_400 + seconds) * 1000 + millis)
}

/// Milliseconds since 1970 of a date as HTTP writes it: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn parse_http(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_weekday, date) = text.split_once(", ")?;
    let parts: Vec<_> = date.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = 1 + MONTHS.iter().position(|name| *name == month)?;
    parse_date(&format!("{year}-{month}-{day}T{time}Z"))
}

/// Numbers of digits only, between separators.
fn numbers<const N: usize>(text: &str, separator: char) -> Option<[i64; N]> {
    let parts: Vec<i64> = text
        .split(separator)
        .map(|part| part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?)
        .collect::<Option<_>>()?;
    parts.try_into().ok()
}

fn in_range(value: i64, first: i64, last: i64) -> Option<i64> {
    (first..=last).contains(&value).then_some(value)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970 to the beginning of a year.
fn days_before(year: i64) -> i64 {
    let leap_days = |year: i64| year / 4 - year / 100 + year / 400;
    (year - 1970) * 365 + leap_days(year - 1) - leap_days(1969)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_http() {
        assert_eq!(parse_http("Sun, 09 Sep 2001 01:46:40 GMT"), Some(1_000_000_000_000));
        for bad in ["", "Sun, ", "Sun, 09 Sep 2001 01:46:40", "Sun, 09 Foo 2001 01:46:40 GMT"] {
            assert_eq!(parse_http(bad), None, "{bad}");
        }
    }

    #[test]
    fn times_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T00:00:00Z", 951_782_400_000),
            ("2001-09-09T01:46:40Z", 1_000_000_000_000),
            ("2001-09-09T03:46:40.5+02:00", 1_000_000_000_500),
            ("2001-09-08 20:16:40.1234-05:30", 1_000_000_000_123),
            ("@17", 17),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "yesterday",
            "2001-09-09",
            "2001-02-29T00:00:00Z",
            "2001-13-01T00:00:00Z",
            "2001-09-09T24:00:00Z",
            "2001-09-09T01:46:40",
            "2001-09-09T01:46:40+9",
            "@-1",
            "@",
            "1970-01-01T00:00:00+01:00",
            "2001-09-09T01:46:40.Z",
            "2001-09-09T01:+6:40Z",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
