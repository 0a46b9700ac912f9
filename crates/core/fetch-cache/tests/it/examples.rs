//! What becomes of a few fetches.

use messor_fetch_cache::{Cache, Effect, EntryId, Event, FetchId, Wanted, Way};

pub fn wanted(uri: &str) -> Wanted {
    let name = uri.rsplit('/').next().unwrap_or_default().to_string();
    Wanted { uri: uri.to_string(), name, cached: true }
}

struct Bench(Cache);

impl Bench {
    fn new(capacity: u64) -> Bench {
        Bench(Cache::new(capacity))
    }

    fn handle(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.0.handle(event, &mut effects);
        effects
    }

    fn ask(&mut self, fetch: u64, uris: &[&str]) -> Vec<Effect> {
        let items = uris.iter().map(|uri| wanted(uri)).collect();
        self.handle(Event::Ask { fetch: FetchId(fetch), user: None, items, damaged: Vec::new() })
    }

    fn sized(&mut self, fetch: u64, sizes: &[(u64, u64)]) -> Vec<Effect> {
        let sizes = sizes.iter().map(|(entry, size)| (EntryId(*entry), Ok(*size))).collect();
        self.handle(Event::Sized { fetch: FetchId(fetch), sizes })
    }

    fn over(&mut self, fetch: u64, found: &[(u64, u64)]) -> Vec<Effect> {
        let found = found.iter().map(|(entry, size)| (EntryId(*entry), Ok(*size))).collect();
        self.handle(Event::Over { fetch: FetchId(fetch), outcome: Ok(()), found })
    }

    /// Brings one URI in.
    fn store(&mut self, fetch: u64, entry: u64, uri: &str, size: u64) -> Vec<Effect> {
        self.ask(fetch, &[uri]);
        let effects = self.sized(fetch, &[(entry, size)]);
        self.over(fetch, &[(entry, size)]);
        effects
    }
}

fn go(fetch: u64, ways: Vec<Way>) -> Effect {
    Effect::Go { fetch: FetchId(fetch), ways }
}

fn retrieve(file: &str) -> Way {
    Way::Retrieve { file: file.into() }
}

fn removed(file: &str) -> Effect {
    Effect::Remove { user: None, file: file.into() }
}

#[test]
fn one_downloads_and_many_wait() {
    let mut bench = Bench::new(100);
    let asked = bench.ask(1, &["http://h/a"]);
    assert_eq!(
        asked,
        [Effect::FindSizes { fetch: FetchId(1), entries: vec![(EntryId(1), "http://h/a".into())] }]
    );
    assert_eq!(bench.ask(2, &["http://h/a"]), []);
    let download = Way::Download { entry: EntryId(1), file: "c1-a".into() };
    assert_eq!(bench.sized(1, &[(1, 60)]), [go(1, vec![download])]);
    assert_eq!(bench.ask(3, &["http://h/a"]), []);
    assert_eq!(bench.0.used(), 60);
    let woken = bench.over(1, &[(1, 40)]);
    assert_eq!(woken, [go(2, vec![retrieve("c1-a")]), go(3, vec![retrieve("c1-a")])]);
    assert_eq!(bench.0.used(), 40);
    assert_eq!(bench.ask(4, &["http://h/a"]), [go(4, vec![retrieve("c1-a")])]);
}

#[test]
fn who_waits_for_a_download_that_fails_is_told_why_and_goes_directly() {
    let mut bench = Bench::new(100);
    bench.ask(1, &["a"]);
    bench.sized(1, &[(1, 10)]);
    bench.ask(2, &["a"]);
    let failed = Event::Over { fetch: FetchId(1), outcome: Err("HTTP 404".into()), found: Vec::new() };
    let because = Some("its download into the cache failed: HTTP 404".to_string());
    assert_eq!(bench.handle(failed), [removed("c1-a"), go(2, vec![Way::Direct { because }])]);
    assert_eq!((bench.0.used(), bench.0.len()), (0, 0));
}

#[test]
fn a_uri_that_is_there_twice_is_downloaded_once() {
    let mut bench = Bench::new(100);
    bench.ask(1, &["a", "a"]);
    let effects = bench.sized(1, &[(1, 10)]);
    let download = Way::Download { entry: EntryId(1), file: "c1-a".into() };
    assert_eq!(effects, [go(1, vec![download, retrieve("c1-a")])]);
}

#[test]
fn users_do_not_share() {
    let mut bench = Bench::new(100);
    bench.store(1, 1, "a", 10);
    let items = vec![wanted("a")];
    let asked =
        bench.handle(Event::Ask { fetch: FetchId(2), user: Some("joe".into()), items, damaged: vec![] });
    assert!(matches!(&asked[..], [Effect::FindSizes { .. }]), "{asked:?}");
}

#[test]
fn what_was_used_longest_ago_makes_room_and_what_is_in_use_stays() {
    let mut bench = Bench::new(100);
    bench.store(1, 1, "a", 40);
    bench.store(2, 2, "b", 40);
    // Used again, so b is the older one.
    bench.ask(3, &["a"]);
    bench.over(3, &[]);
    let effects = bench.store(4, 3, "c", 40);
    assert_eq!(effects[0], removed("c2-b"));
    // a is in use now, and c alone is not enough.
    bench.ask(5, &["a"]);
    bench.ask(6, &["d"]);
    let effects = bench.sized(6, &[(4, 90)]);
    assert!(
        matches!(&effects[..], [Effect::Go { ways, .. }] if matches!(ways[0], Way::Direct { .. })),
        "{effects:?}"
    );
    assert_eq!(bench.0.used(), 80);
    bench.over(5, &[]);
    bench.ask(7, &["d"]);
    assert_eq!(bench.sized(7, &[(5, 90)])[..2], [removed("c3-c"), removed("c1-a")]);
}

#[test]
fn what_is_larger_than_announced_or_than_the_cache_is_not_kept() {
    let mut bench = Bench::new(100);
    bench.ask(1, &["a"]);
    bench.sized(1, &[(1, 10)]);
    assert_eq!(bench.over(1, &[(1, 11)]), [removed("c1-a")]);
    bench.ask(2, &["a"]);
    let effects = bench.sized(2, &[(2, u64::MAX)]);
    assert!(matches!(&effects[..], [Effect::Go { ways, .. }] if matches!(ways[0], Way::Direct { .. })));
    bench.ask(3, &["a"]);
    assert!(matches!(&bench.sized(3, &[(3, 0)])[..], [Effect::Go { .. }]));
    assert!(bench.0.is_empty());
}

#[test]
fn a_damaged_file_is_downloaded_anew() {
    let mut bench = Bench::new(100);
    bench.store(1, 1, "a", 10);
    let stored = bench.0.stored(None, &[wanted("a")]);
    assert_eq!((stored[0].file.as_str(), stored[0].size), ("c1-a", 10));
    let ask = Event::Ask {
        fetch: FetchId(2),
        user: None,
        items: vec![wanted("a")],
        damaged: vec![stored[0].entry],
    };
    let effects = bench.handle(ask);
    assert!(matches!(&effects[..], [Effect::Remove { .. }, Effect::FindSizes { .. }]), "{effects:?}");
}

#[test]
fn a_fetch_that_nobody_wants_any_more_holds_nobody_up() {
    let mut bench = Bench::new(100);
    bench.ask(1, &["a"]);
    bench.ask(2, &["a", "b"]);
    let gone = Event::Over { fetch: FetchId(1), outcome: Err("it was destroyed".into()), found: vec![] };
    assert_eq!(bench.handle(gone), []);
    let effects = bench.sized(2, &[(2, 10)]);
    assert!(
        matches!(&effects[..], [Effect::Go { ways, .. }] if matches!(ways[0], Way::Direct { .. })),
        "{effects:?}"
    );
    // Its answer comes too late.
    assert_eq!(bench.sized(1, &[(1, 10)]), []);
    assert_eq!(bench.0.used(), 10);
}
