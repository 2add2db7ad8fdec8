//! Nothing unfinished, nothing switched off, nothing that works on one machine only, no `unsafe`.

use super::Finding;
use super::source::{File, has_word};

/// What no text file may hold, and why. Split, because this file is read as well.
const WORDS: [(&str, &str); 7] = [
    (concat!("todo", "!("), "unfinished code"),
    (concat!("unimplemented", "!("), "unfinished code"),
    (concat!("FIX", "ME"), "unfinished work"),
    (concat!("TO", "DO"), "unfinished work"),
    (concat!("#[", "ignore"), "a test that does not run proves nothing"),
    (concat!("/wo", "rk/"), "a path of one machine"),
    (concat!("/ro", "ot/"), "a path of one machine"),
];

/// The findings in one file.
pub(super) fn check(file: &File) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in file.lines.iter().enumerate() {
        for (word, why) in WORDS {
            if has_word(line, word) {
                findings.push(Finding::at(&file.path, index, format!("`{word}`: {why}")));
            }
        }
    }
    if !file.path.starts_with("bindings/") {
        for (index, line) in file.code.iter().enumerate() {
            if has_word(line, concat!("un", "safe")) {
                let message = "unsafe code; only a binding may need it";
                findings.push(Finding::at(&file.path, index, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_in_code_and_in_prose() {
        for (word, _) in WORDS {
            for path in ["core/src/lib.rs", "README.md", ".ci/run"] {
                assert_eq!(
                    check(&File::new(path, &format!("x\n// {word} y\n"))).len(),
                    1,
                    "{word} in {path}"
                );
            }
        }
    }

    #[test]
    fn a_part_of_a_longer_name_is_not_meant() {
        for text in ["TODOS", "a_TODO_b", "/workspace/", "network/", "/rooted", "not_todo!(x)"] {
            assert_eq!(check(&File::new("a.md", text)), [], "{text}");
        }
    }

    #[test]
    fn unsafe_is_for_bindings_only_and_words_about_it_are_free() {
        let text = concat!(
            "// un",
            "safe is not used\n#![forbid(un",
            "safe_code)]\nfn f() { un",
            "safe { g() } }\n"
        );
        let findings = check(&File::new("core/src/lib.rs", text));
        assert_eq!(findings, [Finding::at("core/src/lib.rs", 2, "unsafe code; only a binding may need it")]);
        assert_eq!(check(&File::new("bindings/python/src/lib.rs", text)), []);
    }
}
