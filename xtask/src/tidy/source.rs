//! The files of the tree, and Rust source with everything blanked that is not code.

use std::path::Path;

use anyhow::{Context, Result};

/// What introduces a written exception.
const ALLOW: &str = "// tidy: allow-";
/// Folders that are built, fetched or written at run time.
const SKIPPED: [&str; 5] = ["target", "node_modules", "__pycache__", "rideplane-data", "rideplane-report"];
/// The text files whose words are checked.
const TEXTS: [&str; 16] = [
    "rs", "toml", "md", "sh", "py", "pyi", "js", "mjs", "ts", "html", "css", "yml", "yaml", "sql", "proto",
    "snap",
];

/// A text file of the tree.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Relative to the root, with `/`.
    pub(super) path: String,
    pub(super) lines: Vec<String>,
    /// The lines of Rust code, comments and literals blanked; empty for other languages.
    pub(super) code: Vec<String>,
}

impl File {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let lines_of = |text: &str| text.lines().map(str::to_owned).collect();
        let code = if path.ends_with(".rs") { lines_of(&blank(text)) } else { Vec::new() };
        Self { path: path.to_owned(), lines: lines_of(text), code }
    }

    pub(super) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Whether the line, or the comments and attributes right above it, allow a breach of `rule` and say why.
    pub(super) fn allows(&self, index: usize, rule: &str) -> bool {
        let above = self.lines.iter().take(index).rev().take_while(|line| {
            let line = line.trim_start();
            line.starts_with("//") || line.starts_with("#[")
        });
        self.lines.get(index).into_iter().chain(above).any(|line| {
            let rest = line.split_once(ALLOW).and_then(|(_, rest)| rest.strip_prefix(rule));
            rest.is_some_and(|reason| reason.starts_with(' ') && reason.trim().len() >= 10)
        })
    }

    /// How many exceptions the file claims.
    pub(super) fn exceptions(&self) -> usize {
        self.lines.iter().filter(|line| line.trim_start().starts_with(ALLOW)).count()
    }
}

/// Reads the text files below `root`.
///
/// # Errors
/// When a folder or file cannot be read.
pub(super) fn read_tree(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    read_folder(root, root, &mut files)?;
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

fn read_folder(root: &Path, folder: &Path, files: &mut Vec<File>) -> Result<()> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        let (kind, path) = (entry.file_type()?, entry.path());
        let name = entry.file_name().to_string_lossy().into_owned();
        if kind.is_dir() && !skipped(&name) {
            read_folder(root, &path, files)?;
        } else if kind.is_file() && is_text(root, &path) {
            let bytes = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let relative = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            files.push(File::new(&relative, &String::from_utf8_lossy(&bytes)));
        }
    }
    Ok(())
}

fn skipped(name: &str) -> bool {
    let hidden = name.starts_with('.') && ![".ci", ".cargo", ".github"].contains(&name);
    hidden || name.ends_with(".data") || SKIPPED.contains(&name)
}

fn is_text(root: &Path, path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    TEXTS.contains(&extension) || path.parent() == Some(root.join(".ci").as_path())
}

/// Whether `word` stands in `line`, and not as a part of a longer name.
pub(super) fn has_word(line: &str, word: &str) -> bool {
    let in_name = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).and_then(|text| text.chars().next());
        let longer_before = in_name(word.chars().next()) && in_name(before);
        let longer_after = in_name(word.chars().next_back()) && in_name(after);
        !longer_before && !longer_after
    })
}

/// Replaces comments and the contents of literals by spaces. Line breaks stay, so line numbers do too.
pub(super) fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, keep) = token(&chars, at);
        let end = end.clamp(at + 1, chars.len());
        for c in chars.get(at..end).unwrap_or_default() {
            out.push(if keep || *c == '\n' { *c } else { ' ' });
        }
        at = end;
    }
    out
}

/// The end of the token that begins at `at`, and whether it is code.
fn token(chars: &[char], at: usize) -> (usize, bool) {
    let char_at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let in_word = at > 0 && (char_at(at - 1).is_alphanumeric() || char_at(at - 1) == '_');
    match (char_at(at), char_at(at + 1)) {
        ('/', '/') => (find(chars, at, |index| char_at(index) == '\n'), false),
        ('/', '*') => (block_comment_end(chars, at), false),
        ('"', _) => (string_end(chars, at + 1), false),
        ('r', '"' | '#') if !in_word => {
            raw_string_end(chars, at + 1).map_or((at + 1, true), |end| (end, false))
        }
        ('b' | 'c', 'r') if !in_word => {
            raw_string_end(chars, at + 2).map_or((at + 1, true), |end| (end, false))
        }
        ('\'', '\\') => (find(chars, at + 3, |index| char_at(index) == '\'') + 1, false),
        ('\'', _) if char_at(at + 2) == '\'' => (at + 3, false),
        _ => (at + 1, true),
    }
}

fn find(chars: &[char], from: usize, ends: impl Fn(usize) -> bool) -> usize {
    (from..chars.len()).find(|index| ends(*index)).unwrap_or(chars.len())
}

fn string_end(chars: &[char], from: usize) -> usize {
    let mut at = from;
    while let Some(c) = chars.get(at) {
        match c {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// `from` is at the first `#` or `"`. `None` when it is no raw string (`r#type`).
fn raw_string_end(chars: &[char], from: usize) -> Option<usize> {
    let hashes = chars.iter().skip(from).take_while(|c| **c == '#').count();
    if chars.get(from + hashes) != Some(&'"') {
        return None;
    }
    let closes = |index: usize| {
        chars.get(index) == Some(&'"')
            && chars.iter().skip(index + 1).take(hashes).filter(|c| **c == '#').count() == hashes
    };
    Some(find(chars, from + hashes + 1, closes) + 1 + hashes)
}

fn block_comment_end(chars: &[char], from: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = from;
    while at < chars.len() {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('/'), Some('*')) => (depth, at) = (depth + 1, at + 2),
            (Some('*'), Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text = "a /* b /* c */ d */ e // f\n\"g\\\"h\" i '{' j '\\'' k 'l: r#\"m\"n\"# o br\"p\" r#type b'q'\n\"r\ns\" t";
        let code = blank(text);
        let words: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(words, ["a", "e", "i", "j", "k", "'l:", "o", "r#type", "b", "t"]);
        assert_eq!(code.matches('\n').count(), text.matches('\n').count());
        assert_eq!(code.chars().count(), text.chars().count());
    }

    #[test]
    fn unfinished_literals_end_with_the_file() {
        for text in ["\"abc", "r#\"abc", "/* abc", "'\\", "'"] {
            assert_eq!(blank(text).chars().count(), text.chars().count(), "{text:?}");
        }
    }

    #[test]
    fn an_exception_needs_the_rule_and_a_reason() {
        let at = |above: &str| {
            File::new("a.rs", &format!("{above}\n#[inline]\nfn f() {{}}\n")).allows(2, "long-fn")
        };
        assert!(at("// tidy: allow-long-fn a table of all states"));
        assert!(!at("// tidy: allow-long-fn"));
        assert!(!at("// tidy: allow-long-fn why"));
        assert!(!at("// tidy: allow-unsafe a table of all states"));
        assert!(!at("// tidy: allow-long-fn a table of all states\nlet x = 1;"));
    }

    #[test]
    fn built_and_hidden_folders_are_not_read() {
        let names = ["target", ".git", "node_modules", "x.data", "src", ".ci", "snapshots"];
        assert_eq!(names.map(skipped), [true, true, true, true, false, false, false]);
    }
}
