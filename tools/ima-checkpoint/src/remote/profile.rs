// SPDX-License-Identifier: GPL-2.0

//! The files in which the AWS programs keep credentials and settings. Reading the environment is
//! `object_store`'s part; it does not know these files.

use configparser::ini::{Ini, IniDefault};
use object_store::aws::AmazonS3ConfigKey as Setting;
use std::{
    env,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Bytes that are read of such a file.
const MAX_FILE: u64 = 1 << 20;

/// The variable that names the section.
const PROFILE: &str = "AWS_PROFILE";

/// Where both files are, and which section counts.
#[derive(Debug)]
pub(super) struct Profile {
    credentials: PathBuf,
    config: PathBuf,
    name: String,
}

impl Profile {
    /// As the environment says; nothing if it names neither a file nor a home directory.
    pub(super) fn of_environment() -> Option<Self> {
        let home = env::var_os("HOME").map(|home| Path::new(&home).join(".aws"));
        let file = |variable: &str, name: &str| {
            let named = env::var_os(variable).map(PathBuf::from);
            named.or_else(|| Some(home.as_ref()?.join(name)))
        };
        Some(Self {
            credentials: file("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            config: file("AWS_CONFIG_FILE", "config")?,
            name: env::var(PROFILE).unwrap_or_else(|_| "default".to_owned()),
        })
    }

    /// What it sets. Files that are not there set nothing.
    ///
    /// # Errors
    ///
    /// A file is there and cannot be read, or does not follow its format.
    pub(super) fn settings(&self) -> io::Result<Vec<(Setting, String)>> {
        let credentials = [
            ("aws_access_key_id", Setting::AccessKeyId),
            ("aws_secret_access_key", Setting::SecretAccessKey),
            ("aws_session_token", Setting::Token),
        ];
        let config = [
            ("region", Setting::Region),
            ("endpoint_url", Setting::Endpoint),
        ];
        // in the second file sections have a prefix, but for the default one
        let section = match self.name.as_str() {
            "default" => "default".to_owned(),
            name => format!("profile {name}"),
        };
        let mut settings = section_of(&self.credentials, &self.name, &credentials)?;
        settings.extend(section_of(&self.config, &section, &config)?);
        settings.extend(section_of(&self.config, &section, &credentials)?);
        Ok(settings)
    }
}

/// The values that a section of a file has for these keys.
fn section_of(
    path: &Path,
    section: &str,
    wanted: &[(&str, Setting)],
) -> io::Result<Vec<(Setting, String)>> {
    let Some(text) = read(path)? else {
        return Ok(Vec::new());
    };
    // secrets have the characters that start comments elsewhere
    let mut defaults = IniDefault::default();
    defaults.case_sensitive = true;
    defaults.comment_symbols = vec!['#', ';'];
    defaults.delimiters = vec!['='];
    defaults.inline_comment_symbols = Some(Vec::new());
    let mut file = Ini::new_from_defaults(defaults);
    // what the parser says quotes the line, which may be a secret
    let parsed = file.read(text);
    parsed.map_err(|_| invalid(path, "it does not follow the format of INI files"))?;
    let value = |(key, setting): &(&str, Setting)| {
        let value = file.get(section, key).filter(|value| !value.is_empty())?;
        Some((*setting, value))
    };
    Ok(wanted.iter().filter_map(value).collect())
}

/// The text of a file, if it is there.
fn read(path: &Path) -> io::Result<Option<String>> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(named)?,
    };
    let mut text = String::new();
    file.take(MAX_FILE + 1)
        .read_to_string(&mut text)
        .map_err(named)?;
    if text.len() as u64 > MAX_FILE {
        return Err(invalid(path, "it is too long"));
    }
    Ok(Some(text))
}

fn invalid(path: &Path, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{}: {why}", path.display()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn profile(name: &str, credentials: &str, config: &str) -> (tempfile::TempDir, Profile) {
        let folder = tempfile::tempdir().unwrap();
        let [first, second] = ["credentials", "config"].map(|name| folder.path().join(name));
        fs::write(&first, credentials).unwrap();
        fs::write(&second, config).unwrap();
        let profile = Profile {
            credentials: first,
            config: second,
            name: name.to_owned(),
        };
        (folder, profile)
    }

    const CREDENTIALS: &str = "# two accounts\n\
        [default]\n\
        aws_access_key_id = ID\n\
        aws_secret_access_key=a/b+c=#;d\n\
        \n\
        [other]\n\
        aws_access_key_id = OTHER\n\
        aws_secret_access_key = s\n\
        aws_session_token = token\n";

    const CONFIG: &str = "[default]\n\
        region = eu-central-1\n\
        output = json\n\
        [profile other]\n\
        endpoint_url = https://s3.example.org\n";

    #[test]
    fn sections() {
        let (_folder, profile) = profile("default", CREDENTIALS, CONFIG);
        let text = |pairs: Vec<(Setting, String)>| {
            let pairs = pairs.into_iter();
            pairs
                .map(|(key, value)| format!("{}={value}", key.as_ref()))
                .collect::<Vec<_>>()
        };
        assert_eq!(
            text(profile.settings().unwrap()),
            [
                "aws_access_key_id=ID",
                "aws_secret_access_key=a/b+c=#;d",
                "aws_region=eu-central-1",
            ]
        );
        let other = Profile {
            name: "other".to_owned(),
            ..profile
        };
        assert_eq!(
            text(other.settings().unwrap()),
            [
                "aws_access_key_id=OTHER",
                "aws_secret_access_key=s",
                "aws_session_token=token",
                "aws_endpoint=https://s3.example.org",
            ]
        );
        let none = Profile {
            name: "none".to_owned(),
            ..other
        };
        assert!(none.settings().unwrap().is_empty());
    }

    #[test]
    fn no_files_set_nothing() {
        let profile = Profile {
            credentials: "/nonexistent/credentials".into(),
            config: "/nonexistent/config".into(),
            name: "default".to_owned(),
        };
        assert!(profile.settings().unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_said_without_its_text() {
        for text in ["[default\ns3cret\n", "[default]\n=s3cret", "s3cret\u{0}=["] {
            let (_folder, profile) = profile("default", text, "");
            if let Err(error) = profile.settings() {
                assert!(!error.to_string().contains("s3cret"), "{error}");
            }
        }
        let long = "#".repeat(MAX_FILE as usize + 1);
        let (_folder, profile) = profile("default", "", &long);
        assert!(profile.settings().is_err());
    }
}
