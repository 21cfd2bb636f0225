// SPDX-License-Identifier: GPL-2.0

//! Event logs: of real firmware, compared with what a TPM held; made by hand, compared with what Python's
//! hashlib says; damaged in every way.

mod damaged;
mod made;
mod recorded;
mod values;
