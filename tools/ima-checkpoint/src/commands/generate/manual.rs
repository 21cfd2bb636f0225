// SPDX-License-Identifier: GPL-2.0

//! Manual pages: what the definition of the command line says, then what only a page has room for.

use crate::commands::exit::CODES;
use clap::Command;
use clap_mangen::{
    roff::{bold, roman, Roff},
    Man,
};
use std::io;

const FILES: &[(&str, &str)] = &[
    (
        "/sys/kernel/security/ima/checkpoint/",
        "The kernel's interface.",
    ),
    (
        "/var/lib/ima-checkpoint/",
        "The archive: HOST/LOG-ID/SEGMENT.",
    ),
    ("/etc/default/ima-checkpoint", "Options of the services."),
    (
        "/run/ima-checkpoint/",
        "Where ima-checkpoint-mount.service shows the full list.",
    ),
];

/// Command lines, with the name of the command first, and what each is for.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "status --json",
        "Print the state of this host's log for a program.",
    ),
    (
        "checkpoint --label before-update",
        "Seal the active segment.",
    ),
    (
        "checkpoint --quote --key 0x81010002 --nonce 5f3a",
        "Seal the active segment, and append a quote of the TPM that proves the list up to here.",
    ),
    (
        "truncate 3 --dry-run",
        "Print what would be freed if the list started with checkpoint 3.",
    ),
    (
        "archive --keep-segments 2",
        "Archive all sealed segments, then free all but the newest two in the kernel.",
    ),
    (
        "archive --keep-segments 2 --dry-run",
        "Print the steps that this would take, provided that nothing fails.",
    ),
    (
        "archive --follow --checkpoint-every 6h --keep-bytes 16M --require-ack /srv/receipts \
         --endorser /etc/ima-checkpoint/auditor.pub",
        "What a service runs: a segment is freed once somebody endorsed it on another machine.",
    ),
    (
        "archive --follow --checkpoint-every 6h --quote-key 0x81010002",
        "Seal every six hours, and put a quote of the TPM over each checkpoint into the log.",
    ),
    (
        "fsck --archive copy",
        "Check whether this copy of an archive is complete.",
    ),
    (
        "verify --live --tpm",
        "Verify the list of the running kernel against the TPM of this host.",
    ),
    (
        "verify --archive copy --quote quote --signature signature --key ak.pub --nonce 5f3a \
         --key-name 000b7c1e0f52d9a4b86337fe91c05a2d4e8b6f10c3d97a52e4180bb6639fd27a5ce1",
        "Verify an archive from another host against a quote of its TPM.",
    ),
    (
        "verify --archive copy --host web1 --trust /etc/ima-keys",
        "Verify an archive against the quotes in it, made with keys that this directory vouches for.",
    ),
    (
        "verify rest --key ak.pub --endorsement web1.endorsement --endorser auditor.pub",
        "Verify the rest of a log that somebody has verified up to a checkpoint.",
    ),
    (
        "endorse --archive copy --host web1 --key ak.pub --signing-key auditor.pem -o web1.endorsement",
        "Verify an archive, and sign that it was verified up to its newest proven checkpoint.",
    ),
    (
        "verify --pcrs pcrs binary_runtime_measurements",
        "Verify a list of any kernel against what tpm2_pcrread printed.",
    ),
    (
        "report --archive copy --host web1 --trust /etc/ima-keys --html web1.html",
        "Write a page about all boots of a host, for an auditor.",
    ),
    (
        "inspect --json archive/host/*/0000000003.zst",
        "Print the records of an archived segment for a program.",
    ),
    (
        "cat --bank sha256 --ascii",
        "Write the full list as text, with SHA-256 template digests.",
    ),
    (
        "cat report.txt",
        "Convert a list in ASCII to the binary list.",
    ),
    (
        "mount --allow-other /run/ima-checkpoint",
        "Show the full list as files for an attestation agent.",
    ),
];

/// A page.
pub(super) struct Page {
    /// Its file name.
    pub(super) file: String,
    /// The page in roff.
    pub(super) text: Vec<u8>,
}

/// The page of the program and of each of its commands.
pub(super) fn pages(program: Command) -> Vec<Page> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let visible = |command: &&Command| !command.is_hide_set();
    let commands: Vec<_> = program.get_subcommands().filter(visible).collect();
    let names: Vec<_> = commands.iter().map(|command| page_name(command)).collect();
    let page_of = |command: &&Command| page(command, &program, &names);
    let mut pages: Vec<_> = commands.iter().map(page_of).collect();
    pages.push(page(&program, &program, &names));
    pages
}

fn page_name(command: &Command) -> String {
    command
        .get_display_name()
        .unwrap_or(command.get_name())
        .to_owned()
}

fn page(command: &Command, program: &Command, names: &[String]) -> Page {
    let mut text = Vec::new();
    // writing to memory cannot fail
    let _ = render(command, program, names, &mut text);
    Page {
        file: format!("{}.1", page_name(command)),
        text,
    }
}

fn render(
    command: &Command,
    program: &Command,
    names: &[String],
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let version = program.get_version().unwrap_or_default();
    let man = Man::new(command.clone())
        // roff takes the next word for the date if there is none at all
        .date("\"\"")
        .source(format!("{} {version}", program.get_name()))
        .manual("IMA checkpoints");
    man.render_title(out)?;
    man.render_name_section(out)?;
    synopsis(command, out)?;
    man.render_description_section(out)?;
    man.render_options_section(out)?;
    if command.has_subcommands() {
        man.render_subcommands_section(out)?;
    }

    let mut roff = Roff::default();
    list(&mut roff, "EXIT STATUS", exit_status());
    list(&mut roff, "FILES", FILES.iter().copied());
    examples(&mut roff, command, program);
    see_also(&mut roff, command, names);
    roff.to_writer(out)
}

/// As in the help. That of clap_mangen names every option, and no value.
fn synopsis(command: &Command, out: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let line = usage.trim_start_matches("Usage: ").to_owned();
    let mut roff = Roff::default();
    roff.control("SH", ["SYNOPSIS"]).text([roman(line)]);
    roff.to_writer(out)
}

/// Exit codes in ascending order.
fn exit_status() -> impl Iterator<Item = (String, &'static str)> {
    let mut codes = CODES.map(|(code, meaning)| (code as u8, meaning));
    codes.sort_unstable();
    codes
        .into_iter()
        .map(|(code, meaning)| (code.to_string(), meaning))
}

fn list<'a>(
    roff: &mut Roff,
    heading: &str,
    items: impl Iterator<Item = (impl Into<String>, &'a str)>,
) {
    roff.control("SH", [heading]);
    for (term, meaning) in items {
        roff.control("TP", [])
            .text([bold(term)])
            .text([roman(meaning)]);
    }
}

/// Those of the command; of the program, all.
fn examples(roff: &mut Roff, command: &Command, program: &Command) {
    let whole = command.get_name() == program.get_name();
    let belongs = |line: &str| whole || line.split(' ').next() == Some(command.get_name());
    let mut found = EXAMPLES.iter().filter(|(line, _)| belongs(line)).peekable();
    if found.peek().is_some() {
        roff.control("SH", ["EXAMPLES"]);
    }
    for (line, purpose) in found {
        roff.control("TP", []);
        roff.text([bold(format!("{} {line}", program.get_name()))])
            .text([roman(*purpose)]);
    }
}

fn see_also(roff: &mut Roff, command: &Command, names: &[String]) {
    roff.control("SH", ["SEE ALSO"]);
    let own = page_name(command);
    let others = names.iter().filter(|name| **name != own);
    let others = others.map(String::as_str).chain(["evmctl"]);
    let mut inlines = Vec::new();
    for name in others {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.extend([bold(name), roman("(1)")]);
    }
    roff.text(inlines);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::{CommandFactory, Parser};

    fn page_of(file: &str) -> String {
        let mut pages = pages(Cli::command()).into_iter();
        let page = pages.find(|page| page.file == file).expect(file);
        String::from_utf8(page.text).unwrap()
    }

    #[test]
    fn every_command_has_a_page() {
        for command in Cli::command()
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
        {
            let page = page_of(&format!("ima-checkpoint-{}.1", command.get_name()));
            for heading in [
                "NAME",
                "SYNOPSIS",
                "OPTIONS",
                "\"EXIT STATUS\"",
                "\"SEE ALSO\"",
            ] {
                assert!(
                    page.contains(&format!(".SH {heading}\n")),
                    "{}: {heading}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn what_is_hidden_has_none() {
        assert!(pages(Cli::command())
            .iter()
            .all(|page| page.file != "ima-checkpoint-generate.1"));
    }

    /// The documentation has the same codes, and no others, in the order in which they decide.
    #[test]
    fn exit_codes_are_documented() {
        let verify = include_str!("../../../../../Documentation/verify.rst");
        let (_, table) = verify.split_once("Exit codes\n").unwrap();
        let table = table.split("\n\n").nth(2).unwrap();
        let first = table.lines().filter_map(|line| line.split(' ').next());
        let documented: Vec<u8> = first.filter_map(|word| word.parse().ok()).collect();
        assert_eq!(documented, CODES.map(|(code, _)| code as u8));
    }

    /// The manual pages have all codes, in ascending order.
    #[test]
    fn exit_codes_are_in_each_page() {
        for page in pages(Cli::command()) {
            let text = String::from_utf8(page.text).unwrap();
            let (_, section) = text.split_once(".SH \"EXIT STATUS\"\n").unwrap();
            let section = section.split("\n.SH").next().unwrap();
            let terms = section.lines().filter_map(|line| line.strip_prefix("\\fB"));
            let codes: Vec<_> = terms.filter_map(|line| line.strip_suffix("\\fR")).collect();
            let all = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
            assert_eq!(codes, all, "{}", page.file);
            for (_, meaning) in CODES {
                assert!(section.contains(meaning), "{}: {meaning}", page.file);
            }
        }
    }

    #[test]
    fn examples_are_command_lines() {
        for (line, _) in EXAMPLES {
            let words = ["ima-checkpoint"].into_iter().chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
    }
}
