//! The standard library's own doors to the world, which the dependency check cannot see and which compile
//! for wasm32 as well: there they only fail when called.

use super::Finding;
use super::lengths::close;
use super::source::{File, has_word};

/// What core, ports and app do without, outside their tests.
const DOORS: [&str; 11] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime::now",
    "Instant::now",
    "RandomState",
    "println!",
    "eprintln!",
    "dbg!",
];
/// What the core does without besides: anything that outlives a call.
const GLOBALS: [&str; 4] = ["static mut ", "thread_local!", "OnceLock", "LazyLock"];

/// The findings in one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let Some((krate, path)) = file.path.split_once("/src/") else { return Vec::new() };
    let test_file = path.split('/').any(|part| part == "tests" || part.ends_with("tests.rs"));
    if test_file || !["core", "ports", "app"].contains(&krate) {
        return Vec::new();
    }
    let globals: &[&str] = if krate == "core" { &GLOBALS } else { &[] };
    let code = without_tests(&file.code.join("\n"));
    let mut findings = Vec::new();
    for (index, line) in code.lines().enumerate() {
        let line = ungrouped(line, code.lines().skip(index + 1));
        for door in DOORS.iter().chain(globals) {
            if has_word(&line, door) && !file.allows(index, "door") {
                let message = format!("`{door}` in {krate}, which takes all it needs as arguments or ports");
                findings.push(Finding::at(&file.path, index, message));
            }
        }
    }
    findings
}

/// Writes the `std::{env, fs}` of an import out, so that it reads as `std::env std::fs`.
fn ungrouped<'a>(line: &str, below: impl Iterator<Item = &'a str>) -> String {
    let mut text = line.to_owned();
    if let Some((_, group)) = line.split_once("std::{") {
        let below: String = below.take_while(|_| !group.contains(';')).take(40).collect();
        let group = format!("{group}{below}");
        let names =
            group.split(';').next().unwrap_or_default().split(|c: char| !c.is_alphanumeric() && c != '_');
        text.extend(names.flat_map(|name| [" std::", name]));
    }
    text
}

/// Blanks every item under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    const TEST: &str = "#[cfg(test)]";
    let mut out = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, item)) = rest.split_once(TEST) {
        let end = match item.find(['{', ';']) {
            Some(open) if item.as_bytes().get(open) == Some(&b'{') => close(item.as_bytes(), open) + 1,
            Some(semicolon) => semicolon + 1,
            None => item.len(),
        };
        let (cut, after) = item.split_at(end.min(item.len()));
        out.push_str(before);
        out.extend(cut.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_in_the_core_is_found_where_it_stands() {
        let file =
            File::new("core/src/time.rs", "//! Instant::now is not used.\nfn f() { Instant::now(); }\n");
        let message = "`Instant::now` in core, which takes all it needs as arguments or ports";
        assert_eq!(check(&file), [Finding::at("core/src/time.rs", 1, message)]);
    }

    #[test]
    fn every_door_is_found_in_each_pure_crate_and_in_no_other() {
        for door in DOORS {
            for krate in ["core", "ports", "app"] {
                assert_eq!(
                    check(&File::new(&format!("{krate}/src/a.rs"), door)).len(),
                    1,
                    "{door} in {krate}"
                );
            }
            assert_eq!(check(&File::new("adapters/memory/src/a.rs", door)), []);
        }
        for global in GLOBALS {
            assert_eq!(check(&File::new("core/src/a.rs", global)).len(), 1, "{global}");
            assert_eq!(check(&File::new("app/src/a.rs", global)), []);
        }
    }

    #[test]
    fn a_door_in_a_group_of_imports_is_found() {
        for text in ["use std::{fmt, fs::File};", "use std::{\n    fmt,\n    thread,\n};"] {
            assert_eq!(check(&File::new("core/src/a.rs", text)).len(), 1, "{text}");
        }
        assert_eq!(check(&File::new("core/src/a.rs", "use std::{fmt, mem};\nuse crate::thread;")), []);
    }

    #[test]
    fn tests_may_do_as_they_like_and_code_after_them_may_not() {
        let text =
            "#[cfg(test)]\nmod tests {\n    fn f() { std::fs::read(); }\n}\nfn g() { std::env::var(); }\n";
        let found: Vec<Option<usize>> =
            check(&File::new("app/src/a.rs", text)).into_iter().map(|finding| finding.line).collect();
        assert_eq!(found, [Some(5)]);
        assert_eq!(check(&File::new("app/src/a/tests.rs", "std::fs")), []);
        assert_eq!(check(&File::new("app/src/a.rs", "#[cfg(test)]\nmod tests;\nstd::fs")).len(), 1);
    }

    #[test]
    fn an_exception_is_written_down() {
        let text = "// tidy: allow-door only names the type in a signature\nuse std::net::IpAddr;\n";
        assert_eq!(check(&File::new("ports/src/a.rs", text)), []);
    }
}
