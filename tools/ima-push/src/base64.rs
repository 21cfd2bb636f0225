// SPDX-License-Identifier: GPL-2.0

//! Bytes as text.

use base64::{prelude::BASE64_STANDARD, Engine};
use serde::{de::Error, Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Bytes that JSON has in base64, with padding.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Base64(pub Vec<u8>);

impl Base64 {
    /// Reads what is in base64.
    pub fn decode(text: &str) -> Option<Self> {
        BASE64_STANDARD.decode(text).ok().map(Self)
    }

    /// The bytes in base64.
    pub fn encode(&self) -> String {
        BASE64_STANDARD.encode(&self.0)
    }
}

impl From<&[u8]> for Base64 {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }
}

/// Quotes and lists are long, so only the length is shown.
impl fmt::Debug for Base64 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Base64 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.encode())
    }
}

impl<'de> Deserialize<'de> for Base64 {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::decode(&text).ok_or_else(|| D::Error::custom("expected bytes in base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648, section 10.
    #[test]
    fn known() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let value = Base64(bytes.into());
            assert_eq!(serde_json::to_value(&value).unwrap(), text);
            assert_eq!(
                serde_json::from_value::<Base64>(text.into()).unwrap(),
                value
            );
        }
        for wrong in ["Zg", "Zg=", "Zh==", "Z g=", "-_=="] {
            assert!(
                serde_json::from_value::<Base64>(wrong.into()).is_err(),
                "{wrong}"
            );
        }
    }
}
