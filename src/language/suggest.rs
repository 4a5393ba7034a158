//! Suggestions: the known names nearest to an unknown one.

/// The candidate nearest to `name`, if one is near enough to have been meant.
pub(crate) fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    ranked(name, candidates).into_iter().next()
}

/// Candidates near enough to `name` to have been meant, nearest first.
pub(crate) fn ranked<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    // A longer name is no typing error, and comparing it would be slow.
    const LONGEST: usize = 100;
    if name.is_empty() || name.len() > LONGEST {
        return Vec::new();
    }
    let wanted = name.to_lowercase();
    let length = wanted.chars().count();
    let allowed = (length / 3).clamp(1, 4);
    let mut near: Vec<(usize, &str)> = Vec::new();
    for candidate in candidates.into_iter().filter(|candidate| candidate.len() <= LONGEST) {
        let lower = candidate.to_lowercase();
        let known = lower.chars().count();
        let prefix = length.min(known) >= 3 && (lower.starts_with(&wanted) || wanted.starts_with(&lower));
        if prefix {
            near.push((length.abs_diff(known), candidate));
        } else if length.abs_diff(known) <= allowed {
            // The distance is worth its time only where the lengths allow it.
            let distance = strsim::osa_distance(&wanted, &lower);
            if distance <= allowed && distance < length.min(known) {
                near.push((distance, candidate));
            }
        }
    }
    near.sort();
    near.dedup();
    near.into_iter().map(|(_, candidate)| candidate).collect()
}

/// "did you mean `x`?", or else which names there are, in the order given.
pub(crate) fn help<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
    noun: &str,
) -> Option<String> {
    if let Some(near) = nearest(name, candidates.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    listing(candidates, noun)
}

/// List of the names, in the order given; `noun` is their plural.
pub(crate) fn listing<'a>(candidates: impl IntoIterator<Item = &'a str>, noun: &str) -> Option<String> {
    const SHOWN: usize = 20;
    let all: Vec<&str> = candidates.into_iter().collect();
    if all.is_empty() {
        return None;
    }
    let shown: Vec<String> = all.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = if all.len() > SHOWN { format!(" and {} more", all.len() - SHOWN) } else { String::new() };
    Some(format!("{noun}: {}{more}", shown.join(", ")))
}
