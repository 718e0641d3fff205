//! Completions and manual pages, which need no home.
#![cfg(test)]

mod common;

use std::process::{Command, Stdio};

use common::run;

/// The verbs that the help names.
fn verbs() -> Vec<String> {
    let help = run(&["--help"]).ok().stdout;
    let commands = help.split("Commands:").nth(1).unwrap();
    let commands = commands.split("Options:").next().unwrap();
    let lines = commands.lines();
    lines
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_shell_s_completions_name_every_verb_and_no_hidden_one() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&["completions", shell]).ok().stdout;
        for verb in verbs() {
            assert!(script.contains(&verb), "{shell}: {verb}");
        }
        assert!(script.contains("include-empty"), "{shell}");
        assert!(!script.contains("demo-writer"), "{shell}");
    }
    run(&["completions"]).fails(2, "--help");
    run(&["completions", "tcsh"]).fails(2, "bash");
}

#[test]
fn bash_completes_a_verb_and_its_flags() {
    let script = run(&["completions", "bash"]).ok().stdout;
    for (typed, expected) in [("hist", "history"), ("--ho", "--home")] {
        let ask = format!(
            "{script}\nCOMP_WORDS=(selvedge {typed}); COMP_CWORD=1; _selvedge selvedge {typed} \
             selvedge\necho \"${{COMPREPLY[@]}}\""
        );
        let answer = Command::new("bash").arg("-c").arg(ask).output();
        // A machine without bash has nothing to ask.
        let Ok(answer) = answer else { return };
        assert_eq!(String::from_utf8(answer.stdout).unwrap().trim(), expected);
    }
}

#[test]
fn the_command_and_every_verb_have_a_manual_page() {
    let page = run(&["man"]).ok().stdout;
    assert!(page.contains(".TH selvedge 1") && page.contains(".SH SUBCOMMANDS"));
    assert!(!page.contains("writer"));
    for verb in verbs() {
        assert!(page.contains(&format!("selvedge\\-{verb}(1)")), "{verb}");
        let page = run(&["man", &verb]).ok().stdout;
        assert!(page.contains(&format!(".TH selvedge-{verb} 1")), "{page}");
        assert!(page.contains(&format!("\\fBselvedge {verb}\\fR")), "{page}");
    }
    for verb in ["nope", "demo-writer", ""] {
        run(&["man", verb]).fails(2, "--help");
    }
}

#[test]
fn groff_reads_a_manual_page_without_complaint() {
    let page = run(&["man", "list"]).ok().stdout;
    let child = Command::new("groff")
        .args(["-man", "-Tutf8", "-ww"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    // A machine without groff has nobody to ask.
    let Ok(mut child) = child else { return };
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), page.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert!(
        String::from_utf8(output.stdout)
            .unwrap()
            .contains("backwards_cursor")
    );
}
