//! The house's rules that no compiler checks: who may import whom, how long a file may get, and
//! where each exchangeable dependency lives.
#![cfg(test)]
#![expect(
    clippy::disallowed_methods,
    reason = "reads the sources of the project, not a home"
)]

use std::fs;
use std::path::{Path, PathBuf};

/// The crates of the house, each with those of the house it may know.
const CRATES: [(&str, &str, &[&str]); 8] = [
    ("codec", "selvedge-codec", &[]),
    ("engine", "selvedge-engine", &["selvedge-codec"]),
    (
        "store",
        "selvedge-store",
        &["selvedge-codec", "selvedge-engine"],
    ),
    (
        "actors",
        "selvedge-actors",
        &["selvedge-codec", "selvedge-engine", "selvedge-store"],
    ),
    (
        "",
        "selvedge",
        &[
            "selvedge-codec",
            "selvedge-engine",
            "selvedge-store",
            "selvedge-actors",
        ],
    ),
    ("cli", "selvedge-cli", &["selvedge"]),
    ("reliability", "selvedge-reliability", &["selvedge"]),
    ("benches", "selvedge-benches", &["selvedge"]),
];

/// The engine's modules, each knowing only those before it.
const ENGINE_LAYERS: [&str; 14] = [
    "error",
    "clock",
    "disk",
    "process",
    "home",
    "thread",
    "log",
    "projection",
    "needle",
    "listing",
    "paging",
    "search",
    "index",
    "store",
];

/// Words that only some files may say outside of comments and tests.
const WALLS: [(&str, &[&str]); 8] = [
    ("std::fs", &["engine/src/disk/real.rs"]),
    ("SystemTime::now", &["engine/src/clock.rs"]),
    ("redb", &["engine/src/index/"]),
    ("kameo", &["actors/src/"]),
    (
        "bincode",
        &["codec/src/envelope.rs", "engine/src/index/rows.rs"],
    ),
    ("tokio::spawn", &["actors/src/spawn.rs"]),
    ("spawn_blocking", &["actors/src/spawn.rs"]),
    ("thread::spawn", &["actors/src/io_pool.rs"]),
];

/// The longest a file may be before its tests.
const MAX_LINES: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every Rust file below `dir`, by its path below the root.
fn rust_files(dir: &str) -> Vec<String> {
    let mut files = Vec::new();
    let mut dirs = vec![root().join(dir)];
    while let Some(dir) = dirs.pop() {
        let Ok(entries) = fs::read_dir(&dir) else {
            continue;
        };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let below: PathBuf = path.strip_prefix(root()).unwrap().to_owned();
                files.push(below.to_str().unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

/// Whether a source holds tests alone, which may know all that they hold together.
fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

/// The sources of all crates, without their tests.
fn sources() -> Vec<String> {
    let sources: Vec<String> = CRATES
        .iter()
        .flat_map(|(dir, ..)| rust_files(&Path::new(dir).join("src").to_string_lossy()))
        .filter(|path| !is_test(path))
        .collect();
    assert!(sources.len() > 20, "only {} sources found", sources.len());
    sources
}

/// A file's lines before its tests.
fn code_of(path: &str) -> Vec<String> {
    read(&root().join(path))
        .lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .map(ToOwned::to_owned)
        .collect()
}

/// The line without a comment at its end or as a whole.
fn without_comment(line: &str) -> &str {
    match line.split_once("//") {
        // `https://` stands in strings.
        Some((code, _)) if !code.ends_with(':') => code,
        _ => line,
    }
}

/// Whether `word` stands in `code` as a path of its own, not as a part of a longer name.
fn says(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        // `.` before: a file name such as `index.redb`; `"` around: an error's or a file's text.
        !is_name(before) && !matches!(before, Some('.' | '"')) && !is_name(after)
    })
}

#[test]
fn a_crate_knows_only_those_below_it() {
    for (dir, name, allowed) in CRATES {
        let manifest = read(&root().join(dir).join("Cargo.toml"));
        let mut in_dependencies = false;
        let mut named = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                in_dependencies =
                    line.contains("dependencies") && !line.contains("workspace.dependencies");
            }
            named |= line == format!("name = \"{name}\"");
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if in_dependencies && dependency.starts_with("selvedge") {
                assert!(
                    allowed.contains(&dependency),
                    "{name} must not depend on {dependency}"
                );
            }
        }
        assert!(named, "{dir}/Cargo.toml is not {name}'s");
    }
    let engine = read(&root().join("engine/Cargo.toml"));
    for banned in ["tokio", "kameo"] {
        assert!(!engine.contains(banned), "the engine is free of {banned}");
    }
}

#[test]
fn an_engine_module_knows_only_those_before_it() {
    let mut seen = 0;
    for path in rust_files("engine/src") {
        if is_test(&path) {
            continue;
        }
        let below = path.strip_prefix("engine/src/").unwrap();
        let layer = below.split(['/', '.']).next().unwrap();
        let Some(place) = ENGINE_LAYERS.iter().position(|name| *name == layer) else {
            // What tests share is no layer, and knows all of them.
            let is_known = ["lib.rs", "sample_home.rs", "fuzzing.rs"].contains(&below);
            assert!(is_known, "{path} belongs to no layer");
            continue;
        };
        seen += 1;
        for later in &ENGINE_LAYERS[place + 1..] {
            for line in code_of(&path) {
                assert!(
                    !says(without_comment(&line), &format!("crate::{later}")),
                    "{path} ({layer}) must not know {later}: {line}"
                );
            }
        }
    }
    assert!(seen >= 10, "only {seen} engine files were looked at");
}

#[test]
fn the_index_never_writes_a_log() {
    for path in rust_files("engine/src/index") {
        for line in code_of(&path) {
            for word in ["ThreadLog", "WriterLock"] {
                assert!(!says(without_comment(&line), word), "{path}: {line}");
            }
        }
    }
}

#[test]
fn each_wall_is_whole() {
    for path in sources() {
        // Benchmarks and harnesses stand outside: they read the machine's own files, and harm homes.
        if path.starts_with("benches/") || path.starts_with("reliability/") {
            continue;
        }
        for line in code_of(&path) {
            let code = without_comment(&line);
            for (word, places) in WALLS {
                assert!(
                    !says(code, word) || places.iter().any(|place| path.starts_with(place)),
                    "{path} must not say {word}, only {places:?} may: {line}"
                );
            }
        }
    }
}

#[test]
fn no_public_type_is_a_dependency_s() {
    for path in sources() {
        for line in code_of(&path) {
            let code = without_comment(&line).trim_start();
            for banned in ["redb", "kameo", "bincode"] {
                assert!(
                    !(code.starts_with("pub use") || code.starts_with("pub fn"))
                        || !says(code, banned),
                    "{path} makes {banned} public: {line}"
                );
            }
        }
    }
}

#[test]
fn a_file_fits_its_subject() {
    for path in sources() {
        let lines = code_of(&path).len();
        assert!(
            lines <= MAX_LINES,
            "{path} has {lines} lines before its tests"
        );
    }
}

#[test]
fn every_exemption_carries_its_reason() {
    let mut files = sources();
    for dir in [
        "tests",
        "examples",
        "codec/tests",
        "engine/tests",
        "actors/tests",
        "cli/tests",
        "reliability/tests",
        "benches/benches",
        "fuzz/fuzz_targets",
    ] {
        files.extend(rust_files(dir));
    }
    for path in files {
        let text = read(&root().join(&path));
        for kind in ["[allow(", "[expect("] {
            for (at, _) in text.match_indices(kind) {
                // Only an attribute: this file, too, says the words in strings.
                if !text[..at].ends_with('#') && !text[..at].ends_with("#!") {
                    continue;
                }
                let attribute = text[at..].split(")]").next().unwrap_or_default();
                assert!(
                    attribute.contains("reason = "),
                    "{path}: an exemption without a reason: {attribute}"
                );
            }
        }
    }
}

#[test]
fn the_readme_s_commands_name_packages_that_exist() {
    let names: Vec<&str> = CRATES.iter().map(|(_, name, _)| *name).collect();
    let mut seen = 0;
    for document in ["README.md", "ARCHITECTURE.md", ".ci/run"] {
        let text = read(&root().join(document));
        for line in text.lines().filter(|line| line.contains("cargo ")) {
            let words: Vec<&str> = line.split([' ', '`']).collect();
            for pair in words.windows(2).filter(|pair| pair[0] == "-p") {
                seen += 1;
                assert!(names.contains(&pair[1]), "{document}: {line}");
            }
        }
    }
    assert!(seen >= 2, "the README's demo command names a package");
    let readme = read(&root().join("README.md"));
    for command in ["cargo run --release -p selvedge-cli -- demo", "cargo test"] {
        assert!(readme.contains(command), "README.md lacks `{command}`");
    }
}

#[test]
fn the_documents_link_to_files_that_exist() {
    for document in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "SECURITY.md",
        "RELIABILITY.md",
        "codec/FORMAT.md",
        "fuzz/README.md",
    ] {
        let path = root().join(document);
        let text = read(&path);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let file = path.parent().unwrap().join(target);
            assert!(file.exists(), "{document} links to {target}");
        }
    }
}

/// A limit that is stated and not kept, or kept and stated otherwise, is worse than none.
#[test]
fn the_limits_in_the_document_on_security_are_those_of_the_code() {
    let sources: String = sources()
        .iter()
        .map(|path| read(&root().join(path)))
        .collect();
    let constants: Vec<&str> = sources
        .lines()
        .filter(|line| line.contains("const "))
        .collect();
    let text = read(&root().join("SECURITY.md"));
    let mut seen = 0;
    for limit in text.split('`').skip(1).step_by(2) {
        let Some((name, value)) = limit.split_once(" = ") else {
            continue;
        };
        seen += 1;
        let is_kept = constants.iter().any(|line| {
            line.contains(&format!("const {name}: ")) && line.ends_with(&format!("= {value};"))
        });
        assert!(is_kept, "SECURITY.md: no constant is {limit}");
    }
    assert!(seen > 15, "only {seen} limits are stated");
}

#[test]
fn the_architecture_names_files_that_exist() {
    let sources = sources();
    let text = read(&root().join("ARCHITECTURE.md"));
    let mut seen = 0;
    for name in text.split('`').skip(1).step_by(2) {
        if !name.ends_with(".rs") || name.contains(' ') {
            continue;
        }
        seen += 1;
        let is_there = sources
            .iter()
            .any(|path| path.ends_with(&format!("/{name}")))
            || root().join(name).exists();
        assert!(is_there, "ARCHITECTURE.md names {name}");
    }
    assert!(seen > 40, "only {seen} files are named");
}
