// SPDX-License-Identifier: GPL-2.0

//! What agents and verifiers say to each other in Keylime's push protocol, version 3: the host opens
//! every connection, and the verifier only answers.
//!
//! An agent [registers](registrar) once, with a proof that its attestation key is in the TPM of its
//! endorsement key. It opens a [`session`] with a proof that it has the attestation key. Then it attests
//! in rounds of two [messages](attestation): it says what it can prove, is told what to prove, and
//! sends that.
//!
//! There are only types here, for serde: nothing is sent, checked or decided. Unknown members are
//! ignored, as JSON:API demands, so that either side may be newer. What Keylime does not say, but
//! [`ima-monitor`](attestation::BINARY) does, is in members of their own, which Keylime ignores.
//!
//! The formats are those of Keylime 7.14: `keylime/web/verifier/`, `keylime/models/verifier/` and
//! `keylime/web/registrar/`.

pub mod attestation;
mod base64;
pub mod document;
pub mod registrar;
pub mod session;

pub use self::base64::Base64;

/// The media type of requests and answers of version 3.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";

/// The prefix of all paths of the verifier, without a slash at its end.
pub const VERIFIER: &str = "/v3.0";

/// The prefix of all paths of the registrar.
pub const REGISTRAR: &str = "/v2.6";
