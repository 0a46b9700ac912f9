//! What processes cost: CPU time and memory, as the kernel tells them, and who was the limit meanwhile.

use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The unit of times in /proc: the same on every architecture that Messor is built for.
const TICK: Duration = Duration::from_millis(10);
/// Who uses more than so much of a core may be what all wait for: one thread can do no more than a whole one.
const BUSY_CORES: f64 = 0.8;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    pub anonymous_bytes: u64,
    pub resident_bytes: u64,
}

fn file(pid: u32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn read(path: PathBuf) -> Result<String, String> {
    std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Time on processors, of all threads that are and were.
pub fn cpu(pid: u32) -> Result<Duration, String> {
    let text = read(file(pid, "stat"))?;
    parse_cpu(&text).ok_or_else(|| format!("/proc/{pid}/stat is not understood"))
}

fn cpu_of_all(pids: &[u32]) -> Result<Duration, String> {
    pids.iter().map(|pid| cpu(*pid)).sum()
}

fn parse_cpu(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may hold anything.
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

pub fn memory(pid: u32) -> Result<Memory, String> {
    parse_memory(&read(file(pid, "smaps_rollup"))?)
        .ok_or_else(|| format!("/proc/{pid}/smaps_rollup is not understood"))
}

fn parse_memory(text: &str) -> Option<Memory> {
    let of = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    };
    Some(Memory { anonymous_bytes: of("Anonymous:")?, resident_bytes: of("Rss:")? })
}

/// How many there are, and of which kind.
pub fn processors() -> (usize, String) {
    let cpu = read(PathBuf::from("/proc/cpuinfo")).unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let model = model.map_or("an unknown processor", |(_, model)| model.trim());
    (std::thread::available_parallelism().map_or(0, usize::from), model.to_string())
}

fn first_word(path: &str) -> String {
    let text = read(PathBuf::from(path)).unwrap_or_default();
    text.split_whitespace().next().unwrap_or("?").to_string()
}

pub fn kernel() -> String {
    first_word("/proc/sys/kernel/osrelease")
}

/// Of the last minute.
pub fn load() -> String {
    first_word("/proc/loadavg")
}

/// What these processes use while nothing is asked of them.
pub fn at_rest(pids: &[u32], stretch: Duration) -> Result<Span, String> {
    let meter = Meter::of(pids)?;
    // A stretch of time is what is measured here; nothing is waited for.
    std::thread::sleep(stretch);
    meter.stop()
}

/// What all processors did, and did not, in ticks.
fn machine() -> Result<(Duration, Duration), String> {
    let text = read(PathBuf::from("/proc/stat"))?;
    let numbers: Vec<u32> = text
        .lines()
        .next()
        .into_iter()
        .flat_map(str::split_whitespace)
        .filter_map(|word| word.parse().ok())
        .collect();
    if numbers.len() < 8 {
        return Err("/proc/stat is not understood".to_string());
    }
    let idle = numbers[3] + numbers[4];
    Ok((TICK * (numbers[..8].iter().sum::<u32>() - idle), TICK * idle))
}

/// A stretch of time, and what was used in it.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub wall: Duration,
    /// Of the master, and of its real agent where there is one.
    pub master: Duration,
    pub bench: Duration,
    pub others: Duration,
    pub idle: Duration,
}

pub struct Meter {
    pids: Vec<u32>,
    start: Instant,
    master: Duration,
    bench: Duration,
    busy: Duration,
    idle: Duration,
}

impl Meter {
    /// Of a master alone.
    pub fn start(pid: u32) -> Result<Meter, String> {
        Meter::of(&[pid])
    }

    /// Of a master and its agent, or what else is measured together.
    pub fn of(pids: &[u32]) -> Result<Meter, String> {
        let (busy, idle) = machine()?;
        let (master, bench) = (cpu_of_all(pids)?, cpu(std::process::id())?);
        Ok(Meter { pids: pids.to_vec(), start: Instant::now(), master, bench, busy, idle })
    }

    pub fn stop(&self) -> Result<Span, String> {
        let wall = self.start.elapsed();
        let master = cpu_of_all(&self.pids)?.saturating_sub(self.master);
        let bench = cpu(std::process::id())?.saturating_sub(self.bench);
        let (busy, idle) = machine()?;
        let others = busy.saturating_sub(self.busy).saturating_sub(master + bench);
        Ok(Span { wall, master, bench, others, idle: idle.saturating_sub(self.idle) })
    }
}

impl Span {
    fn cores(&self, of: Duration) -> f64 {
        of.as_secs_f64() / self.wall.as_secs_f64().max(1e-9)
    }

    /// Milliseconds of CPU that the master used in a second.
    pub fn master_rate(&self) -> f64 {
        self.master_cores() * 1e3
    }

    pub fn master_cores(&self) -> f64 {
        self.cores(self.master)
    }

    pub fn bench_cores(&self) -> f64 {
        self.cores(self.bench)
    }

    pub fn others_cores(&self) -> f64 {
        self.cores(self.others)
    }

    /// Who kept it from being quicker, as far as processor time can tell.
    pub fn limit(&self) -> &'static str {
        let (master, bench, others) = (self.master_cores(), self.bench_cores(), self.others_cores());
        let full = self.cores(self.idle) < 0.1;
        if full && others > 0.5 {
            "other processes"
        } else if master > BUSY_CORES && bench > BUSY_CORES {
            "master and bench"
        } else if bench > master && (full || bench > BUSY_CORES) {
            "bench"
        } else if full || master > BUSY_CORES {
            "master"
        } else {
            "waiting"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_kernel() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 0 0 0 150 27 0 0 20 0 1 0 100 200 300";
        assert_eq!(parse_cpu(stat), Some(Duration::from_millis(1770)));
        let rollup = "5500-7ff [rollup]\nRss:  1234 kB\nPss: 99 kB\nAnonymous:   56 kB\n";
        let memory = Memory { anonymous_bytes: 56 * 1024, resident_bytes: 1234 * 1024 };
        assert_eq!(parse_memory(rollup), Some(memory));
        assert_eq!(parse_memory("Rss: 1 kB"), None);
        assert!(super::memory(std::process::id()).unwrap().anonymous_bytes > 0);
        assert!(cpu(std::process::id()).is_ok() && machine().is_ok());
    }

    #[test]
    fn machines() {
        assert!(processors().0 > 0 && kernel().contains('.') && load().contains('.'));
        let used = at_rest(&[std::process::id()], Duration::from_millis(1)).unwrap();
        assert!(used.wall >= Duration::from_millis(1) && used.master_rate() >= 0.0);
        assert!(at_rest(&[u32::MAX], Duration::ZERO).is_err());
    }

    #[test]
    fn limits() {
        let span = |master, bench, others, idle| {
            let time = Duration::from_millis;
            let wall = time(1000);
            Span { wall, master: time(master), bench: time(bench), others: time(others), idle: time(idle) }
        };
        assert_eq!(span(900, 300, 0, 800).limit(), "master");
        assert_eq!(span(300, 900, 0, 800).limit(), "bench");
        assert_eq!(span(1100, 850, 50, 0).limit(), "master and bench");
        assert_eq!(span(850, 1100, 50, 0).limit(), "master and bench");
        assert_eq!(span(500, 400, 1100, 0).limit(), "other processes");
        assert_eq!(span(10, 20, 0, 1900).limit(), "waiting");
    }
}
