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

/// How many letters must be put in, taken out, changed or swapped with the next.
fn distance(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().collect();
    let right: Vec<char> = right.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut next = vec![i];
        for j in 1..=right.len() {
            let changed = row[j - 1] + usize::from(left[i - 1] != right[j - 1]);
            let mut least = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut row, next);
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
        assert_eq!(nearest("prot", known), Some("port"));
        assert_eq!(nearest("ports", known), Some("port"));
        assert_eq!(nearest("zebra", known), None);
        assert_eq!(nearest("", known), None);
    }
}
