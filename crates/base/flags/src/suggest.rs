//! The name that somebody probably meant.

/// The known name that is nearest to `name`, if it is near enough to be a slip of the hand.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer input is no slip, and the work below grows with it.
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let plain = name.replace('-', "_");
    let limit = (plain.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|known| (distance(&plain, &known.replace('-', "_")), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// How many letters must be put in, taken out or changed.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, l) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, r) in right.iter().enumerate() {
            let changed = diagonal + usize::from(l != *r);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_seen_and_other_words_are_not() {
        let known = ["work_dir", "port", "hostname"];
        assert_eq!(nearest("work-dir", known), Some("work_dir"));
        assert_eq!(nearest("workdir", known), Some("work_dir"));
        assert_eq!(nearest("prot", known), None);
        assert_eq!(nearest("ports", known), Some("port"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("", known), None);
    }
}
