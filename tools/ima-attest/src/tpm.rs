// SPDX-License-Identifier: GPL-2.0

//! The TPM: its keys, proofs of possession, quotes.
//!
//! The attestation key is a child of the endorsement key, so that the numbers of resets in its quotes are
//! the TPM's own. Its private part is wrapped by the TPM and kept in a file; whoever has the file can use
//! it in this TPM only.

use crate::error::{Error, Result};
use ima_log::bank::{Bank, Digest as Value};
use std::{collections::BTreeMap, str::FromStr};
use tss_esapi::{
    abstraction::{ak, ek, AsymmetricAlgorithmSelection, KeyCustomization},
    attributes::ObjectAttributesBuilder,
    constants::{CapabilityType, SessionType},
    handles::{AuthHandle, KeyHandle, PersistentTpmHandle, SessionHandle, TpmHandle},
    interface_types::{
        algorithm::{HashingAlgorithm, SignatureSchemeAlgorithm},
        key_bits::RsaKeyBits,
        session_handles::{AuthSession, PolicySession},
    },
    structures::{
        Attest, AttestInfo, CapabilityData, Data, Digest, EncryptedSecret, IdObject,
        PcrSelectionList, PcrSelectionListBuilder, PcrSlot, Private, Public, Signature,
        SignatureScheme, SymmetricDefinition,
    },
    tcti_ldr::TctiNameConf,
    traits::{Marshall, UnMarshall},
    Context,
};

/// Where the TCG's provisioning guidance puts the endorsement key.
const PERSISTENT_EK: u32 = 0x8101_0001;

/// Where its maker puts its certificate.
const CERTIFICATE: u32 = 0x01c0_0002;

const EK: AsymmetricAlgorithmSelection = AsymmetricAlgorithmSelection::Rsa(RsaKeyBits::Rsa2048);

/// Banks that can be quoted.
const BANKS: [Bank; 4] = [Bank::Sha1, Bank::Sha256, Bank::Sha384, Bank::Sha512];

/// How often a quote is made again because the PCRs changed before they were read.
const ATTEMPTS: usize = 20;

/// The parts of the attestation key, as they are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyParts {
    /// TPMT_PUBLIC.
    pub public: Vec<u8>,
    /// The contents of TPM2B_PRIVATE, encrypted by the TPM.
    pub private: Vec<u8>,
}

/// What the TPM signed.
#[derive(Clone, Debug)]
pub struct Signed {
    /// TPMS_ATTEST.
    pub message: Vec<u8>,
    /// TPMT_SIGNATURE.
    pub signature: Vec<u8>,
    /// Resets of the TPM.
    pub resets: u32,
}

/// A TPM without an attestation key.
pub struct Device {
    context: Context,
    ek: KeyHandle,
}

/// A TPM with its attestation key loaded.
pub struct Attester {
    device: Device,
    key: KeyHandle,
    public: Public,
}

fn at(what: &'static str) -> impl Fn(tss_esapi::Error) -> Error {
    move |error| Error::Tpm(what, error)
}

impl Device {
    /// Opens the TPM and its endorsement key, which is made again from its seed if it is not kept there.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn open(tcti: &str) -> Result<Self> {
        let name = TctiNameConf::from_str(tcti).map_err(at("understand --tcti"))?;
        let mut context = Context::new(name).map_err(at("be opened"))?;
        let ek = match persistent(&mut context) {
            Some(ek) => ek,
            None => ek::create_ek_object_2(&mut context, EK, None)
                .map_err(at("make the endorsement key"))?,
        };
        Ok(Self { context, ek })
    }

    /// TPM2B_PUBLIC of the endorsement key.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn endorsement(&mut self) -> Result<Vec<u8>> {
        let ek = self.ek;
        let read = self
            .context
            .execute_without_session(|context| context.read_public(ek));
        let (public, ..) = read.map_err(at("read the endorsement key"))?;
        sized(&public)
    }

    /// The certificate of the endorsement key, in DER, if the TPM has one.
    pub fn certificate(&mut self) -> Option<Vec<u8>> {
        if !has_handle(&mut self.context, CERTIFICATE) {
            return None;
        }
        ek::retrieve_ek_pubcert(&mut self.context, EK).ok()
    }

    /// Makes an attestation key.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn make_key(&mut self, scheme: Scheme) -> Result<KeyParts> {
        let made = ak::create_ak(
            &mut self.context,
            self.ek,
            HashingAlgorithm::Sha256,
            scheme.into(),
            None,
            NeverLocked,
        );
        let made = made.map_err(at("make an attestation key"))?;
        Ok(KeyParts {
            public: made.out_public.marshall().map_err(at("show its key"))?,
            private: made.out_private.value().to_vec(),
        })
    }

    /// Loads an attestation key that this TPM made.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`], also if it is that of another TPM.
    pub fn load(mut self, parts: &KeyParts) -> Result<Attester> {
        let load = at(
            "load the attestation key; if the TPM was cleared or replaced, remove the state \
                       and run `ima-attest init` again",
        );
        let public = Public::unmarshall(&parts.public).map_err(&load)?;
        let private = Private::try_from(parts.private.as_slice()).map_err(&load)?;
        let context = &mut self.context;
        let key = ak::load_ak(context, self.ek, None, private, public.clone()).map_err(&load)?;
        Ok(Attester {
            device: self,
            key,
            public,
        })
    }
}

/// The endorsement key at its usual place, if it is there and is the usual one.
fn persistent(context: &mut Context) -> Option<KeyHandle> {
    if !has_handle(context, PERSISTENT_EK) {
        return None;
    }
    let handle = PersistentTpmHandle::new(PERSISTENT_EK).ok()?;
    context.execute_without_session(|context| {
        let object = context
            .tr_from_tpm_public(TpmHandle::Persistent(handle))
            .ok()?;
        let key = KeyHandle::from(object);
        let (public, ..) = context.read_public(key).ok()?;
        // TPMT_PUBLIC is the template, followed by the modulus
        let template = ek::create_ek_public_from_default_template_2(EK, None).ok()?;
        let (public, template) = (public.marshall().ok()?, template.marshall().ok()?);
        let same = template.len().checked_sub(256).and_then(|end| {
            Some(public.get(..end)? == template.get(..end)? && public.len() == template.len())
        });
        same.unwrap_or(false).then_some(key)
    })
}

/// Is there an object or index of this number? To ask for one that is not there would be reported as an
/// error of the TPM.
fn has_handle(context: &mut Context, handle: u32) -> bool {
    let listed = context.execute_without_session(|context| {
        context.get_capability(CapabilityType::Handles, handle, 1)
    });
    let Ok((CapabilityData::Handles(handles), _)) = listed else {
        return false;
    };
    handles.iter().any(|found| u32::from(*found) == handle)
}

/// An attestation key that cannot be locked. It has no password, so that there is none to guess; but a TPM
/// counts each loss of power while a key was in use as a wrong guess.
struct NeverLocked;

impl KeyCustomization for NeverLocked {
    fn attributes(&self, builder: ObjectAttributesBuilder) -> ObjectAttributesBuilder {
        builder.with_no_da(true)
    }
}

/// How the attestation key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheme {
    /// RSA 2048 with PKCS #1, which Keylime's verifier takes
    Rsassa,
    /// ECDSA on P-256, which is faster
    Ecdsa,
}

impl From<Scheme> for SignatureSchemeAlgorithm {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Rsassa => Self::RsaSsa,
            Scheme::Ecdsa => Self::EcDsa,
        }
    }
}

/// TPM2B_PUBLIC.
fn sized(public: &Public) -> Result<Vec<u8>> {
    let area = public.marshall().map_err(at("show its key"))?;
    let size = u16::try_from(area.len()).unwrap_or(u16::MAX);
    Ok([&size.to_be_bytes(), area.as_slice()].concat())
}

impl Attester {
    /// TPM2B_PUBLIC of the endorsement key.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn endorsement(&mut self) -> Result<Vec<u8>> {
        self.device.endorsement()
    }

    /// The certificate of the endorsement key, in DER, if the TPM has one.
    pub fn certificate(&mut self) -> Option<Vec<u8>> {
        self.device.certificate()
    }

    /// TPM2B_PUBLIC of the attestation key.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn public(&self) -> Result<Vec<u8>> {
        sized(&self.public)
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        match self.public {
            Public::Ecc { .. } => Scheme::Ecdsa,
            _ => Scheme::Rsassa,
        }
    }

    /// Decrypts a secret that was made for this TPM while it has this attestation key.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`], also if the secret was made for another TPM or key.
    pub fn activate(&mut self, credential: &[u8], secret: &[u8]) -> Result<Vec<u8>> {
        let why = at("decrypt the registrar's challenge");
        let credential = IdObject::try_from(credential).map_err(&why)?;
        let secret = EncryptedSecret::try_from(secret).map_err(&why)?;
        let (key, ek) = (self.key, self.device.ek);
        let context = &mut self.device.context;
        let session = context.start_auth_session(
            None,
            None,
            None,
            SessionType::Policy,
            SymmetricDefinition::AES_128_CFB,
            HashingAlgorithm::Sha256,
        );
        let session = session.map_err(&why)?;
        let Some(session @ AuthSession::PolicySession(policy)) = session else {
            return Err(Error::Tpm(
                "start a session",
                tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm),
            ));
        };
        let handle = SessionHandle::from(session).into();
        let activated = context.execute_with_temporary_object(handle, |context, _| {
            context.execute_with_nullauth_session(|context| secret_policy(context, policy))?;
            let sessions = (Some(AuthSession::Password), Some(session), None);
            context.execute_with_sessions(sessions, |context| {
                context.activate_credential(key, ek, credential, secret)
            })
        });
        Ok(activated.map_err(&why)?.value().to_vec())
    }

    /// Proves that it has the attestation key: TPM2_Certify of it by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn certify(&mut self, nonce: &[u8]) -> Result<Signed> {
        let why = at("certify the attestation key");
        let nonce = Data::try_from(nonce).map_err(&why)?;
        let key = self.key;
        let context = &mut self.device.context;
        let sessions = (
            Some(AuthSession::Password),
            Some(AuthSession::Password),
            None,
        );
        let certified = context.execute_with_sessions(sessions, |context| {
            context.certify(key.into(), key, nonce, SignatureScheme::Null)
        });
        let (attest, signature) = certified.map_err(&why)?;
        signed(&attest, &signature)
    }

    /// The PCRs that each bank has.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`].
    pub fn banks(&mut self) -> Result<BTreeMap<Bank, Vec<u32>>> {
        let read = self.device.context.execute_without_session(|context| {
            context.get_capability(CapabilityType::AssignedPcr, 0, 64)
        });
        let (data, _) = read.map_err(at("say which PCRs it has"))?;
        let CapabilityData::AssignedPcr(assigned) = data else {
            return Ok(BTreeMap::new());
        };
        let banks = assigned.get_selections().iter().filter_map(|selection| {
            let bank = BANKS
                .into_iter()
                .find(|bank| algorithm(*bank) == Some(selection.hashing_algorithm()))?;
            let pcrs: Vec<u32> = selection
                .selected()
                .iter()
                .map(|slot| number(*slot))
                .collect();
            (!pcrs.is_empty()).then_some((bank, pcrs))
        });
        Ok(banks.collect())
    }

    /// Quotes PCRs of a bank, and gives their values with it, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Tpm`], and [`Error::Restless`].
    pub fn quote(
        &mut self,
        nonce: &[u8],
        bank: Bank,
        pcrs: &[u32],
    ) -> Result<(Signed, Vec<Value>)> {
        let why = at("quote");
        let hash = algorithm(bank).ok_or(Error::NoBank)?;
        let nonce = Data::try_from(nonce).map_err(&why)?;
        let all = selection(hash, pcrs)?;
        for _ in 0..ATTEMPTS {
            let (key, nonce, all) = (self.key, nonce.clone(), all.clone());
            let context = &mut self.device.context;
            let quoted = context.execute_with_session(Some(AuthSession::Password), |context| {
                context.quote(key, nonce, SignatureScheme::Null, all)
            });
            let (attest, signature) = quoted.map_err(&why)?;
            let values = self.values(hash, pcrs)?;
            let AttestInfo::Quote { info } = attest.attested() else {
                continue;
            };
            // IMA may have extended one in between. The digest is in the hash of the signature.
            let pieces: Vec<&[u8]> = values.iter().map(Value::as_bytes).collect();
            if info.pcr_digest().value() == Bank::Sha256.hash(&pieces).as_bytes() {
                return Ok((signed(&attest, &signature)?, values));
            }
        }
        Err(Error::Restless)
    }

    /// What PCRs hold.
    fn values(&mut self, hash: HashingAlgorithm, pcrs: &[u32]) -> Result<Vec<Value>> {
        /// A TPM gives no more at once.
        const AT_ONCE: usize = 8;
        let why = at("read PCRs");
        let mut values = Vec::with_capacity(pcrs.len());
        for some in pcrs.chunks(AT_ONCE) {
            let list = selection(hash, some)?;
            let context = &mut self.device.context;
            let read = context.execute_without_session(|context| context.pcr_read(list));
            let (_, _, digests) = read.map_err(&why)?;
            values.extend(
                digests
                    .value()
                    .iter()
                    .map(|digest: &Digest| Value::new(digest.value())),
            );
        }
        Ok(values)
    }
}

fn secret_policy(context: &mut Context, policy: PolicySession) -> tss_esapi::Result<()> {
    let nothing = (Default::default(), Default::default(), Default::default());
    context
        .policy_secret(
            policy,
            AuthHandle::Endorsement,
            nothing.0,
            nothing.1,
            nothing.2,
            None,
        )
        .map(|_| ())
}

fn signed(attest: &Attest, signature: &Signature) -> Result<Signed> {
    let why = at("show what it signed");
    Ok(Signed {
        message: attest.marshall().map_err(&why)?,
        signature: signature.marshall().map_err(&why)?,
        resets: attest.clock_info().reset_count(),
    })
}

fn algorithm(bank: Bank) -> Option<HashingAlgorithm> {
    match bank {
        Bank::Sha1 => Some(HashingAlgorithm::Sha1),
        Bank::Sha256 => Some(HashingAlgorithm::Sha256),
        Bank::Sha384 => Some(HashingAlgorithm::Sha384),
        Bank::Sha512 => Some(HashingAlgorithm::Sha512),
        _ => None,
    }
}

/// Its number: the crate has a bit for each.
fn number(slot: PcrSlot) -> u32 {
    u32::from(slot).trailing_zeros()
}

fn selection(hash: HashingAlgorithm, pcrs: &[u32]) -> Result<PcrSelectionList> {
    let why = at("select PCRs");
    let slots: Result<Vec<PcrSlot>> = pcrs
        .iter()
        .map(|pcr| PcrSlot::try_from(1_u32.checked_shl(*pcr).unwrap_or(0)).map_err(&why))
        .collect();
    let builder = PcrSelectionListBuilder::new().with_selection(hash, &slots?);
    builder.build().map_err(&why)
}
