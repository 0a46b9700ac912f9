//! Tells the program of which source and when it was built: the commit and its time, so that the same source gives
//! the same binary. SOURCE_DATE_EPOCH and MESSOR_GIT_SHA win where there is no repository.

use std::process::Command;

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_string();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn main() {
    let variable = |name: &str| {
        println!("cargo:rerun-if-env-changed={name}");
        std::env::var(name).ok().filter(|value| !value.is_empty())
    };
    let sha = variable("MESSOR_GIT_SHA")
        .or_else(|| git(&["rev-parse", "HEAD"]))
        .unwrap_or_else(|| "unknown".into());
    let time = variable("SOURCE_DATE_EPOCH").or_else(|| git(&["log", "-1", "--format=%ct"]));
    let time: u64 = time.and_then(|time| time.parse().ok()).unwrap_or(0);
    let user = variable("USER").unwrap_or_else(|| "unknown".into());
    println!("cargo:rustc-env=MESSOR_GIT_SHA={sha}");
    println!("cargo:rustc-env=MESSOR_BUILD_TIME={time}");
    println!("cargo:rustc-env=MESSOR_BUILD_DATE={}", date(time));
    println!("cargo:rustc-env=MESSOR_BUILD_USER={user}");
    println!("cargo:rerun-if-changed=../../../.git/logs/HEAD");
}

/// `2020-11-24 15:38:37`, in UTC, from seconds since the Unix epoch (civil-from-days of Howard Hinnant's calendar
/// algorithms).
fn date(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", rest / 3_600, rest / 60 % 60, rest % 60)
}
