//! Short files, short functions.

use super::Finding;
use super::source::File;

/// A file has fewer lines than this.
const FILE: usize = 600;
/// A function has at most this many lines, from `fn` to its closing brace.
const FUNCTION: usize = 70;

/// The findings in one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !file.is_rust() || file.lines.iter().take(5).any(|line| line.contains("@generated")) {
        return findings;
    }
    let lines = file.lines.len();
    if lines >= FILE {
        findings.push(Finding::new(&file.path, format!("{lines} lines; split it below {FILE}")));
    }
    for function in functions(&file.code.join("\n")) {
        let length = function.last - function.first + 1;
        if length > FUNCTION && !file.allows(function.first, "long-fn") {
            let message = format!("fn {} has {length} lines; {FUNCTION} at most", function.name);
            findings.push(Finding::at(&file.path, function.first, message));
        }
    }
    findings
}

/// A function with a body. Lines count from 0.
#[derive(Debug, PartialEq, Eq)]
struct Function {
    name: String,
    first: usize,
    last: usize,
}

fn functions(code: &str) -> Vec<Function> {
    let bytes = code.as_bytes();
    let is_word = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_');
    let line = |at: usize| bytes.iter().take(at).filter(|byte| **byte == b'\n').count();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        if at > 0 && is_word(bytes.get(at - 1)) {
            continue;
        }
        let name: String = code
            .get(at + 3..)
            .unwrap_or_default()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if let Some(open) = body(bytes, at)
            && !name.is_empty()
        {
            found.push(Function { name, first: line(at), last: line(close(bytes, open)) });
        }
    }
    found
}

/// The `{` that opens the body; `None` for a declaration that ends in `;`.
fn body(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(at),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

/// The `}` that closes the `{` at `open`, or the end of the text.
pub(super) fn close(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0_i32;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_body(lines: usize) -> String {
        format!("/// Docs.\nfn long() {{\n{}}}\n", "    let brace = \"}\";\n".repeat(lines))
    }

    #[test]
    fn seventy_lines_pass_and_one_more_does_not() {
        assert_eq!(check(&File::new("a.rs", &with_body(68))), []);
        let findings = check(&File::new("a.rs", &with_body(69)));
        assert_eq!(findings, [Finding::at("a.rs", 1, "fn long has 71 lines; 70 at most")]);
    }

    #[test]
    fn a_written_reason_lifts_the_limit() {
        let allowed = format!("// tidy: allow-long-fn one row for each state\n{}", with_body(69));
        assert_eq!(check(&File::new("a.rs", &allowed)), []);
    }

    #[test]
    fn a_file_of_six_hundred_lines_is_too_long() {
        assert_eq!(check(&File::new("a.rs", &"//\n".repeat(599))), []);
        assert_eq!(check(&File::new("a.rs", &"//\n".repeat(600))).len(), 1);
        assert_eq!(check(&File::new("a.md", &"//\n".repeat(600))), []);
        assert_eq!(check(&File::new("a.rs", &format!("// @generated\n{}", "//\n".repeat(600)))), []);
    }

    #[test]
    fn declarations_pointers_and_defaults_are_told_apart() {
        let code = "trait T { fn a(&self) -> [u8; 4]; fn b() where X: Y {\n} }\ntype P = fn (u8);\nconst fn c<const N: usize>(x: [u8; N]) {\n\n}";
        let found: Vec<(String, usize, usize)> =
            functions(code).into_iter().map(|f| (f.name, f.first, f.last)).collect();
        assert_eq!(found, [("b".to_owned(), 0, 1), ("c".to_owned(), 3, 5)]);
    }
}
