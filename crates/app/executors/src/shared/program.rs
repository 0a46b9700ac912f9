//! How the executors begin and end, as programs.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use messor_flags::Program;

use super::settings::{Settings, SettingsError};
use super::with_causes;

/// What one can say to somebody.
type Say = fn(&str);

#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    #[error("cannot set up this process")]
    SetUp(#[source] io::Error),
    #[error("cannot wait for events")]
    Wait(#[source] io::Error),
}

/// Reads the flags and, by `read`, the environment, and runs an executor to its end.
pub fn execute<P: Program>(
    args: Vec<OsString>,
    say: Say,
    read: impl FnOnce(&P, Vec<(OsString, OsString)>) -> Result<Settings, SettingsError>,
    run: impl FnOnce(Settings) -> Result<bool, ProgramError>,
) -> ExitCode {
    let fail = |error: &dyn std::error::Error| {
        say(&with_causes(error));
        ExitCode::FAILURE
    };
    let words: Vec<String> = args.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let flags: P = match messor_log::flags(&words, &messor_log::Surroundings, say) {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let settings = match read(&flags, std::env::vars_os().collect()) {
        Ok(settings) => settings,
        Err(error) => return fail(&error),
    };
    drop(flags);
    match run(settings) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => fail(&error),
    }
}

/// What a machine makes its own ids of.
pub fn seed() -> Result<[u64; 2], ProgramError> {
    let mut seed = [0; 16];
    messor_linux::random(&mut seed).map_err(ProgramError::SetUp)?;
    let (high, low) = seed.split_at(8);
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number: u64, byte| number << 8 | u64::from(*byte));
    Ok([number(high), number(low)])
}
