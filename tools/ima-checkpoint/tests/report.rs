// SPDX-License-Identifier: GPL-2.0

//! `report`: the page has nothing in it but what the program wrote, whatever lists say.

#[path = "../../ima-log/tests/common/mod.rs"]
mod common;

use common::{Host, PCR};
use ima_checkpoint::bank::Bank;
use ima_checkpoint_format::ByteOrder;
use scraper::{ElementRef, Html, Selector};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fs,
    process::{Command, Output},
};
use tempfile::TempDir;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const EVIL: &str =
    "</td></table><script>alert(1)</script><img src=x onerror='alert(2)'>\"&amp;{{1}}";
const PLAIN: &str = "a-name-that-is-as-harmless-as-can-be";

/// A list in which each text that comes from outside is this one.
fn host(text: &str) -> Result<Host> {
    let mut host = Host::new(ByteOrder::Little, &[Bank::Sha1, Bank::Sha256]);
    host.file(b"boot_aggregate", b"PCRs");
    host.file(text.as_bytes(), b"");
    host.violation(text.as_bytes());
    let label: String = text.chars().take(64).collect();
    host.checkpoint(&label)?;
    host.checkpoint("")?;
    Ok(host)
}

struct Folder(TempDir);

impl Folder {
    fn new(host: &Host, name: &str) -> Result<Self> {
        let new = Self(tempfile::tempdir()?);
        fs::write(new.0.path().join(name), host.view(Bank::Sha1)?)?;
        Ok(new)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(env!("CARGO_BIN_EXE_ima-checkpoint"))
            .arg("report")
            .args(arguments)
            .current_dir(self.0.path())
            .output()?;
        Ok(output)
    }

    fn page(&self, list: &str) -> Result<(String, Html)> {
        let output = self.run(&[list, "--html", "page"])?;
        assert_eq!(output.status.code(), Some(3), "{output:?}");
        let text = fs::read_to_string(self.0.path().join("page"))?;
        let page = Html::parse_document(&text);
        Ok((text, page))
    }
}

fn select<'a>(page: &'a Html, what: &str) -> Vec<ElementRef<'a>> {
    let selector = Selector::parse(what).expect("it is a selector");
    page.select(&selector).collect()
}

/// How many elements of each name there are, and the names of all attributes.
fn shape(page: &Html) -> (BTreeMap<String, usize>, BTreeSet<String>) {
    let (mut elements, mut attributes) = (BTreeMap::new(), BTreeSet::new());
    for element in select(page, "*") {
        let value = element.value();
        *elements.entry(value.name().to_owned()).or_default() += 1;
        attributes.extend(value.attrs().map(|(name, _)| name.to_owned()));
    }
    (elements, attributes)
}

#[test]
fn no_element_comes_from_outside() -> Result {
    let folder = |text| Folder::new(&host(text)?, "list");
    let (_, plain) = folder(PLAIN)?.page("list")?;
    let (text, evil) = folder(EVIL)?.page("list")?;
    assert_eq!(shape(&plain), shape(&evil));
    let (elements, attributes) = shape(&evil);
    for name in [
        "script",
        "img",
        "link",
        "iframe",
        "object",
        "form",
        "base",
        "foreignobject",
    ] {
        assert!(!elements.contains_key(name), "{name}");
    }
    assert!(
        attributes.iter().all(|name| !name.starts_with("on")),
        "{attributes:?}"
    );
    // but it is there to be read, as it was
    let cells: Vec<String> = select(&evil, "td")
        .iter()
        .map(|cell| cell.text().collect())
        .collect();
    assert!(cells.iter().any(|cell| cell == EVIL), "{cells:?}");
    let label: String = EVIL.chars().take(64).collect();
    assert!(cells.contains(&label), "{cells:?}");
    assert!(text.contains("&#60;script&#62;"));
    Ok(())
}

#[test]
fn nothing_is_loaded() -> Result {
    let (text, page) = Folder::new(&host(PLAIN)?, "list")?.page("list")?;
    let policy = select(&page, "meta[http-equiv='Content-Security-Policy']");
    assert_eq!(
        policy[0].value().attr("content"),
        Some("default-src 'none'; style-src 'unsafe-inline'")
    );
    for element in select(&page, "[href], [src], [srcset], [action], [data]") {
        let link = element.value().attr("href");
        let target = link
            .and_then(|link| link.strip_prefix('#'))
            .expect("a link within the page");
        assert_eq!(
            select(&page, &format!("[id='{target}']")).len(),
            1,
            "{target}"
        );
    }
    // the name of a namespace is no address
    let text = text.replace("http://www.w3.org/2000/svg", "");
    for word in ["@import", "http:", "https:", "//"] {
        assert!(!text.contains(word), "{word}");
    }
    let urls = text.match_indices("url(").map(|(at, _)| &text[at..at + 5]);
    assert!(urls.into_iter().all(|url| url == "url(#"));
    Ok(())
}

/// The name of a file gets into the page, too.
#[test]
fn paths_are_escaped() -> Result {
    let name = "<svg onload=alert(1)>";
    let (text, page) = Folder::new(&host(PLAIN)?, name)?.page(name)?;
    assert!(!text.contains(name));
    assert!(select(&page, "svg[onload]").is_empty());
    let cells: Vec<String> = select(&page, "dd")
        .iter()
        .map(|cell| cell.text().collect())
        .collect();
    assert!(cells.iter().any(|cell| cell == name), "{cells:?}");
    Ok(())
}

/// What a screen reader needs.
#[test]
fn it_is_accessible() -> Result {
    let (_, page) = Folder::new(&host(PLAIN)?, "list")?.page("list")?;
    assert_eq!(select(&page, "html")[0].value().attr("lang"), Some("en"));
    for (what, count) in [
        ("h1", 1),
        ("main", 1),
        ("body > header", 1),
        ("body > footer", 1),
        ("title", 2),
    ] {
        assert_eq!(select(&page, what).len(), count, "{what}");
    }
    // the first sentence is the verdict
    let first: String = select(&page, "body *")[0].text().collect();
    assert!(
        first.trim().starts_with("Not proven: nothing contradicts"),
        "{first}"
    );
    let ids: Vec<_> = select(&page, "[id]")
        .iter()
        .filter_map(|one| one.value().attr("id"))
        .collect();
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len());
    for element in select(&page, "[aria-labelledby]") {
        let named = element.value().attr("aria-labelledby").unwrap_or_default();
        for id in named.split(' ') {
            assert!(ids.contains(&id), "{id}");
        }
    }
    for head in select(&page, "th") {
        assert!(matches!(head.value().attr("scope"), Some("col" | "row")));
    }
    for table in select(&page, "table") {
        let inner = Html::parse_fragment(&table.html());
        assert_eq!(select(&inner, "caption").len(), 1);
        let columns = select(&inner, "thead th").len();
        for row in select(&inner, "tbody tr") {
            let cells = row.child_elements().count();
            assert_eq!(cells, columns, "{}", row.html());
        }
    }
    let picture = &select(&page, "svg[role=img]")[0];
    for part in ["title", "desc"] {
        let text: String = select(&page, &format!("svg[role=img] > {part}"))
            .iter()
            .flat_map(|one| one.text())
            .collect();
        assert!(!text.trim().is_empty(), "{part}");
    }
    assert!(picture.value().attr("aria-labelledby").is_some());
    // headings descend one level at a time
    let mut level = 1;
    for heading in select(&page, "h1, h2, h3, h4") {
        let this = heading.value().name()[1..].parse::<u32>()?;
        assert!(this <= level + 1, "{}", heading.html());
        level = this;
    }
    Ok(())
}

#[test]
fn json_has_the_same() -> Result {
    let host = host(EVIL)?;
    let value = host.pcr(PCR, Bank::Sha256);
    let folder = Folder::new(&host, "list")?;
    let pcr = format!("sha256:10={value}");
    let output = folder.run(&["list", "--pcr", &pcr, "--json", "--html", "page"])?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout)?;
    assert_eq!(json["schema"], "ima-checkpoint/report/1");
    assert_eq!(
        (&json["code"], &json["verdict"]),
        (&Value::from(0), &Value::from("verified"))
    );
    let log = &json["logs"][0]["judged"];
    let records = host.records.len().to_string();
    assert_eq!(log["records"], records);
    let last = (host.records.len() - 1).to_string();
    assert_eq!(log["timeline"]["proven"][0]["first"], "0");
    assert_eq!(log["timeline"]["proven"][0]["last"], last);
    assert_eq!(log["violations"]["rows"]["shown"][0][1], EVIL);
    let page = fs::read_to_string(folder.0.path().join("page"))?;
    let page = Html::parse_document(&page);
    let text: String = select(&page, "h1")[0].text().collect();
    let sentence = json["sentence"].as_str().ok_or("no sentence")?;
    assert_eq!(text.trim(), format!("Verified: {sentence}"));
    Ok(())
}

#[test]
fn where_it_is_written() -> Result {
    let folder = Folder::new(&host(PLAIN)?, "list")?;
    for (arguments, code, says) in [
        (&["list"][..], 2, "--html"),
        (&["list", "--html", "-", "--json"], 2, "standard output"),
        (
            &["list", "--html", "none/page"],
            8,
            "cannot write none/page",
        ),
        (&["none", "--html", "page"], 8, "cannot open none"),
        (&["list", "--html", "-"], 3, "<!doctype html>"),
        (
            &["list", "--html", "page"],
            3,
            "Not proven: nothing contradicts",
        ),
    ] {
        let output = folder.run(arguments)?;
        let said = String::from_utf8([output.stdout, output.stderr].concat())?;
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert_eq!(
            folder.0.path().join("page").exists(),
            arguments == ["list", "--html", "page"]
        );
    }
    let quiet = folder.run(&["list", "--html", "page", "--quiet"])?;
    assert!(quiet.stdout.is_empty() && quiet.status.code() == Some(3));
    Ok(())
}

/// The ratio of the luminances of two colours, as WCAG 2.2 defines it.
fn contrast(one: &str, other: &str) -> f64 {
    let luminance = |colour: &str| {
        let channel = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).expect("hexadecimal digits");
            let value = f64::from(value) / 255.0;
            match value <= 0.04045 {
                true => value / 12.92,
                false => ((value + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    };
    let (one, other) = (luminance(one), luminance(other));
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn all_can_be_read() {
    assert!((contrast("#ffffff", "#000000") - 21.0).abs() < 0.01);
    let css = include_str!("../templates/report.css");
    // light, dark, printed
    let themes: Vec<&str> = css.split(":root {").skip(1).collect();
    assert_eq!(themes.len(), 3);
    for theme in themes {
        let block = theme.split('}').next().unwrap_or_default();
        let colours: BTreeMap<&str, &str> = block
            .lines()
            .filter_map(|line| {
                line.trim()
                    .strip_prefix("--")?
                    .trim_end_matches(';')
                    .split_once(": ")
            })
            .collect();
        let check = |one: &str, other: &str, least: f64| {
            let ratio = contrast(colours[one], colours[other]);
            assert!(ratio >= least, "{one} on {other}: {ratio:.2}");
        };
        for back in [
            "paper",
            "card",
            "good-back",
            "open-back",
            "bad-back",
            "lane",
        ] {
            check("ink", back, 7.0);
        }
        for back in ["paper", "card"] {
            for text in ["quiet", "link", "good", "open", "bad"] {
                check(text, back, 4.5);
            }
            // what is only seen
            for form in ["bar", "hatch"] {
                check(form, back, 3.0);
            }
        }
        for level in ["good", "open", "bad"] {
            check(level, &format!("{level}-back"), 4.5);
        }
    }
}
