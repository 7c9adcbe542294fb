//! Paths of included files, worked out on their text as the reference does: messages show the result.

/// The directory part of a file name; `.` when there is none.
pub(super) fn parent(file: &str) -> &str {
    match file.rfind('/') {
        Some(0) => "/",
        Some(slash) => file.get(..slash).unwrap_or_default(),
        None => ".",
    }
}

/// `directory/path` without `.` and `..` steps. An absolute `path` is taken as relative.
pub(super) fn join(directory: &str, path: &str) -> String {
    let rooted = directory.starts_with('/');
    let mut steps: Vec<&str> = Vec::new();
    for step in directory.split('/').chain(path.split('/')) {
        match step {
            "" | "." => {}
            ".." if steps.last().is_some_and(|last| *last != "..") => {
                steps.pop();
            }
            ".." if rooted => {}
            _ => steps.push(step),
        }
    }
    match (rooted, steps.join("/")) {
        (true, steps) => format!("/{steps}"),
        (false, steps) if steps.is_empty() => ".".to_owned(),
        (false, steps) => steps,
    }
}
